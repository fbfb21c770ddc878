/** Everybody who reads live, while they are connected; one pulse for all of them. */
import { setMaxListeners } from 'node:events'
import { DaybookError } from '../errors.js'
import { limits } from '../limits.js'
import type { Metrics } from '../metrics.js'
import type { Reader } from '../reading/reader.js'
import type { Clock } from '../time/clock.js'
import { type Connection, type Keeper, Subscription, type SubscriptionOptions } from './subscription.js'
import type { Following } from './tail.js'
import type { Tails } from './tails.js'

export interface SubscriptionsParts {
  reader: Reader
  tails: Tails
  clock: Clock
  metrics: Metrics
  /** A connection that takes nothing for so long is closed, milliseconds. */
  drainMs?: number | undefined
}

export class Subscriptions {
  readonly #parts: SubscriptionsParts & { drainMs: number }
  readonly #all = new Map<number, Subscription>()
  readonly #end = new AbortController()
  #lastId = 0
  #cancel = () => {}

  constructor(parts: SubscriptionsParts) {
    this.#parts = { ...parts, drainMs: parts.drainMs ?? limits.drain_ms }
    setMaxListeners(0, this.#end.signal) // one for each that waits
    this.#pulseLater()
  }

  get size(): number {
    return this.#all.size
  }

  /** Aborted when the server stops: whoever waits for events waits no more. */
  get ending(): AbortSignal {
    return this.#end.signal
  }

  /** In the order in which they came. */
  all(): IterableIterator<Subscription> {
    return this.#all.values()
  }

  /** Checked before a connection is accepted. @throws `overloaded`, `stopping` */
  checkRoom(): void {
    if (this.ending.aborted) throw stopping()
    if (this.#all.size < limits.subscriptions_max) return
    throw new DaybookError('overloaded', `${this.#all.size} subscriptions are open.`, {
      limit: limits.subscriptions_max,
      retry: true
    })
  }

  /**
   * Begins to read for a connection that was accepted.
   * @param onClosed called once when it has ended
   */
  open(
    following: Following,
    options: SubscriptionOptions,
    connection: Connection,
    onClosed?: () => void,
    keeper?: Keeper
  ): Subscription {
    const id = ++this.#lastId
    const ended = () => {
      this.#all.delete(id)
      onClosed?.()
    }
    const subscription = new Subscription(this.#parts, id, following, options, connection, ended, keeper)
    this.#all.set(id, subscription)
    if (this.ending.aborted) subscription.close(stopping())
    else subscription.start()
    return subscription
  }

  /** Access rules or accounts have changed. @param stream whose rules; undefined: perhaps all */
  checkRights(stream?: string): void {
    for (const subscription of this.#all.values()) subscription.checkRight(stream)
  }

  /** Tells everybody where to go on, and ends their connections. */
  close(): void {
    this.#end.abort()
    this.#cancel()
    for (const subscription of this.#all.values()) subscription.close(stopping())
  }

  #pulseLater(): void {
    this.#cancel = this.#parts.clock.after(limits.pulse_ms, () => {
      const now = this.#parts.clock.elapsed()
      for (const subscription of this.#all.values()) subscription.pulse(now)
      if (!this.ending.aborted) this.#pulseLater()
    })
  }
}

function stopping(): DaybookError {
  return new DaybookError('stopping', 'The server is stopping. Come back with the cursor.', { retry: true })
}
