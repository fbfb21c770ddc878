import { DaybookError } from '../errors.js'
import type { EndedConnection, Redelivery } from '../subscriptions/connection.js'
import type { ProgressListener } from '../subscriptions/delivery.js'
import type { Subscription } from '../subscriptions/subscription.js'
import type { Clock } from '../time/clock.js'
import type { ConsumerDefinition } from './consumer-definition.js'

/** What an attachment needs of its consumer. */
export interface AttachedConsumer {
  readonly name: string
  readonly definition: ConsumerDefinition
  readonly cursor: number
  readonly generation: number
  readonly redelivery: Redelivery | undefined
  detach(attachment: ConsumerAttachment, ended: EndedConnection | undefined): void
  given(cursor: number): void
  sendsAgain(after: number): void
  moveTo(cursor: number): void
  acknowledge(cursor: number, generation: number, head: number): Promise<void>
  tick(): void
}

/**
 * A connection that reads for a consumer. It moves the consumer's place only while it has the newest generation. Events
 * that are not acknowledged in time are sent again.
 */
export class ConsumerAttachment implements ProgressListener {
  readonly consumer: AttachedConsumer
  readonly generation: number
  /** The consumer's cursor when the connection attached: it reads what comes after. */
  readonly start: number
  subscription: Subscription | undefined
  readonly #clock: Clock
  /** The last time that nothing was in flight, or something was acknowledged or sent again: milliseconds, monotonic. */
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

  /** Name and generation as the client is told: it puts the generation into every acknowledgement. */
  get named(): { readonly name: string; readonly generation: number } {
    return { name: this.consumer.name, generation: this.generation }
  }

  get #isNewest(): boolean {
    return this.generation === this.consumer.generation
  }

  /** The connection is gone. @param ended undefined: it never began to read */
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
    if (this.#isNewest) this.consumer.given(cursor)
  }

  settled(cursor: number): void {
    if (this.#isNewest) this.consumer.moveTo(cursor)
  }

  /** The client acknowledged everything up to a cursor. */
  acknowledged(cursor: number): void {
    this.#since = this.#clock.elapsed()
    this.#retries = 0
    this.subscription?.machine.acknowledged(cursor)
  }

  /** Sends events again that were not acknowledged in time; after `maxRetryCount` closes with `not-acknowledged`. */
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
      const why = `Sent ${this.#retries + 1} times, nothing after ${this.consumer.cursor} was acknowledged.`
      subscription.close(
        new DaybookError('not-acknowledged', why, { consumer: name, cursor: String(this.consumer.cursor) })
      )
      return
    }
    this.#retries++
    subscription.redeliver()
  }
}
