/** Tracks all open connections, and chooses the one to close when there are too many. */
import type { Socket } from 'node:net'
import { limits } from '../../../src/limits.js'
import type { Clock } from '../../../src/time/clock.js'
import { currentResponse } from '../connections/current-response.js'

/** Limit of the connections that are examined to find one to close. */
const EXAMINED_MAX = 100

export class OpenConnections {
  readonly #most: number
  readonly #clock: Clock
  readonly #onClosed: () => void
  /** Connections without a request so far, in order of arrival, with their time of arrival. */
  readonly #silent = new Map<Socket, number>()
  /** Connections with requests, in the order of their last request. */
  readonly #used = new Set<Socket>()
  /** Connections upgraded to WebSocket. They count towards the limit, but only subscriptions close them. */
  readonly #upgraded = new Set<Socket>()

  /** @param onClosed called for each connection that is closed because of the limit */
  constructor(most: number, clock: Clock, onClosed: () => void) {
    this.#most = most
    this.#clock = clock
    this.#onClosed = onClosed
  }

  get size(): number {
    return this.#silent.size + this.#used.size + this.#upgraded.size
  }

  /** Adds a new connection. At the limit, closes the one that has been idle for longest, or else the new one. */
  add(socket: Socket): void {
    if (this.size >= this.#most) {
      this.#onClosed()
      const closed = this.#longestIdle() ?? socket
      this.#remove(closed)
      closed.destroy()
    }
    if (socket.destroyed) return
    this.#silent.set(socket, this.#clock.elapsed())
    socket.once('close', () => this.#remove(socket))
  }

  /** Call when the TLS handshake of a connection is over: `secure` replaces the raw socket. */
  secured(secure: Socket): void {
    // Node keeps the raw socket in this private field. Without the field, both sockets count until they close.
    const { _parent: rawSocket } = secure as { _parent?: Socket }
    if (rawSocket !== undefined) this.#silent.delete(rawSocket)
    this.#silent.set(secure, this.#clock.elapsed())
    secure.once('close', () => this.#remove(secure))
  }

  /** Call when a request has arrived. */
  requested(socket: Socket): void {
    if (!this.#used.delete(socket)) this.#silent.delete(socket)
    this.#used.add(socket)
  }

  upgraded(socket: Socket): void {
    this.#remove(socket)
    this.#upgraded.add(socket)
  }

  #remove(socket: Socket): void {
    this.#silent.delete(socket)
    this.#used.delete(socket)
    this.#upgraded.delete(socket)
  }

  /**
   * Returns the connection to close. First choice: one without a request for `silent_connection_ms`. Second: the one
   * with the oldest last request, if that was answered. Third: the oldest one without a request. Undefined
   * when all examined connections are in use.
   */
  #longestIdle(): Socket | undefined {
    const [oldest] = this.#silent
    if (oldest !== undefined && oldest[1] <= this.#clock.elapsed() - limits.silent_connection_ms) return oldest[0]
    let left = Math.min(EXAMINED_MAX, this.#used.size)
    for (const socket of this.#used) {
      if (left-- === 0) break
      if (currentResponse(socket) === undefined) return socket
      // In use: move it to the end, so that the next call examines others first. `left` keeps the loop from seeing it
      // twice.
      this.#used.delete(socket)
      this.#used.add(socket)
    }
    return oldest?.[0]
  }
}
