/**
 * A consumer: a named reader with a durable cursor. Each connection that reads for it begins a new generation.
 * Acknowledgements from an older generation are refused.
 */

import { PacedSaves } from '../dispatch/paced-saves.js'
import type { Checkpoint, MovedPlace, Places } from '../dispatch/places.js'
import { DaybookError } from '../errors.js'
import { isDiskFull } from '../log/storage-faults.js'
import type { EndedConnection, Redelivery } from '../subscriptions/connection.js'
import type { Subscription } from '../subscriptions/subscription.js'
import type { Clock } from '../time/clock.js'
import type { ServedTime } from '../time/served-time.js'
import { type AttachedConsumer, ConsumerAttachment } from './consumer-attachment.js'
import type { ConsumerDefinition } from './consumer-definition.js'
import { DeliveryCounts } from './delivery-counts.js'
import { firstPlace } from './first-place.js'

export interface ConsumerParts {
  readonly places: Places
  readonly clock: Clock
  readonly served: ServedTime
}

export class Consumer implements AttachedConsumer {
  readonly definition: ConsumerDefinition
  /** `expiresAfter` in milliseconds; undefined: it never expires. */
  readonly #expiresMs: number | undefined
  readonly #places: Places
  readonly #clock: Clock
  readonly #served: ServedTime
  readonly #saves: PacedSaves
  #place: Checkpoint
  /** See `SavedPlace.validUpTo`. */
  readonly validUpTo: number
  readonly #movedBefore: MovedPlace | undefined
  /** `#place.active` as served time, in milliseconds. The consumer expires by this time. */
  #activeServed: number
  /** The last cursor that was sent to a reader; undefined: none since the server started. */
  #sentTo: number | undefined
  #attachment: ConsumerAttachment | undefined
  #counts = new DeliveryCounts()
  #lastConnection: EndedConnection | undefined

  /**
   * @param expiresMs `expiresAfter` in milliseconds
   * @param defined position of the event that defines it
   */
  constructor(
    { places, clock, served }: ConsumerParts,
    definition: ConsumerDefinition,
    expiresMs: number | undefined,
    defined: number
  ) {
    const { checkpointAfterMilliseconds, maxCheckpointsPerEpoch } = definition.settings
    const pace = { intervalMs: checkpointAfterMilliseconds, savesMax: maxCheckpointsPerEpoch }
    this.definition = definition
    this.#expiresMs = expiresMs
    this.#places = places
    this.#clock = clock
    this.#served = served
    this.#saves = new PacedSaves(clock, pace, () => places.save('consumer', this.name, this.#place))
    const saved = places.get('consumer', definition.name)
    const place = firstPlace(definition, defined, saved, clock.now())
    this.validUpTo = saved?.validUpTo ?? Infinity
    this.#movedBefore = saved?.moved
    // Do not remove a consumer that expired while the server was down: its readers could not connect.
    const now = clock.now()
    const idle = Math.min(Math.max(0, now - place.active), expiresMs ?? Infinity)
    this.#place = { ...place, active: now - idle }
    this.#activeServed = served.read() - idle
  }

  get name(): string {
    return this.definition.name
  }

  /** All events up to this cursor were acknowledged, or sent when no acknowledgements are requested. */
  get cursor(): number {
    return this.#place.cursor
  }

  get generation(): number {
    return this.#place.generation
  }

  /**
   * The last time that the cursor was moved back because the log had lost its end; undefined: never since the last
   * reset.
   */
  get moved(): MovedPlace | undefined {
    return this.#place.moved
  }

  /** When a reader was last active, in milliseconds since 1970. */
  get active(): number {
    return this.#attachment === undefined ? this.#place.active : this.#clock.now()
  }

  /** The subscription of the connection that reads for it; undefined: there is none. */
  get subscription(): Subscription | undefined {
    return this.#attachment?.subscription
  }

  /** How the last connection ended; undefined: none has ended since the server started. */
  get lastConnection(): EndedConnection | undefined {
    return this.#lastConnection
  }

  /** Delivery counts of events sent since the server started and not acknowledged; undefined: there are none. */
  get redelivery(): Redelivery | undefined {
    return this.#counts.to > this.#place.cursor ? this.#counts : undefined
  }

  /** `expired` after `expiresAfter` without a reader; `over` after twice that time, when it must be removed. */
  get age(): 'fresh' | 'expired' | 'over' {
    const idle = this.#idle
    if (this.#expiresMs === undefined || idle <= this.#expiresMs) return 'fresh'
    return idle <= 2 * this.#expiresMs ? 'expired' : 'over'
  }

  /** Served time since the last reader, in milliseconds. */
  get #idle(): number {
    return this.#attachment === undefined ? this.#served.read() - this.#activeServed : 0
  }

