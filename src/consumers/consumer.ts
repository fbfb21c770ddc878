/**
 * A consumer with a name: what it reads, the place up to which it has dealt with it, and who reads for it now. Its
 * generation rises with every reader that comes; what a reader of an older generation says moves nothing.
 */

import type { Checkpoint, MovedPlace, Places, SavedPlace } from '../dispatch/places.js'
import { DaybookError } from '../errors.js'
import type { Keeper, Subscription } from '../subscriptions/subscription.js'
import type { Clock } from '../time/clock.js'
import type { ServedTime } from './served-time.js'

/** The settings of native contract §7. Times are milliseconds. */
export interface ConsumerSettings {
  /** Events read from the log at once while catching up. */
  readonly readBatchSize: number
  /** Events that may be sent and not acknowledged. */
  readonly bufferSize: number
  /** New events that may wait for a reader before it goes back to the log. */
  readonly liveBufferSize: number
  /** In so long a time its checkpoint is written at least once when it moved… */
  readonly checkpointAfterMilliseconds: number
  /** …and at most so often. */
  readonly maxCheckpointsPerEpoch: number
  /** When nothing was acknowledged for so long, what was sent is sent once more; 0: never. */
  readonly messageTimeoutMilliseconds: number
  /** Sent once more so often, its connection is ended. */
  readonly maxRetryCount: number
  /** Nobody read for so long: it is marked; for twice as long: it is removed. Undefined: it stays. */
  readonly expiresAfter: string | undefined
}

export const CONSUMER_DEFAULTS: ConsumerSettings = {
  readBatchSize: 500,
  bufferSize: 500,
  liveBufferSize: 500,
  checkpointAfterMilliseconds: 1000,
  maxCheckpointsPerEpoch: 10,
  messageTimeoutMilliseconds: 30_000,
  maxRetryCount: 10,
  expiresAfter: undefined
}

export interface ConsumerDefinition {
  readonly name: string
  /** The address that it reads, its parameters in a fixed order. */
  readonly source: string
  /** Where it was to begin, as it was asked for. */
  readonly from: string
  /** Login of who made it; undefined: somebody who had not signed in. */
  readonly owner?: string | undefined
  /** When their account was made, milliseconds. */
  readonly ownerSince?: number | undefined
  /** What that came to: everything up to here is not for it. */
  readonly start: number
  /** Its first reader gets the next one. */
  readonly generation: number
  readonly settings: ConsumerSettings
}

export interface ConsumerParts {
  places: Places
  clock: Clock
  served: ServedTime
}

export class Consumer {
  readonly definition: ConsumerDefinition
  /** `expiresAfter`; undefined: it stays. */
  readonly #expiresMs: number | undefined
  readonly #places: Places
  readonly #clock: Clock
  readonly #served: ServedTime
  #place: Checkpoint
  /** See SavedPlace. */
  readonly validUpTo: number
  readonly #movedBefore: MovedPlace | undefined
  /** `#place.active` in served time, milliseconds: the consumer's age is measured from it. */
  #activeServed: number
  /** The last cursor that was given to its reader; undefined: the server has started since. */
  #sentTo: number | undefined
  #reader: Attachment | undefined
  /** A write that waits for its time, and takes what is newest by then. */
  #waiting: Promise<void> | undefined
  #dirty = false
  #epoch = { since: -Infinity, written: 0 }

