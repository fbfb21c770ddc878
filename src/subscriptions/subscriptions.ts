/** All open subscriptions, and the timer that they share. */
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
  /** Large events that are read for live readers are counted there. */
  readonly memory: MemoryBudget
  readonly clock: Clock
  readonly metrics: Metrics
  /** A connection that takes nothing for so long is closed, milliseconds. Default `drain_ms`. */
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

  /** In the order in which they were opened. */
  all(): IterableIterator<Subscription> {
    return this.#all.values()
  }

  /** To be called before a connection is accepted. @throws `overloaded`, `stopping` */
  checkRoom(): void {
    if (this.ending.aborted) throw stopping()
    if (this.#all.size < limits.subscriptions_max) return
    throw new DaybookError('overloaded', `${this.#all.size} subscriptions are open.`, {
      limit: limits.subscriptions_max,
      retry: true
    })
  }

  /** Begins to read for a connection that was accepted. While the server stops, it ends the connection at once. */
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
   * Checks rights again after access rules or accounts have changed.
   * @param stream whose rules; undefined: perhaps all
   */
  checkRights(stream?: string): void {
    for (const subscription of this.#all.values()) subscription.checkRight(stream)
  }

  /** Closes every subscription with `stopping`. Clients are told the cursor to resume after. */
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
          subscription.fail(error as Error) // it ends alone
        }
      }
      if (!this.ending.aborted) this.#tickLater()
    })
  }
}

function stopping(): DaybookError {
  return new DaybookError('stopping', 'The server is stopping. Come back with the cursor.', { retry: true })
}
