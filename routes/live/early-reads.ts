/** Holds live reads that arrive while the store opens, because an EventSource never reconnects after a 503. */
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { limits } from '../../src/limits.js'
import type { Clock } from '../../src/time/clock.js'
import { liveTransportOf } from './live-request.js'

/** Interval at which the state of the store is checked while requests are held. */
const POLL_MS = 20
/** Maximum number of requests that continue per check, because each of them then reads from the disk. */
const RELEASED_PER_POLL = 100

interface EarlyParts {
  /** `opening` until the store is open or opening it has failed. */
  readonly status: string
  readonly clock: Clock
}

interface HeldRead {
  /** Deadline for holding it, milliseconds of the monotonic clock. */
  readonly until: number
  readonly resume: () => void
}

/**
 * Holds live reads while the store opens, for at most `early_live_ms`. Then they continue with the check of rights,
 * which refuses them if the store is still not open. A held request is neither read nor checked. It is dropped if its
 * client disconnects.
 * @param max maximum number of held requests; further ones continue at once
 */
export function holdEarlyReads(app: FastifyInstance, parts: EarlyParts, max: number = limits.subscriptions_max): void {
  const early = new EarlyReads(parts, max)
  app.addHook('onRequest', (request, _reply, done) => {
    if (parts.status !== 'opening' || liveTransportOf(request) === undefined) done()
    else early.hold(request.raw.socket, done)
  })
  app.addHook('preClose', async () => early.end())
}

class EarlyReads {
  readonly #parts: EarlyParts
  readonly #max: number
  /** In order of arrival, so also in order of `until`. */
  readonly #held = new Set<HeldRead>()
  #isPolling = false
  #ended = false

  constructor(parts: EarlyParts, max: number) {
    this.#parts = parts
    this.#max = max
  }

  hold(socket: Socket, resume: () => void): void {
    if (this.#ended || this.#held.size >= this.#max || socket.destroyed) {
      resume()
      return
    }
    const onClose = () => this.#held.delete(held)
    // A live read ends when its client closes its side of the connection, so a held one does, too.
    const onEnd = () => socket.destroy()
    const held: HeldRead = {
      until: this.#parts.clock.elapsed() + limits.early_live_ms,
      resume: () => {
        this.#held.delete(held)
        socket.off('close', onClose)
        socket.off('end', onEnd)
        resume()
      }
    }
    this.#held.add(held)
    socket.once('close', onClose)
    socket.once('end', onEnd)
    this.#pollLater()
  }

  /** Lets all held requests continue, because the server stops. */
  end(): void {
    this.#ended = true
    for (const { resume } of [...this.#held]) resume()
  }

  #pollLater(): void {
    if (this.#isPolling || this.#held.size === 0) return
    this.#isPolling = true
    this.#parts.clock.after(POLL_MS, () => {
      this.#isPolling = false
      this.#poll()
      this.#pollLater()
    })
  }

  #poll(): void {
    const { status, clock } = this.#parts
    const now = clock.elapsed()
    let left = RELEASED_PER_POLL
    for (const { until, resume } of this.#held) {
      if ((status === 'opening' && until > now) || left-- === 0) return
      resume()
    }
  }
}