  /** @throws DaybookError `consumer-in-use` when a connection reads for it */
  checkFree(): void {
    if (this.#attachment === undefined) return
    const message = `Another connection reads for "${this.name}". Close it, or use takeover=true to replace it.`
    throw new DaybookError('consumer-in-use', message, {
      consumer: this.name,
      generation: this.generation,
      retry: true
    })
  }

  /**
   * Moves the cursor back to the last event that is certain to be in this log. Later events are lost, and other events
   * may have their positions, so this must run before any read. It begins a new generation, so that acknowledgements of
   * lost events are refused.
   * @param last the last certain cursor of the source
   * @returns how the cursor was moved back since the checkpoint was saved; undefined when it was not
   */
  settle(last: number): MovedPlace | undefined {
    const { cursor, generation } = this.#place
    const isBeyond = cursor > last
    if (this.validUpTo === Infinity && !isBeyond) return undefined
    const reason =
      this.validUpTo === Infinity
        ? `its source ends at ${last}: the log has lost its end`
        : `the log has lost its end: no event after position ${this.validUpTo} is certain to be in it`
    const moved = isBeyond && { moved: { from: cursor, to: last, reason, at: this.#clock.now() } }
    this.#place = { ...this.#place, cursor: Math.min(cursor, last), generation: generation + 1, ...moved }
    this.#saves.saveNow().catch(() => {}) // the save is retried; a restart before that computes the same cursor
    return this.moved === this.#movedBefore ? undefined : this.moved
  }

  /** Saves the first checkpoint; resolves when it is on disk. */
  begin(): Promise<void> {
    return this.#places.save('consumer', this.name, this.#place)
  }

  /**
   * Begins a new generation for a connection; resolves when the generation is on disk.
   * @param takeover closes the connection that reads for the consumer now
   * @throws DaybookError `consumer-in-use`; `read-only` while checkpoints cannot be written
   */
  async attach(takeover: boolean): Promise<ConsumerAttachment> {
    const before = this.#attachment
    if (!takeover) this.checkFree()
    const { failure } = this.#places
    if (failure !== undefined) {
      const why = isDiskFull(failure) ? 'the disk is full' : 'the disk refused a write'
      const message = `A new reader needs a write, but ${why}. Other reads still work; try again later.`
      throw new DaybookError('read-only', message, { retry: true })
    }
    const attachment = new ConsumerAttachment(this, this.#clock)
    this.#attachment = attachment
    try {
      await this.#newGeneration(this.#place.cursor, 'Another connection has taken over this consumer.', before)
    } catch (error) {
      attachment.release()
      throw error
    }
    return attachment
  }

  /**
   * Detaches a connection that has ended.
   * @param ended how it ended; undefined: it never began to read
   */
  detach(attachment: ConsumerAttachment, ended: EndedConnection | undefined): void {
    if (ended !== undefined) this.#lastConnection = ended
    if (this.#attachment !== attachment) return
    this.#attachment = undefined
    this.touch()
  }

  /** Records that events up to a cursor were sent to the reader, which may now acknowledge them. */
  recordSent(cursor: number): void {
    this.#sentTo = Math.max(this.#sentTo ?? -1, cursor)
    this.#counts.sent(cursor)
  }

  /** Records that sending starts over after a cursor. */
  sendsAgain(after: number): void {
    this.#counts.startOver(after)
  }

  /** Records that the consumer has a reader now, so that it does not expire. */
  touch(): void {
    this.#place = { ...this.#place, active: this.#activeNow() }
    this.#saves.changed()
    this.#saves.saveIfDue()
  }

  /**
   * Acknowledges all events up to a cursor; resolves when the cursor is on disk. Repeated acknowledgements have no
   * effect.
   * @param head the last cursor of the source that the reader may see. After a restart the sent events are unknown, so
   * any cursor up to this one may be acknowledged.
   * @throws DaybookError `stale-generation`, `not-sent`
   */
  async acknowledge(cursor: number, generation: number, head: number): Promise<void> {
    this.#checkGeneration(generation)
    const done = this.subscription?.machine.done ?? -1
    const most = Math.max(this.#place.cursor, this.#sentTo === undefined ? head : Math.max(this.#sentTo, done))
    if (cursor > most) {
      const message = `Cursor ${cursor} was not sent to consumer "${this.name}" yet; the last cursor sent is ${most}.`
      throw new DaybookError('not-sent', message, { consumer: this.name, cursor: String(cursor), last: String(most) })
    }
    this.moveTo(cursor)
    this.#attachment?.acknowledged(cursor)
    await this.#saves.saveInPace()
  }

  /** Sets the cursor, also back, and begins a new generation; resolves when both are on disk. */
  async reset(cursor: number): Promise<void> {
    const before = this.#attachment
    this.#attachment = undefined
    this.#place = { ...this.#place, moved: undefined }
    this.#counts = new DeliveryCounts()
    await this.#newGeneration(cursor, 'This consumer was reset.', before)
  }

  /** Closes the consumer's connection with `consumer-removed`. */
  end(): void {
    const error = new DaybookError('consumer-removed', `"${this.name}" was removed.`, { consumer: this.name })
    this.#attachment?.subscription?.close(error, true)
    this.#attachment = undefined
  }

  /** Moves the cursor forward, never back. It is saved when the next save is due. */
  moveTo(cursor: number): void {
    if (cursor <= this.#place.cursor) return
    this.#place = { ...this.#place, cursor, active: this.#activeNow() }
    this.#saves.changed()
  }

  /** Saves the checkpoint when that is due. Called every `tick_ms` while a connection reads for the consumer. */
  tick(): void {
    // Save `active` from time to time, so that after a crash the time of the last reader is roughly known.
    if (this.#served.read() - this.#activeServed > (this.#expiresMs ?? Infinity) / 4) this.touch()
    else this.#saves.saveIfDue()
  }

  /** Records that the consumer has a reader now. Returns the time, in milliseconds since 1970. */
  #activeNow(): number {
    this.#activeServed = this.#served.read()
    return this.#clock.now()
  }

  async #newGeneration(cursor: number, why: string, before: ConsumerAttachment | undefined): Promise<void> {
    this.#place = { ...this.#place, cursor, generation: this.#place.generation + 1, active: this.#activeNow() }
    this.#sentTo = cursor
    this.sendsAgain(cursor)
    before?.subscription?.close(this.#stale(why))
    await this.#saves.saveNow()
  }

  #checkGeneration(generation: number): void {
    if (generation !== this.#place.generation)
      throw this.#stale(`Generation ${generation} is no longer valid; the current one is ${this.#place.generation}.`)
  }

  #stale(why: string): DaybookError {
    const { generation } = this.#place
    return new DaybookError('stale-generation', why, { consumer: this.name, generation })
  }
}
