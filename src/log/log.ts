/**
 * The log: all records in order, at gapless positions from 0, in a LevelDB database of their own. It is the source of
 * truth; everything in index/ is derived from it.
 *
 * `commit` writes one synced batch and moves the head only when the batch is on the disk. `readMany` and `scan` check
 * the checksum of every record. A record that is missing below the head is damage, never "not found".
 */
import { DaybookError } from '../errors.js'
import { type Ancestor, positionKey, type StoredRecord, sealRecord, type UnplacedRecord } from './format.js'
import type { LogReference } from './identity/lineage.js'
import type { LogIdentity, NotedEnd, Renewal } from './identity/log-identity.js'
import type { Level } from './level.js'
import {
  type InspectedLog,
  type LogOptions,
  type LogParts,
  logDirectory,
  openLog,
  openLogToInspect
} from './opening.js'
import type { PositionRanges } from './position-ranges.js'
import { PositionWaiters } from './position-waiters.js'
import { type ReadAheadOptions, rangeChunks, readAhead } from './records/read-ahead.js'
import type { InspectedPlace, StoredRecords } from './records/stored-records.js'
import { preserveEvidence } from './recovery/evidence.js'
import type { LogHead } from './recovery/log-head.js'

/** An encoded event to commit, and its number in its stream. The log assigns the position. */
export interface Placement {
  readonly event: { readonly record: UnplacedRecord }
  readonly number: number
}

export class Log {
  readonly #directory: string
  readonly #fsync: boolean
  readonly #level: Level
  readonly #identity: LogIdentity
  readonly #records: StoredRecords
  readonly #logHead: LogHead
  readonly #waiters = new PositionWaiters()

  private constructor({ directory, fsync }: LogOptions, { level, identity, records, head }: LogParts) {
    this.#directory = logDirectory(directory)
    this.#fsync = fsync
    this.#level = level
    this.#identity = identity
    this.#records = records
    this.#logHead = head
  }

  /**
   * Opens the log in `directory`/log. Checks what LevelDB does not check: that its recovery dropped nothing, that the
   * head is not behind the one in the witness, and that the records after the last verified position are undamaged. A
   * log without its witness gets a new identity. The directory is migrated to the current format only after these
   * checks.
   * @param onProgress called with the number of scanned records and the number of records to scan
   * @throws DaybookError `log-damaged` naming the lost positions, again at each start until the evidence is removed;
   * `directory-unusable` when LevelDB cannot open the log; `format-unknown`
   */
  static async open(options: LogOptions, onProgress?: (done: number, of: number) => void): Promise<Log> {
    return new Log(options, await openLog(options, onProgress))
  }

  /**
   * Opens a log for inspection, even if it is damaged, without any check or migration. LevelDB still replays its
   * write-ahead log, so pass the directory of an InspectionView to leave the original unchanged.
   * @returns the log, its format on disk, the content of the witness, and why the identity cannot be read
   * @throws DaybookError `directory-in-use`, `directory-unusable`, `format-unknown`
   */
  static async openToInspect(options: LogOptions): Promise<InspectedLog & { log: Log }> {
    const { parts, ...found } = await openLogToInspect(options)
    return { log: new Log(options, parts), ...found }
  }

  /** Identity of the log, a UUID. Created with the directory, and replaced when the log has lost its end. */
  get id(): string {
    return this.#identity.lineage.log
  }

  /** The earlier identities of the log, oldest first. */
  get ancestors(): readonly Ancestor[] {
    return this.#identity.lineage.ancestors
  }

  /** Positions whose loss an operator has accepted. Unreadable records there are skipped when the index is rebuilt. */
  get unreadable(): PositionRanges {
    return this.#identity.unreadable
  }

  /** The change of identity at this start; undefined when the identity did not change. */
  get renewal(): Renewal | undefined {
    return this.#identity.renewal
  }

  /**
   * Returns the last position at which the log of that identity holds the same event as this log: Infinity for this
   * log's own identity, -1 when they share none, undefined for an unrelated log.
   */
  validUpTo(log: string): number | undefined {
    return this.#identity.lineage.validUpTo(log)
  }

  /** As `validUpTo`, but also finds a common ancestor of the two logs. */
  sharedWith(other: LogReference): number | undefined {
    return this.#identity.lineage.sharedWith(other)
  }

  /**
   * Gives the log a new identity if it was once longer than now. Its lost positions will be assigned to other events,
   * and clients with an old position must be able to detect that. Must be called before requests are served.
   * @param noted heads of the log stored in the index or in checkpoints; those of unrelated logs are ignored
   * @param where name of the place where they are stored, for the operator
   * @throws DaybookError `storage-failed` when the identity cannot be written
   */
  async noticeCut(noted: Iterable<NotedEnd>, where: string): Promise<void> {
    const longest = this.#identity.longest(noted, this.head)
    if (longest <= this.head) return
    await this.#identity.renew(this.head, `${where} was written when the log reached position ${longest}`)
  }

  /**
   * Yields for each position from `from` to `to`, in order, the record or the fault found there. Never throws for
   * damage.
   * @param to default: the head
   */
  inspect(from = 0, to = this.head): AsyncGenerator<InspectedPlace> {
    return this.#records.inspect(from, to)
  }

  /** Returns the position in an id that this log or an ancestor generated; undefined for any other id. */
  placeOfId(id: Buffer): number | undefined {
    return this.#identity.lineage.placeOf(id)
  }

  /** True for a record whose id contains its own position. Such ids have no entry in the index. */
  madeIdOf(record: StoredRecord): boolean {
    return this.#identity.lineage.made(record)
  }

