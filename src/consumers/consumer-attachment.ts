import { DaybookError } from '../errors.js'
import type { EndedConnection, Redelivery } from '../subscriptions/connection.js'
import type { ProgressListener } from '../subscriptions/delivery.js'
import type { Subscription } from '../subscriptions/subscription.js'
import type { Clock } from '../time/clock.js'
import type { ConsumerDefinition } from './consumer-definition.js'

/** The part of a consumer that an attachment uses. */
export interface AttachedConsumer {
  readonly name: string
  readonly definition: ConsumerDefinition
  readonly cursor: number
  readonly generation: number
  readonly redelivery: Redelivery | undefined
  detach(attachment: ConsumerAttachment, ended: EndedConnection | undefined): void
  recordSent(cursor: number): void
  sendsAgain(after: number): void
  moveTo(cursor: number): void
  acknowledge(cursor: number, generation: number, head: number): Promise<void>
  tick(): void
}

/**
 * A connection that reads for a consumer. It moves the consumer's cursor only while it has the newest generation. It
 * sends events again that are not acknowledged in time.
 */
export class ConsumerAttachment implements ProgressListener {
  readonly consumer: AttachedConsumer
  readonly generation: number
  /** The consumer's cursor when the connection attached. The connection reads the events after it. */
  readonly start: number
  subscription: Subscription | undefined
  readonly #clock: Clock
  /**
   * The last time that no event was in flight, or that events were acknowledged or sent again. Monotonic, in
   * milliseconds.
   */
  #since: number
  /** Redeliveries since the last acknowledgement. */
  #retries = 0

  constructor(consumer: AttachedConsumer, clock: Clock) {
    this.consumer = consumer
    this.generation = consumer.generation + 1
    this.start = consumer.cursor
    this.#clock = clock
    this.#since = clock.elapsed()
  }

  /** Name and generation to tell the client, which sends the generation with every acknowledgement. */
  get named(): { readonly name: string; readonly generation: number } {
    return { name: this.consumer.name, generation: this.generation }
  }

  get #isNewest(): boolean {
    return this.generation === this.consumer.generation
  }

  /** Detaches the connection from the consumer. @param ended how it ended; undefined: it never began to read */
  release(ended?: EndedConnection): void {
    this.consumer.detach(this, ended)
  }

  get redelivery(): Redelivery | undefined {
    return this.consumer.redelivery
  }

  sendsAgain(after: number): void {
    if (this.#isNewest) this.consumer.sendsAgain(after)
  }

  sent(cursor: number): void {
    if (this.#isNewest) this.consumer.recordSent(cursor)
  }

  settled(cursor: number): void {
    if (this.#isNewest) this.consumer.moveTo(cursor)
  }

  /** Applies the client's acknowledgement of all events up to a cursor. */
  acknowledged(cursor: number): void {
    this.#since = this.#clock.elapsed()
    this.#retries = 0
    this.subscription?.machine.acknowledged(cursor)
  }

  /**
   * Sends events again that were not acknowledged in time. After `maxRetryCount` redeliveries it closes the
   * subscription with `not-acknowledged`.
   */
  tick(): void {
    const { messageTimeoutMilliseconds: timeout, maxRetryCount } = this.consumer.definition.settings
    const { subscription } = this
    this.consumer.tick()
    if (subscription === undefined || timeout === 0) return
    if (subscription.machine.inFlight === 0) this.#since = this.#clock.elapsed()
    if (this.#clock.elapsed() - this.#since <= timeout) return
    this.#since = this.#clock.elapsed()
    if (this.#retries >= maxRetryCount) {
      const { name } = this.consumer
      const why = `The events after cursor ${this.consumer.cursor} were sent ${this.#retries + 1} times and never acknowledged.`
      subscription.close(
        new DaybookError('not-acknowledged', why, { consumer: name, cursor: String(this.consumer.cursor) })
      )
      return
    }
    this.#retries++
    subscription.redeliver()
  }
}
