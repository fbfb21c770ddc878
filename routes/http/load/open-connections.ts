/** All connections that are open, and which of them is closed when there are too many. */
import type { Socket } from 'node:net'
import { limits } from '../../../src/limits.js'
import type { Clock } from '../../../src/time/clock.js'
import { currentResponse } from '../connections/current-response.js'

/** Connections that are looked at to make room for one. */
const LOOKED_AT = 100

export class OpenConnections {
  readonly #most: number
  readonly #clock: Clock
  readonly #onClosed: () => void
  /** Connections that have not asked for anything, in the order in which they came, and when that was. */
  readonly #silent = new Map<Socket, number>()
  /** Connections that have, in the order of their last requests. */
  readonly #used = new Set<Socket>()
  /** Connections that were upgraded to WebSocket. Subscriptions end them. */
  readonly #upgraded = new Set<Socket>()

  /** @param onClosed called for each connection that is closed to make room, or because there is none */
  constructor(most: number, clock: Clock, onClosed: () => void) {
    this.#most = most
    this.#clock = clock
    this.#onClosed = onClosed
  }

  get size(): number {
    return this.#silent.size + this.#used.size + this.#upgraded.size
  }

  /** Adds a new connection. When there is no room, the one that was idle for longest is closed, or else the new one. */
  add(socket: Socket): void {
    if (this.size >= this.#most) {
      this.#onClosed()
      const closed = this.#longestIdle() ?? socket
      this.#forget(closed)
      closed.destroy()
    }
    if (socket.destroyed) return
    this.#silent.set(socket, this.#clock.elapsed())
    socket.once('close', () => this.#forget(socket))
  }

  /** The TLS handshake of a connection is over: `secure` carries its requests. */
  secured(secure: Socket): void {
    // Node keeps the socket below here. Where it does not, both are counted until they close.
    const { _parent: below } = secure as { _parent?: Socket }
    if (below !== undefined) this.#silent.delete(below)
    this.#silent.set(secure, this.#clock.elapsed())
    secure.once('close', () => this.#forget(secure))
  }

  /** A request has come. */
  asked(socket: Socket): void {
    if (!this.#used.delete(socket)) this.#silent.delete(socket)
    this.#used.add(socket)
  }

  upgraded(socket: Socket): void {
    this.#forget(socket)
    this.#upgraded.add(socket)
  }

  #forget(socket: Socket): void {
    this.#silent.delete(socket)
    this.#used.delete(socket)
    this.#upgraded.delete(socket)
  }

  /**
   * The connection to close: one that has asked for nothing for a while, else the one whose last request is longest ago
   * and was answered, else one that has asked for nothing. Undefined when all are in use, as far as was looked.
   */
  #longestIdle(): Socket | undefined {
    const [oldest] = this.#silent
    if (oldest !== undefined && oldest[1] <= this.#clock.elapsed() - limits.silent_connection_ms) return oldest[0]
    let left = Math.min(LOOKED_AT, this.#used.size)
    for (const socket of this.#used) {
      if (left-- === 0) break
      if (currentResponse(socket) === undefined) return socket
      // In use: others are looked at first the next time. The loop would come to it again, but `left` ends it.
      this.#used.delete(socket)
      this.#used.add(socket)
    }
    return oldest?.[0]
  }
}