  /** Position of the last record, -1 when there is none. Never falls; rises only after the record is on the disk. */
  get head(): number {
    return this.#logHead.position
  }

  /** The last position that can be read in both the log and the index; at most `head`. */
  get publishedHead(): number {
    return this.#waiters.publishedHead
  }

  /** `created` of the last record, milliseconds; 0 when there is none. */
  get lastCreated(): number {
    return this.#logHead.lastCreated
  }

  /** Why the witness could not be written; undefined when it is up to date. The next commit or `reopen` retries. */
  get witnessFailure(): Error | undefined {
    return this.#logHead.witnessFailure
  }

  /**
   * Commits records at the next positions in one batch. Resolves when they are on the disk, even if writing the
   * witness then fails.
   * @param created milliseconds, one value for all records or one each; never less than that of the previous record
   * @param sealed called when the records are sealed and before they are written; if it throws, nothing is written
   * @returns the position of the first record
   * @throws DaybookError `storage-failed` when the write failed. The batch may still be on the disk; only `reopen` can
   * tell.
   */
  async commit(
    placements: readonly Placement[],
    created: number | readonly number[],
    sealed?: () => Promise<void> | undefined
  ): Promise<number> {
    const first = this.#logHead.position + 1
    const batch = this.#level.batch()
    const records: Buffer[] = []
    const { identity } = this.#identity.lineage
    const key = positionKey(first) // reused for all records: a batch copies its keys
    let bytes = 0
    let at = this.#logHead.lastCreated
    for (let i = 0; i < placements.length; i++) {
      const { event, number } = placements[i] as Placement
      const position = first + i
      positionKey(position, key)
      const instant = typeof created === 'number' ? created : (created[i] as number)
      if (instant < at) throw new Error(`"created" goes back from ${at} to ${instant} at position ${position}`)
      at = instant
      const value = sealRecord(event.record, key, { number, created: instant }, identity)
      batch.put(key, value)
      bytes += value.length
      records.push(value)
    }
    const ready = sealed?.()
    if (ready !== undefined) await ready
    try {
      await (this.#fsync ? this.#level.writeSynced(batch) : this.#level.write(batch))
    } catch (cause) {
      throw new DaybookError(
        'storage-failed',
        `could not write to the log: ${(cause as Error).message}`,
        { written: 'unknown', retry: true },
        cause
      )
    }
    this.#logHead.advance(first + placements.length - 1, at, bytes)
    const { recent, sizes } = this.#records
    for (let i = 0; i < records.length; i++) {
      const record = records[i] as Buffer
      recent.add(first + i, record)
      sizes.committed(first + i, record.length)
    }
    return first
  }

  /** Publishes the head, because the index covers it now. Wakes the readers that wait for a position up to the head. */
  publishHead(): void {
    this.#waiters.publish(this.#logHead.position)
  }

  /** Returns a record. @throws DaybookError `log-damaged` when it is missing or its checksum is wrong */
  async read(position: number): Promise<StoredRecord> {
    const cached = this.#records.recent.get(position)
    if (cached !== undefined) return cached
    const [record] = await this.readMany([position])
    return record as StoredRecord
  }

  /**
   * Returns the records at these positions, in the same order.
   * @throws DaybookError `log-damaged` when a record is missing or its checksum is wrong
   */
  readMany(positions: readonly number[]): Promise<StoredRecord[]> {
    return this.#records.readMany(positions)
  }

  /** Returns an upper bound of the total bytes of the records at these positions, without reading them. */
  boundOf(positions: readonly number[]): number | Promise<number> {
    const { sizes } = this.#records
    const unknown = sizes.learn(positions)
    return unknown === undefined ? sizes.boundOf(positions) : unknown.then(() => sizes.boundOf(positions))
  }

  /**
   * Yields the records from `from` to `to`, both included, in chunks; backwards when `to` is below `from`. Does not
   * cache the records.
   * @throws DaybookError `log-damaged` as `readMany`
   */
  scan(from: number, to: number): AsyncGenerator<StoredRecord[]> {
    return this.readAhead(rangeChunks(from, to))
  }

  /**
   * Yields the records at these positions, in chunks. The next chunk is read while the caller processes the current
   * one. The size of a chunk is bounded in bytes, so that large events do not fill the memory.
   */
  readAhead(
    chunks: AsyncIterable<number[]> | Iterable<number[]>,
    options?: ReadAheadOptions
  ): AsyncGenerator<StoredRecord[]> {
    return readAhead(this.#records, chunks, options)
  }

  /**
   * Waits until a position can be read in both the log and the index. The caller must set a time-out of its own.
   * @returns a promise that never rejects, and a function that ends the wait by resolving it
   */
  reached(position: number): { promise: Promise<void>; cancel: () => void } {
    return this.#waiters.waitFor(position)
  }

  /**
   * Reopens the database after a failed write, and writes the witness. A batch whose write failed may be on the disk:
   * then the head moves, and the caller must update the index. No commit may be running.
   * @param whileClosed changes files of the database
   * @throws DaybookError `directory-unusable`; `storage-failed` when the log cannot be read or the witness not written;
   * `log-damaged` when LevelDB's recovery dropped records. The caller may retry in each case. The head never moves
   * back.
   */
  async reopen(whileClosed?: () => Promise<void>): Promise<void> {
    preserveEvidence(this.#directory)
    await this.#level.reopen(whileClosed)
    await this.#logHead.checkAgain(this.#directory)
  }

  async close(): Promise<void> {
    this.#waiters.close()
    await this.#level.close()
    this.#logHead.close()
  }
}
