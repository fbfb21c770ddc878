/**
 * A consumer: a name, what it reads, and the place up to which that was dealt with. Each connection that reads for it
 * begins a new generation. An acknowledgement of an older generation moves nothing.
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
  /** See SavedPlace. */
  readonly validUpTo: number
  readonly #movedBefore: MovedPlace | undefined
  /** `#place.active` in served time, milliseconds: the consumer's age is measured from it. */
  #activeServed: number
  /** The last cursor that was sent to its reader; undefined: none since the server started. */
  #sentTo: number | undefined
  #attachment: ConsumerAttachment | undefined
  #counts = new DeliveryCounts()
  #lastConnection: EndedConnection | undefined

  /**
   * @param expiresMs `expiresAfter`, milliseconds
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
    // A consumer that expired while the server was down is not removed at once: its readers could not come.
    const now = clock.now()
    const idle = Math.min(Math.max(0, now - place.active), expiresMs ?? Infinity)
    this.#place = { ...place, active: now - idle }
    this.#activeServed = served.read() - idle
  }

  get name(): string {
    return this.definition.name
  }

  /** Everything up to here was dealt with. */
  get cursor(): number {
    return this.#place.cursor
  }

  get generation(): number {
    return this.#place.generation
  }

  /**
   * The last time that its place was put back because the log had lost its end; undefined: never, or it was reset
   * since.
   */
  get moved(): MovedPlace | undefined {
    return this.#place.moved
  }

  /** When a reader last read or acknowledged, milliseconds since 1970. */
  get active(): number {
    return this.#attachment === undefined ? this.#place.active : this.#clock.now()
  }

  /** The connection that reads for it; undefined: none. */
  get subscription(): Subscription | undefined {
    return this.#attachment?.subscription
  }

  /** The last connection that has ended; undefined: none since the server started. */
  get lastConnection(): EndedConnection | undefined {
    return this.#lastConnection
  }

  /** What its readers were sent before and did not acknowledge, since the server started; undefined: nothing. */
  get redelivery(): Redelivery | undefined {
    return this.#counts.to > this.#place.cursor ? this.#counts : undefined
  }

  /** `expired` after `expiresAfter` without a reader; `over` after twice as long, when it is to be removed. */
  get age(): 'fresh' | 'expired' | 'over' {
    const idle = this.#idle
    if (this.#expiresMs === undefined || idle <= this.#expiresMs) return 'fresh'
    return idle <= 2 * this.#expiresMs ? 'expired' : 'over'
  }

  /** Served time since the last reader, milliseconds. */
  get #idle(): number {
    return this.#attachment === undefined ? this.#served.read() - this.#activeServed : 0
  }

  /** @throws `consumer-in-use` when a connection reads for it */
  checkFree(): void {
    if (this.#attachment === undefined) return
    throw new DaybookError('consumer-in-use', `"${this.name}" is read by another connection; takeover=true takes it.`, {
      consumer: this.name,
      generation: this.generation,
      retry: true
    })
  }

  /**
   * Puts the place back to the last event that is certain to be in this log. To be called before anyone reads: events
   * after that one are lost, and other events may have got their positions. It begins a new generation, so that
   * acknowledgements of lost events move nothing.
   * @param last the last cursor of its source that is certain
   * @returns how the place was put back since it was saved; undefined when it was not
   */
  settle(last: number): MovedPlace | undefined {
    const { cursor, generation } = this.#place
    const isBeyond = cursor > last
    if (this.validUpTo === Infinity && !isBeyond) return undefined
    const reason =
      this.validUpTo === Infinity
        ? `its source ends at ${last}: the log has lost its end`
        : `the log has lost its end: of what it was, nothing after position ${this.validUpTo} is certain to be in it`
    const moved = isBeyond && { moved: { from: cursor, to: last, reason, at: this.#clock.now() } }
    this.#place = { ...this.#place, cursor: Math.min(cursor, last), generation: generation + 1, ...moved }
    this.#saves.saveNow().catch(() => {}) // it is retried; a start before then comes to the same place
    return this.moved === this.#movedBefore ? undefined : this.moved
  }

  /** Saves the place where it begins; resolves when it is on disk. */
  begin(): Promise<void> {
    return this.#places.save('consumer', this.name, this.#place)
  }

  /**
   * Begins a new generation for a connection; resolves when that is on disk.
   * @param takeover ends the connection that reads for it now
   * @throws `consumer-in-use`, `read-only` while nothing can be written
   */
  async attach(takeover: boolean): Promise<ConsumerAttachment> {
    const before = this.#attachment
    if (!takeover) this.checkFree()
    const { failure } = this.#places
    if (failure !== undefined) {
      const why = isDiskFull(failure) ? 'the disk is full' : 'the disk refused a write'
      throw new DaybookError('read-only', `A new generation cannot be written now: ${why}; reads go on.`, {
        retry: true
      })
    }
    const attachment = new ConsumerAttachment(this, this.#clock)
    this.#attachment = attachment
    try {
      await this.#newGeneration(this.#place.cursor, 'Another connection took this consumer over.', before)
    } catch (error) {
      attachment.release()
      throw error
    }
    return attachment
  }

  /**
   * @param attachment the connection that is gone
   * @param ended how; undefined: it never began to read
   */
  detach(attachment: ConsumerAttachment, ended: EndedConnection | undefined): void {
    if (ended !== undefined) this.#lastConnection = ended
    if (this.#attachment !== attachment) return
    this.#attachment = undefined
    this.touch()
  }

  /** Events up to a cursor were sent to its reader: they may be acknowledged. */
  given(cursor: number): void {
    this.#sentTo = Math.max(this.#sentTo ?? -1, cursor)
    this.#counts.sent(cursor)
  }

  /** What comes after a cursor is sent to its reader, once more if it was sent before. */
  sendsAgain(after: number): void {
    this.#counts.startOver(after)
  }

  /** It has a reader at this moment, so it does not expire. */
  touch(): void {
    this.#place = { ...this.#place, active: this.#activeNow() }
    this.#saves.changed()
    this.#saves.saveIfDue()
  }

  /**
   * Everything up to a cursor was dealt with; resolves when that is on disk. Repeating an acknowledgement changes
   * nothing.
   * @param head the end of its source as its reader sees it: so far may be acknowledged after a restart
   * @throws `stale-generation`, `not-sent`
   */
  async acknowledge(cursor: number, generation: number, head: number): Promise<void> {
    this.#checkGeneration(generation)
    const done = this.subscription?.machine.done ?? -1
    const most = Math.max(this.#place.cursor, this.#sentTo === undefined ? head : Math.max(this.#sentTo, done))
    if (cursor > most) {
      throw new DaybookError('not-sent', `The cursor ${cursor} was not sent to "${this.name}"; ${most} was the last.`, {
        consumer: this.name,
        cursor: String(cursor),
        last: String(most)
      })
    }
    this.moveTo(cursor)
    this.#attachment?.acknowledged(cursor)
    await this.#saves.saveInPace()
  }

  /** Moves the place to a cursor, also back, and begins a new generation; resolves when that is on disk. */
  async reset(cursor: number): Promise<void> {
    const before = this.#attachment
    this.#attachment = undefined
    this.#place = { ...this.#place, moved: undefined }
    this.#counts = new DeliveryCounts()
    await this.#newGeneration(cursor, 'This consumer was reset.', before)
  }

  /** Closes its connection with `consumer-removed`. */
  end(): void {
    const error = new DaybookError('consumer-removed', `"${this.name}" was removed.`, { consumer: this.name })
    this.#attachment?.subscription?.close(error, true)
    this.#attachment = undefined
  }

  /** Moves the place on, never back. It is saved when that is due. */
  moveTo(cursor: number): void {
    if (cursor <= this.#place.cursor) return
    this.#place = { ...this.#place, cursor, active: this.#activeNow() }
    this.#saves.changed()
  }

  /** Saves the place when that is due. Called while a connection reads for it. */
  tick(): void {
    // `active` is saved now and then, so that a server that is killed knows roughly when there was a reader last.
    if (this.#served.read() - this.#activeServed > (this.#expiresMs ?? Infinity) / 4) this.touch()
    else this.#saves.saveIfDue()
  }

  /** Notes that it has a reader now. @returns the time, milliseconds since 1970 */
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
    if (generation !== this.#place.generation) throw this.#stale(`The generation is ${this.#place.generation} by now.`)
  }

  #stale(why: string): DaybookError {
    const { generation } = this.#place
    return new DaybookError('stale-generation', why, { consumer: this.name, generation })
  }
}
