/**
 * The log: every record in order, at gapless positions from 0, in one LevelDB database that holds nothing else.
 * It is the truth; everything in index/ is derived from it.
 *
 * The way in is `commit`: one synced batch, and only when it is on the disk does the head move. The way out is
 * `readMany` and `scan`, which check every record's checksum; a missing record inside the log is damage, never
 * "not found".
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

/** An event to commit, encoded, with its number in its stream; the log gives it its position. */
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
   * Opens the log in `directory`/log and checks what LevelDB does not: that its recovery dropped nothing, that the
   * head is no further back than the witness says, and that the records since the last verified mark are whole. A log
   * that has lost its witness gets a new identity. Only a directory that passes is brought to the present format.
   * @param onProgress called with how many of how many records were scanned
   * @throws `log-damaged` naming the positions that are lost, and at every start until the evidence is removed;
   * `directory-unusable` when LevelDB cannot read it at all; `format-unknown`
   */
  static async open(options: LogOptions, onProgress?: (done: number, of: number) => void): Promise<Log> {
    return new Log(options, await openLog(options, onProgress))
  }

  /**
   * Opens a log to look at it, damaged or not: nothing is checked, migrated or noted down. LevelDB still replays its
   * write-ahead log, so the directory is a view of the one that is looked at.
   * @returns also the format on disk, what the witness says, and why the identity is not known
   * @throws `directory-in-use`, `directory-unusable`, `format-unknown`
   */
  static async openToInspect(options: LogOptions): Promise<InspectedLog & { log: Log }> {
    const { parts, ...found } = await openLogToInspect(options)
    return { log: new Log(options, parts), ...found }
  }

  /** The log's identity, a UUID: made with the directory, and anew when its end was lost. */
  get id(): string {
    return this.#identity.lineage.log
  }

  /** The identities that it had before its end was lost, oldest first. */
  get ancestors(): readonly Ancestor[] {
    return this.#identity.lineage.ancestors
  }

  /** Positions whose events an operator has given up. Those that cannot be read are passed over when the index is made. */
  get unreadable(): PositionRanges {
    return this.#identity.unreadable
  }

  /** The new identity that it got at this start, if it did. */
  get renewal(): Renewal | undefined {
    return this.#identity.renewal
  }

  /**
   * @returns the last position at which the log of that identity held the same event as this one: Infinity for its own
   * identity, undefined for that of an unrelated log
   */
  validUpTo(log: string): number | undefined {
    return this.#identity.lineage.validUpTo(log)
  }

  /** As validUpTo, for a log that is named with its own ancestors: the two may share one. */
  sharedWith(other: LogReference): number | undefined {
    return this.#identity.lineage.sharedWith(other)
  }

  /**
   * Gives the log a new identity when it was longer than it is: the lost positions are given to other events, and a
   * client that holds one must be able to tell. Called before anything is served.
   * @param noted ends of the log that the index or checkpoints noted; those of unrelated logs are ignored
   * @param where it was noted, for people
   * @throws `storage-failed` when it cannot be written
   */
  async noticeCut(noted: Iterable<NotedEnd>, where: string): Promise<void> {
    const longest = this.#identity.longest(noted, this.head)
    if (longest > this.head) await this.#identity.renew(this.head, `${where} knew it up to position ${longest}`)
  }

  /**
   * Every place in the log from `from` to `to` (the head unless given), in order: its record, or what is wrong there.
   * Never throws for damage.
   */
  inspect(from = 0, to = this.head): AsyncGenerator<InspectedPlace> {
    return this.#records.inspect(from, to)
  }

  /** The position that an id names, when this log made it or an ancestor; undefined for all other ids. */
  placeOfId(id: Buffer): number | undefined {
    return this.#identity.lineage.placeOf(id)
  }

  /** True for a record whose id names the place where it stands, so that no index needs to know it. */
  madeIdOf(record: StoredRecord): boolean {
    return this.#identity.lineage.made(record)
  }

  /** Position of the last record, -1 when there is none. Only ever rises, and only after the record is on disk. */
  get head(): number {
    return this.#logHead.position
  }

  /** The last position that can be read in the index too; at most `head`. */
  get announced(): number {
    return this.#waiters.publishedHead
  }

  /** `created` of the last record, milliseconds; 0 when there is none. */
  get lastCreated(): number {
    return this.#logHead.lastCreated
  }

  /** Why the witness lags behind the head; undefined when it does not. The next commit, or `reopen`, writes it again. */
  get witnessFailure(): Error | undefined {
    return this.#logHead.witnessFailure
  }

  /**
   * Commits records at the next positions in one batch and returns when they are on disk, also when the witness could
   * not be written then.
   * @param created milliseconds, one for all or one each; never before the previous record's
   * @param sealed called when the records are finished; what it throws is thrown, and nothing is written
   * @returns the position of the first
   * @throws `storage-failed` when the write failed: nothing of it counts before `reopen` has found it on the disk
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
    const key = positionKey(first) // written anew for each record: a batch copies what it is given
    let bytes = 0
    let at = this.#logHead.lastCreated
    for (let i = 0; i < placements.length; i++) {
      const { event, number } = placements[i] as Placement
      const position = first + i
      positionKey(position, key)
      const instant = typeof created === 'number' ? created : (created[i] as number)
      if (instant < at) throw new Error(`created goes back from ${at} to ${instant} at position ${position}`)
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

  /** Wakes readers that wait: everything up to the head can be read, in the index too. */
  announce(): void {
    this.#waiters.publish(this.#logHead.position)
  }

  /** @throws `log-damaged` when the record is missing inside the log or its checksum is wrong */
  async read(position: number): Promise<StoredRecord> {
    const cached = this.#records.recent.get(position)
    if (cached !== undefined) return cached
    const [record] = await this.readMany([position])
    return record as StoredRecord
  }

  /**
   * The records at these positions, in their order.
   * @throws `log-damaged` when one is missing or its checksum is wrong
   */
  readMany(positions: readonly number[]): Promise<StoredRecord[]> {
    return this.#records.readMany(positions)
  }

  /** What the records at these positions have at most, bytes, without reading them. */
  boundOf(positions: readonly number[]): number | Promise<number> {
    const { sizes } = this.#records
    const unknown = sizes.learn(positions)
    return unknown === undefined ? sizes.boundOf(positions) : unknown.then(() => sizes.boundOf(positions))
  }

  /**
   * Records from `from` to `to`, both included, in chunks. With `to` below `from` it goes backwards. Nothing of it is kept in memory.
   * @throws `log-damaged` as readMany
   */
  scan(from: number, to: number): AsyncGenerator<StoredRecord[]> {
    return this.readAhead(rangeChunks(from, to))
  }

  /**
   * Records of given positions, some at a time; the next are read while the caller works on these. How many depends on
   * their sizes, so that large events do not fill the memory.
   */
  readAhead(
    chunks: AsyncIterable<number[]> | Iterable<number[]>,
    options?: ReadAheadOptions
  ): AsyncGenerator<StoredRecord[]> {
    return readAhead(this.#records, chunks, options)
  }

  /**
   * Resolves when a position can be read, in the index too; never rejects. The caller bounds the wait.
   * @returns the promise, and a function that gives up waiting
   */
  reached(position: number): { promise: Promise<void>; cancel: () => void } {
    return this.#waiters.waitFor(position)
  }

  /**
   * Opens the database again after a write failed, and writes the witness. A batch whose write failed may be on disk
   * after all: then the head has moved, and the caller brings the index after it. No commit may be under way.
   * @param whileClosed work on the database's files
   * @throws `directory-unusable`; `storage-failed` when it cannot be read or the witness cannot be written;
   * `log-damaged` when LevelDB's recovery dropped records. It can be called again then; the head is never moved back.
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
