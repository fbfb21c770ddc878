/**
 * Writes a commit plan: checks its positions and numbers, commits it to the log in one synced batch, and updates the
 * index before the appends are answered.
 */

import type { AccessRules } from '../access/rules.js'
import { DaybookError, isDaybookError } from '../errors.js'
import { applyAll, loadAll, STAGED_LISTS, stageAll } from '../index/apply-batch.js'
import type { Poster } from '../index/index-entries.js'
import type { Posting } from '../index/posting.js'
import type { Postings } from '../index/posting-lists.js'
import type { StreamStates } from '../index/stream-states.js'
import { family, recordKind, StoredRecord } from '../log/format.js'
import type { Log } from '../log/log.js'
import type { ReadOnlyMode } from '../log/read-only-mode.js'
import type { Metrics } from '../metrics.js'
import { isMetastream, isSystemStream } from '../streams/names.js'
import type { Clock } from '../time/clock.js'
import type { LoadedSnapshot } from './commit-loader.js'
import type { CommitPlan } from './plan/plan-commit.js'
import type { PlacedEvent } from './plan/planning-view.js'

/** Receives each event of a system stream and each tombstone, in order, before the append is answered. */
export interface SystemFollower {
  /** @param rightsChanged true when the record may change the rights to the stream that it describes or ends */
  committed(stream: string, record: StoredRecord, rightsChanged: boolean): void
}

export interface CommitWriterParts {
  readonly log: Log
  readonly postings: Postings
  readonly poster: Poster
  readonly states: StreamStates
  readonly rules: AccessRules
  readonly clock: Clock
  readonly metrics: Metrics
  readonly readOnlyMode: ReadOnlyMode
}

export class CommitWriter {
  readonly followers: SystemFollower[]
  readonly #log: Log
  readonly #postings: Postings
  readonly #poster: Poster
  readonly #states: StreamStates
  readonly #clock: Clock
  readonly #metrics: Metrics
  readonly #readOnlyMode: ReadOnlyMode

  constructor(parts: CommitWriterParts) {
    this.followers = [parts.rules]
    this.#log = parts.log
    this.#postings = parts.postings
    this.#poster = parts.poster
    this.#states = parts.states
    this.#clock = parts.clock
    this.#metrics = parts.metrics
    this.#readOnlyMode = parts.readOnlyMode
  }

  /**
   * Checks before anything is written that the planned positions and numbers continue those of the log and the index
   * without a gap. A wrong number in the log can never be repaired.
   * @throws DaybookError `internal` when they do not
   */
  #checkPlaces(planned: readonly PlacedEvent[], heads: LoadedSnapshot['heads']): void {
    let position = this.#log.head
    if (this.#postings.appliedTo !== position)
      throw outOfPlace(`the index has events up to ${this.#postings.appliedTo}, the log up to ${position}`)
    const next = new Map<string, number>()
    let last: string | undefined
    let number = 0
    for (const { event, number: plannedNumber, position: plannedPosition } of planned) {
      const { stream } = event
      if (stream !== last) {
        if (last !== undefined) next.set(last, number)
        last = stream
        number = next.get(stream) ?? this.#countNow(stream, heads)
      }
      if (plannedNumber !== number || plannedPosition !== ++position)
        throw outOfPlace(
          `an event of "${stream}" was planned with number ${plannedNumber} at position ${plannedPosition}, ` +
            `but number ${number} at position ${position} is next`
        )
      number++
    }
  }

  /**
   * Returns how many events a stream has. If its head was evicted since it was loaded, the loaded head is still right.
   */
  #countNow(stream: string, heads: LoadedSnapshot['heads']): number {
    const head = this.#postings.headInMemory(family.stream, stream)
    return (head === undefined ? heads.get(stream) : head)?.count ?? 0
  }

  /**
   * Writes the planned events to the log and the index.
   * @returns undefined on success; otherwise the error that says why the events may be missing from the log or
   * unreadable. The store is then read-only.
   * @throws when nothing was written
   */
  async write({ planned, created }: CommitPlan, heads: LoadedSnapshot['heads']): Promise<DaybookError | undefined> {
    this.#checkPlaces(planned, heads)
    const started = this.#clock.elapsed()
    let postings: Posting[] | undefined
    try {
      await this.#log.commit(planned, created, () => {
        if (isLarge(planned)) return stageAll(this.#postings.staging, this.#postingsOf(planned))
        postings = [...this.#postingsOf(planned)]
        return loadAll(this.#postings, postings)
      })
    } catch (error) {
      this.#postings.staging.drop()
      if (!isDaybookError(error) || error.details.written !== 'unknown') throw error
      this.#readOnlyMode.begin(error)
      return error
    }
    this.#metrics.committed(planned.length, (this.#clock.elapsed() - started) / 1000)
    if (this.#log.witnessFailure !== undefined) this.#readOnlyMode.begin(this.#log.witnessFailure)
    try {
      await this.#index(planned, postings)
    } catch (cause) {
      this.#postings.staging.drop()
      // The events are in the log. They are acknowledged if the index can catch up at once.
      this.#readOnlyMode.begin(cause as Error)
      if (await this.#readOnlyMode.tryToEnd()) return undefined
      const message = `the events may be in the log, but updating the index failed: ${(cause as Error).message}`
      return new DaybookError('storage-failed', message, { written: 'unknown', retry: true }, cause)
    }
    return undefined
  }

  *#postingsOf(planned: readonly PlacedEvent[]): Generator<Posting> {
    for (const { event, position } of planned) {
      yield this.#poster.postingOf(new StoredRecord(position, event.record.bytes), event.stream, event.type)
    }
  }

  /**
   * Updates the index. It runs before the appends are answered, so that a client reads its own writes.
   * @param postings undefined when they were staged
   */
  async #index(planned: readonly PlacedEvent[], postings: readonly Posting[] | undefined): Promise<void> {
    if (postings === undefined) this.#postings.staging.publish()
    else await applyAll(this.#postings, postings)
    for (const { event, position } of planned) {
      const { stream } = event
      const { bytes } = event.record
      if (bytes[1] !== recordKind.tombstone && !isSystemStream(stream)) continue
      const record = new StoredRecord(position, bytes)
      const described = record.tombstone || isMetastream(stream)
      const rightsChanged = described && this.#states.committed(record, stream)
      for (const follower of this.followers) follower.committed(stream, record, rightsChanged)
    }
    this.#log.publishHead()
    if (this.#postings.congested) await this.#postings.writeUnderWay().catch((error) => this.#readOnlyMode.begin(error))
  }
}

/** Lists of an event without tags: its stream, category, type, and the list of streams in its category. */
const LISTS_OF_A_STREAM = 4

/** True when indexing the events takes long, so that other work needs turns of the event loop meanwhile. */
function isLarge(planned: readonly PlacedEvent[]): boolean {
  let lists = 0
  let last: string | undefined
  for (const { event } of planned) {
    lists += new StoredRecord(0, event.record.bytes).tagCount
    if (event.stream !== last) lists += LISTS_OF_A_STREAM
    last = event.stream
  }
  return lists > STAGED_LISTS
}

function outOfPlace(reason: string): DaybookError {
  return new DaybookError('internal', `Nothing was written: ${reason}.`, { written: false, retry: true })
}