  /**
   * @param expiresMs `expiresAfter`, milliseconds
   * @param defined position of the definition
   */
  constructor(
    { places, clock, served }: ConsumerParts,
    definition: ConsumerDefinition,
    expiresMs: number | undefined,
    defined: number
  ) {
    this.definition = definition
    this.#expiresMs = expiresMs
    this.#places = places
    this.#clock = clock
    this.#served = served
    const saved = places.get('consumer', definition.name)
    const place = placeOf(definition, defined, saved, clock.now())
    this.validUpTo = saved?.validUpTo ?? Infinity
    this.#movedBefore = saved?.moved
    // While the server was away nobody could come: a chance is left to everybody.
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

  /** The last time that its place was put back because the log has lost its end. */
  get moved(): MovedPlace | undefined {
    return this.#place.moved
  }

  /** When somebody last read or acknowledged, milliseconds. */
  get active(): number {
    return this.#reader === undefined ? this.#place.active : this.#clock.now()
  }

  /** The connection that reads for it. */
  get subscription(): Subscription | undefined {
    return this.#reader?.subscription
  }

  /** `expired` of one that is removed when it stays alone. */
  get age(): 'fresh' | 'expired' | 'over' {
    const idle = this.#idle
    if (this.#expiresMs === undefined || idle <= this.#expiresMs) return 'fresh'
    return idle <= 2 * this.#expiresMs ? 'expired' : 'over'
  }

  /** Served time since somebody last read for it, milliseconds. */
  get #idle(): number {
    return this.#reader === undefined ? this.#served.read() - this.#activeServed : 0
  }

  /** @throws `consumer-in-use` when a connection reads for it */
  checkFree(): void {
    if (this.#reader === undefined) return
    throw new DaybookError('consumer-in-use', `"${this.name}" is read by another connection; takeover=true takes it.`, {
      consumer: this.name,
      generation: this.generation,
      retry: true
    })
  }

  /**
   * Puts the place back to the last event that is certain to be in this log, before anybody reads: events after it were
   * lost, and others have their positions now. A new generation begins, so that readers of lost events move nothing.
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
    this.#save().catch(() => {}) // it is tried again; until then a start finds the same
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
  async attach(takeover: boolean): Promise<Attachment> {
    const before = this.#reader
    if (!takeover) this.checkFree()
    const { failure } = this.#places
    if (failure !== undefined) {
      throw new DaybookError('read-only', `A new generation cannot be written: ${failure.message}`, { retry: true })
    }
    const attachment = new Attachment(this, this.#clock)
    this.#reader = attachment
    await this.#newGeneration(this.#place.cursor, 'Another connection took this consumer over.', before)
    return attachment
  }

  /** @param attachment the connection that is gone */
  detach(attachment: Attachment): void {
    if (this.#reader !== attachment) return
    this.#reader = undefined
    this.touch()
  }

  /** @param cursor the last that was given to its reader */
  given(cursor: number): void {
    this.#sentTo = Math.max(this.#sentTo ?? -1, cursor)
  }

  /** Somebody reads for it: it does not expire. */
  touch(): void {
    this.#place = { ...this.#place, active: this.#activeNow() }
    this.#dirty = true
    this.#saveSometimes()
  }

  /**
   * Everything up to a cursor was dealt with; resolves when that is on disk. What was acknowledged before is so again.
   * @param head the end of its source
   * @throws `stale-generation`, `not-sent`
   */
  async acknowledge(cursor: number, generation: number, head: number): Promise<void> {
    this.#checkGeneration(generation)
    const done = this.subscription?.machine.done ?? -1
    const most = Math.max(this.#place.cursor, Math.min(head, Math.max(this.#sentTo ?? head, done)))
    if (cursor > most) {
      throw new DaybookError('not-sent', `The cursor ${cursor} was not sent to "${this.name}"; ${most} was the last.`, {
        consumer: this.name,
        cursor: String(cursor),
        last: String(most)
      })
    }
    this.moveTo(cursor)
    this.#reader?.acknowledged(cursor)
    await this.#saveInTime()
  }

  /** Goes on elsewhere, in a new generation; resolves when that is on disk. */
  async reset(cursor: number): Promise<void> {
    const before = this.#reader
    this.#reader = undefined
    this.#place = { ...this.#place, moved: undefined }
    await this.#newGeneration(cursor, 'This consumer was reset.', before)
  }

  /** Ends its connection: it is no more. */
  end(): void {
    const error = new DaybookError('consumer-removed', `"${this.name}" was removed.`, { consumer: this.name })
    this.#reader?.subscription?.close(error, true)
    this.#reader = undefined
  }

  /** The place goes on, never back; it is saved when its time comes. */
  moveTo(cursor: number): void {
    if (cursor <= this.#place.cursor) return
    this.#place = { ...this.#place, cursor, active: this.#activeNow() }
    this.#dirty = true
  }

  /** Looks at what has become due, while somebody reads for it. */
  pulse(): void {
    // A server that is killed knows not much later when somebody read last.
    if (this.#served.read() - this.#activeServed > (this.#expiresMs ?? Infinity) / 4) this.touch()
    else this.#saveSometimes()
  }

  /** Somebody reads now. @returns when that is, milliseconds since 1970 */
  #activeNow(): number {
    this.#activeServed = this.#served.read()
    return this.#clock.now()
  }

  /** Saves what moved, when its time has come. */
  #saveSometimes(): void {
    const due = this.#clock.elapsed() - this.#epoch.since >= this.definition.settings.checkpointAfterMilliseconds
    if (this.#dirty && due) this.#saveInTime().catch(() => {}) // it is tried again, and the failure is shown
  }

  async #newGeneration(cursor: number, why: string, before: Attachment | undefined): Promise<void> {
    this.#place = { ...this.#place, cursor, generation: this.#place.generation + 1, active: this.#activeNow() }
    this.#sentTo = cursor
    before?.subscription?.close(this.#stale(why))
    await this.#save()
  }

  #checkGeneration(generation: number): void {
    if (generation !== this.#place.generation) throw this.#stale(`The generation is ${this.#place.generation} by now.`)
  }

  #stale(why: string): DaybookError {
    const { generation } = this.#place
    return new DaybookError('stale-generation', why, { consumer: this.name, generation })
  }

  /** Within an epoch only so many are written: then all wait for the next, and are written as one. */
  #saveInTime(): Promise<void> {
    const { checkpointAfterMilliseconds, maxCheckpointsPerEpoch } = this.definition.settings
    const now = this.#clock.elapsed()
    if (now - this.#epoch.since >= checkpointAfterMilliseconds) this.#epoch = { since: now, written: 0 }
    if (this.#waiting !== undefined) return this.#waiting
    if (this.#epoch.written < maxCheckpointsPerEpoch) return this.#save()
    const rest = this.#epoch.since + checkpointAfterMilliseconds - now
    this.#waiting = new Promise<void>((resolve) => this.#clock.after(rest, resolve)).then(() => {
      this.#waiting = undefined
      this.#epoch = { since: this.#clock.elapsed(), written: 0 }
      return this.#save()
    })
    return this.#waiting
  }

  #save(): Promise<void> {
    this.#dirty = false
    this.#epoch.written++
    return this.#places.save('consumer', this.name, this.#place)
  }
}

/**
 * The place that a consumer has when it is loaded.
 * @param defined position of its definition
 * @param now milliseconds
 */
function placeOf(
  { start, generation }: ConsumerDefinition,
  defined: number,
  saved: SavedPlace | undefined,
  now: number
): Checkpoint {
  if (saved === undefined) return { cursor: start, generation, active: now, defined }
  const { validUpTo, ...place } = saved
  // Format 1 does not say which definition the place belongs to.
  const isOfThis = place.defined === undefined || (place.defined === defined && defined <= validUpTo)
  if (isOfThis) return { ...place, defined }
  const reason = 'it belonged to a later definition of this name, which the log has lost'
  const moved = { from: place.cursor, to: start, reason, at: now }
  return { cursor: start, generation: place.generation + 1, active: place.active, defined, moved }
}

/** A connection that reads for a consumer, as long as it is the newest. */
export class Attachment implements Keeper {
  readonly consumer: Consumer
  readonly generation: number
  /** Everything up to here was dealt with when it came. */
  readonly start: number
  subscription: Subscription | undefined
  readonly #clock: Clock
  /** Since when something is in flight and nothing was acknowledged, milliseconds. */
  #since: number
  #retries = 0

  constructor(consumer: Consumer, clock: Clock) {
    this.consumer = consumer
    this.generation = consumer.generation + 1
    this.start = consumer.cursor
    this.#clock = clock
    this.#since = clock.elapsed()
  }

  /** As its reader is told: the generation stands in every acknowledgement. */
  get named(): { readonly name: string; readonly generation: number } {
    return { name: this.consumer.name, generation: this.generation }
  }

  get #isNewest(): boolean {
    return this.generation === this.consumer.generation
  }

  /** The connection is gone. */
  release(): void {
    this.consumer.detach(this)
  }

  sent(cursor: number): void {
    if (this.#isNewest) this.consumer.given(cursor)
  }

  settled(cursor: number): void {
    if (this.#isNewest) this.consumer.moveTo(cursor)
  }

  acknowledged(cursor: number): void {
    this.#since = this.#clock.elapsed()
    this.#retries = 0
    this.subscription?.machine.acknowledged(cursor)
  }

  pulse(): void {
    const { messageTimeoutMilliseconds: timeout, maxRetryCount } = this.consumer.definition.settings
    const { subscription } = this
    this.consumer.pulse()
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
    subscription.sendAgain(this.#retries)
  }
}
