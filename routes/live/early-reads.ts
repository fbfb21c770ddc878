/** Live reads that come before the store is open are held until it is: an EventSource gives up for good after a 503. */
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { limits } from '../../src/limits.js'
import type { Clock } from '../../src/time/clock.js'
import { liveTransportOf } from './live-request.js'

/** How often it is looked whether the store is open, while somebody waits for it. */
const LOOK_MS = 20
/** Requests that go on in one look: each then reads from the disk. */
const AT_ONCE = 100

interface EarlyParts {
  /** `opening` until the store is open or has failed. */
  readonly status: string
  readonly clock: Clock
}

interface Held {
  /** When it is held no longer, by the monotonic clock. */
  readonly until: number
  readonly goOn: () => void
}

/**
 * Holds live reads while the store opens, at most `early_live_ms`; then they go on to the check of rights, which refuses
 * them if it is still not open. Nothing is read or checked for a held request; one whose client has gone is dropped.
 * @param most requests that are held at the same time; others go on at once
 */
export function holdEarlyReads(app: FastifyInstance, parts: EarlyParts, most: number = limits.subscriptions_max): void {
  const early = new EarlyReads(parts, most)
  app.addHook('onRequest', (request, _reply, done) => {
    if (parts.status !== 'opening' || liveTransportOf(request) === undefined) done()
    else early.hold(request.raw.socket, done)
  })
  app.addHook('preClose', async () => early.end())
}

class EarlyReads {
  readonly #parts: EarlyParts
  readonly #most: number
  /** In the order in which they came. */
  readonly #held = new Set<Held>()
  #looking = false
  #ended = false

  constructor(parts: EarlyParts, most: number) {
    this.#parts = parts
    this.#most = most
  }

  hold(socket: Socket, goOn: () => void): void {
    if (this.#ended || this.#held.size >= this.#most || socket.destroyed) {
      goOn()
      return
    }
    const gone = () => this.#held.delete(held)
    // As a live read ends with the client's side of its connection.
    const leave = () => socket.destroy()
    const held: Held = {
      until: this.#parts.clock.elapsed() + limits.early_live_ms,
      goOn: () => {
        this.#held.delete(held)
        socket.off('close', gone)
        socket.off('end', leave)
        goOn()
      }
    }
    this.#held.add(held)
    socket.once('close', gone)
    socket.once('end', leave)
    this.#lookLater()
  }

  /** Lets all go on: the server stops. */
  end(): void {
    this.#ended = true
    for (const { goOn } of [...this.#held]) goOn()
  }

  #lookLater(): void {
    if (this.#looking || this.#held.size === 0) return
    this.#looking = true
    this.#parts.clock.after(LOOK_MS, () => {
      this.#looking = false
      this.#look()
      this.#lookLater()
    })
  }

  #look(): void {
    const { status, clock } = this.#parts
    const now = clock.elapsed()
    let left = AT_ONCE
    for (const { until, goOn } of this.#held) {
      if ((status === 'opening' && until > now) || left-- === 0) return
      goOn()
    }
  }
}
