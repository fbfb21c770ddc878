/** All open subscriptions and their shared timer. */
import { setMaxListeners } from 'node:events'
import { DaybookError } from '../errors.js'
import { limits } from '../limits.js'
import type { MemoryBudget } from '../memory/memory-budget.js'
import type { Metrics } from '../metrics.js'
import type { Reader } from '../reading/reader.js'
import type { Clock } from '../time/clock.js'
import type { EndedConnection } from './connection.js'
import { Subscription, type SubscriptionParts, type SubscriptionRequest } from './subscription.js'
import type { Tails } from './tails.js'

export interface SubscriptionsParts {
  readonly reader: Reader
  readonly tails: Tails
  /** Counts the memory of large events that are read for subscriptions. */
  readonly memory: MemoryBudget
  readonly clock: Clock
  readonly metrics: Metrics
  /** A connection that accepts no bytes for this time is closed, milliseconds. Default `drain_ms`. */
  readonly drainMs?: number | undefined
}

export class Subscriptions {
  readonly #parts: SubscriptionParts
  readonly #all = new Map<number, Subscription>()
  readonly #end = new AbortController()
  #lastId = 0
  #cancel = () => {}

  constructor(parts: SubscriptionsParts) {
    this.#parts = { ...parts, drainMs: parts.drainMs ?? limits.drain_ms }
    setMaxListeners(0, this.#end.signal) // each long poll adds one
    this.#tickLater()
  }

  get size(): number {
    return this.#all.size
  }

  /** Aborted when the server stops, so that long polls end. The reason is the error `stopping`. */
  get ending(): AbortSignal {
    return this.#end.signal
  }

  /** Returns the subscriptions in the order in which they were opened. */
  all(): IterableIterator<Subscription> {
    return this.#all.values()
  }

  /** Rejects a new subscription when there are too many. Call before accepting it. @throws `overloaded`, `stopping` */
  checkRoom(): void {
    if (this.ending.aborted) throw stopping()
    if (this.#all.size < limits.subscriptions_max) return
    throw new DaybookError('overloaded', `${this.#all.size} subscriptions are open, the maximum. Try again later.`, {
      limit: limits.subscriptions_max,
      retry: true
    })
  }

  /** Starts a subscription on an accepted connection. Closes it at once when the server is stopping. */
  open(request: SubscriptionRequest): Subscription {
    const id = ++this.#lastId
    const onClosed = (ended: EndedConnection) => {
      this.#all.delete(id)
      request.onClosed?.(ended)
    }
    const subscription = new Subscription(this.#parts, id, { ...request, onClosed })
    this.#all.set(id, subscription)
    if (this.ending.aborted) subscription.close(stopping())
    else subscription.start()
    return subscription
  }

  /**
   * Checks the rights of all subscriptions after access rules or accounts have changed.
   * @param stream the stream whose rules changed. Undefined: possibly all streams
   */
  checkRights(stream?: string): void {
    for (const subscription of this.#all.values()) subscription.checkRight(stream)
  }

  /** Closes every subscription with `stopping`. Each client gets the cursor to resume after. */
  close(): void {
    this.#end.abort(stopping())
    this.#cancel()
    for (const subscription of this.#all.values()) subscription.close(stopping())
  }

  #tickLater(): void {
    this.#cancel = this.#parts.clock.after(limits.tick_ms, () => {
      const now = this.#parts.clock.elapsed()
      for (const subscription of this.#all.values()) {
        try {
          subscription.tick(now)
        } catch (error) {
          subscription.fail(error as Error) // closes only this subscription
        }
      }
      if (!this.ending.aborted) this.#tickLater()
    })
  }
}

function stopping(): DaybookError {
  return new DaybookError(
    'stopping',
    'The server is stopping. Reconnect and continue after the last cursor that you received.',
    { retry: true }
  )
}
