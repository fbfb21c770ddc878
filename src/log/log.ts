/**
 * The log: every record in order, at gapless positions from 0, in one LevelDB database that holds nothing else.
 * It is the truth; everything in index/ is derived from it.
 *
 * The way in is `commit`: one synced batch, and only when it is on the disk does the head move. The way out is
 * `readMany` and `scan`, which check every record's checksum; a missing record inside the log is damage, never
 * "not found".
 */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { DaybookError, isDaybookError } from '../errors.js'
import { limits } from '../limits.js'
import type { Clock } from '../time/clock.js'
import {
  type Ancestor,
  decodeLogMeta,
  encodeLogMeta,
  FIRST_RECORD_KEY,
  FORMAT_VERSION,
  isIntact,
  keyPosition,
  LOG_META_KEY,
  type LogMeta,
  positionKey,
  StoredRecord,
  sealRecord,
  type UnplacedRecord
} from './format.js'
import { Lineage, type LogReference } from './identity/lineage.js'
import { Level, type LevelOptions } from './level.js'
import { RecentRecords } from './records/recent-records.js'
import {
  discardEvidence,
  droppedByLevelDb,
  earlierRefusal,
  noteRefusal,
  preserveEvidence,
  witnessPath
} from './recovery/evidence.js'
import { type Testimony, Witness } from './recovery/witness.js'

export interface LogOptions {
  directory: string
  clock: Clock
  /** False is `--unsafe-no-fsync`: a power cut loses acknowledged events. */
  fsync: boolean
  compression: boolean
}

/** An event to commit, encoded, with its number in its stream; the log gives it its position. */
export interface Placement {
  readonly event: { readonly record: UnplacedRecord }
  readonly number: number
}

/** A new identity that the log got at this start. */
export interface Renewal {
  readonly from: string
  readonly to: string
  /** The last position at which both hold the same event, -1: none. */
  readonly upTo: number
  /** Why the log must have been longer, for people. */
  readonly why: string
}

/** The end of a log, as an index or a checkpoint noted it. */
export interface Reached extends LogReference {
  /** Position of its last record then. */
  readonly head: number
}

/** How many records a scan asks LevelDB for at once: when nothing is known of their size, and at most. */
export const FIRST_READ = 32
export const SCAN_CHUNK = 256
/** What a scan reads at once is kept near this, bytes. */
const READ_BYTES = 512 * 1024

export class Log {
  readonly #level: Level
  readonly #witness: Witness
  readonly #options: LogOptions
  readonly #recent = new RecentRecords(limits.records_recent_bytes_max)
  readonly #waiting = new Set<{ position: number; resolve: () => void }>()
  #lineage: Lineage
  #renewal: Renewal | undefined
  #head = -1
  /** Highest position published to waiters. */
  #announced = -1
  #lastCreated = 0
  #verifiedTo = -1
  #witnessFailure: Error | undefined
  /** Payload bytes in what we take for LevelDB's current memtable, and the head when it was begun. */
  #memtable = { bytes: 0, begun: -1 }

  private constructor({ log, ancestors }: LogMeta, level: Level, witness: Witness, options: LogOptions) {
    this.#lineage = new Lineage(log, ancestors)
    this.#level = level
    this.#witness = witness
    this.#options = options
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
    const directory = join(options.directory, 'log')
    const refusal = earlierRefusal(directory)
    if (refusal !== undefined) {
      throw new DaybookError('log-damaged', `the last start was refused: ${refusal}. ${wayOut(directory)}`)
    }
    preserveEvidence(directory)
    const level = await Level.open(directory, levelOptions(options))
    let witness: Witness | undefined
    let log: Log | undefined
    try {
      witness = Witness.open(join(options.directory, 'witness'))
      const meta = await readMeta(level)
      log = new Log(meta ?? newMeta(), level, witness, options)
      await log.#recover(directory, meta, onProgress)
      discardEvidence(directory)
      return log
    } catch (error) {
      await level.close()
      witness?.close()
      // A damaged meta is found again at the next start; records that LevelDB has dropped are not.
      if (log !== undefined && isDaybookError(error) && error.code === 'log-damaged') {
        noteRefusal(options.directory, directory, error.message)
      }
      if (isDaybookError(error) && error.code === 'storage-failed') {
        throw new DaybookError('directory-unusable', error.message, {}, error)
      }
      throw error
    }
  }

  /**
   * Opens a log to look at it, damaged or not: nothing is checked, migrated or noted down. LevelDB still replays its
   * write-ahead log; the old files are kept aside as at every start.
   * @returns also the format on disk, and what the witness says, which stands among the evidence after a refusal
   * @throws `directory-in-use`, `directory-unusable`, `format-unknown`, `log-damaged` when its meta cannot be read
   */
  static async openToInspect(
    options: LogOptions
  ): Promise<{ log: Log; format: number; testimony: Testimony | undefined }> {
    const directory = join(options.directory, 'log')
    preserveEvidence(directory)
    const level = await Level.open(directory, levelOptions(options))
    let witness: Witness | undefined
    try {
      witness = Witness.open(witnessPath(options.directory, directory))
      const meta = (await readMeta(level)) ?? newMeta()
      const log = new Log(meta, level, witness, options)
      log.#head = await log.#findHead()
      return { log, format: meta.format, testimony: witness.read() }
    } catch (error) {
      await level.close()
      witness?.close()
      throw error
    }
  }

  /** The log's identity, a UUID: made with the directory, and anew when its end was lost. */
  get id(): string {
    return this.#lineage.log
  }

  /** The identities that it had before its end was lost, oldest first. */
  get ancestors(): readonly Ancestor[] {
    return this.#lineage.ancestors
  }

  /** The new identity that it got at this start, if it did. */
  get renewal(): Renewal | undefined {
    return this.#renewal
  }

  /**
   * @returns the last position at which the log of that identity held the same event as this one: Infinity for its own
   * identity, undefined for that of an unrelated log
   */
  validUpTo(log: string): number | undefined {
    return this.#lineage.validUpTo(log)
  }

  /** As validUpTo, for a log that is named with its own ancestors: the two may share one. */
  sharedWith(other: LogReference): number | undefined {
    return this.#lineage.sharedWith(other)
  }

  /**
   * Gives the log a new identity when it was longer than it is: the lost positions are given to other events, and a
   * client that holds one must be able to tell. Called before anything is served.
   * @param noted ends of the log that the index or checkpoints noted; those of unrelated logs are ignored
   * @param where it was noted, for people
   * @throws `storage-failed` when it cannot be written
   */
  async noticeCut(noted: Iterable<Reached>, where: string): Promise<void> {
    let most = this.#head
    for (const one of noted) most = Math.max(most, this.#lineage.reachedBy(one, one.head))
    if (most > this.#head) await this.#renew(`${where} knew it up to position ${most}`)
  }

  /**
   * Every place in the log from `from` to `to` (the head unless given), in order: its record, or what is wrong there.
   * Never throws for damage.
   */
  async *inspect(
    from = 0,
    to = this.#head
  ): AsyncGenerator<{ position: number; record?: StoredRecord; fault?: 'missing' | 'damaged' }> {
    if (from > to) return
    for (const positions of rangeChunks(from, to)) {
      const values = await this.#level.getMany(positions.map((position) => positionKey(position)))
      for (const [i, value] of values.entries()) {
        const position = positions[i] as number
        if (value === undefined) yield { position, fault: 'missing' }
        else if (isIntact(position, value)) yield { position, record: new StoredRecord(position, value) }
        else yield { position, fault: 'damaged' }
      }
    }
  }

  /** The position that an id names, when this log made it or an ancestor; undefined for all other ids. */
  placeOfId(id: Buffer): number | undefined {
    return this.#lineage.placeOf(id)
  }

  /** True for a record whose id names the place where it stands, so that no index needs to know it. */
  madeIdOf(record: StoredRecord): boolean {
    return this.#lineage.made(record)
  }

  /** Position of the last record, -1 when there is none. Only ever rises, and only after the record is on disk. */
  get head(): number {
    return this.#head
  }

  /** The last position that can be read in the index too; at most `head`. */
  get announced(): number {
    return this.#announced
  }

  /** `created` of the last record, milliseconds; 0 when there is none. */
  get lastCreated(): number {
    return this.#lastCreated
  }

  /** Why the witness lags behind the head; undefined when it does not. The next commit, or `reopen`, writes it again. */
  get witnessFailure(): Error | undefined {
    return this.#witnessFailure
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
    const first = this.#head + 1
    const batch = this.#level.batch()
    const records: Buffer[] = []
    const key = positionKey(first) // written anew for each record: a batch copies what it is given
    let bytes = 0
    let at = this.#lastCreated
    for (let i = 0; i < placements.length; i++) {
      const { event, number } = placements[i] as Placement
      const position = first + i
      positionKey(position, key)
      const instant = typeof created === 'number' ? created : (created[i] as number)
      if (instant < at) throw new Error(`created goes back from ${at} to ${instant} at position ${position}`)
      at = instant
      const value = sealRecord(event.record, key, { number, created: instant }, this.#lineage.identity)
      batch.put(key, value)
      bytes += value.length
      records.push(value)
    }
    const ready = sealed?.()
    if (ready !== undefined) await ready
    try {
      await (this.#options.fsync ? this.#level.writeSynced(batch) : this.#level.write(batch))
    } catch (cause) {
      throw new DaybookError(
        'storage-failed',
        `could not write to the log: ${(cause as Error).message}`,
        { written: 'unknown', retry: true },
        cause
      )
    }
    this.#head = first + placements.length - 1
    this.#lastCreated = at
    this.#moveMark(bytes)
    try {
      this.#testify()
    } catch (error) {
      // The records are on the disk, so the commit counts. The caller looks at `witnessFailure`.
      this.#witnessFailure = error as Error
    }
    for (let i = 0; i < records.length; i++) this.#recent.add(first + i, records[i] as Buffer)
    return first
  }

  /** Wakes readers that wait: everything up to the head can be read, in the index too. */
  announce(): void {
    this.#announced = this.#head
    if (this.#waiting.size > 0) this.#wakeWaiting()
  }

  /** @throws `log-damaged` when the record is missing inside the log or its checksum is wrong */
  async read(position: number): Promise<StoredRecord> {
    const cached = this.#recent.get(position)
    if (cached !== undefined) return cached
    const [record] = await this.readMany([position])
    return record as StoredRecord
  }

  /**
   * The records at these positions, in their order.
   * @throws `log-damaged` when one is missing or its checksum is wrong
   */
  async readMany(positions: readonly number[]): Promise<StoredRecord[]> {
    const records = new Array<StoredRecord>(positions.length)
    const missing: number[] = []
    for (let i = 0; i < positions.length; i++) {
      const position = positions[i] as number
      const cached = this.#recent.get(position)
      if (cached === undefined) missing.push(i)
      else records[i] = cached
    }
    if (missing.length === 0) return records
    const read = await this.#readFromDisk(missing.map((i) => positions[i] as number))
    for (let j = 0; j < missing.length; j++) records[missing[j] as number] = read[j] as StoredRecord
    return records
  }

  async #readFromDisk(positions: readonly number[]): Promise<StoredRecord[]> {
    const values = await this.#level.getMany(positions.map((position) => positionKey(position)))
    return values.map((value, i) => checked(positions[i] as number, value))
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
   * the size of those before, so that large events do not fill the memory.
   */
  async *readAhead(chunks: AsyncIterable<number[]> | Iterable<number[]>): AsyncGenerator<StoredRecord[]> {
    let ahead: Promise<StoredRecord[]> | undefined
    let size = FIRST_READ
    for await (const positions of chunks) {
      for (let at = 0; at < positions.length; ) {
        const records = this.readMany(positions.slice(at, at + size))
        at += size
        records.catch(() => {}) // reported when its turn comes
        if (ahead !== undefined) {
          const read = await ahead
          const bytes = read.reduce((sum, record) => sum + record.bytes.length, 0)
          size = Math.max(1, Math.min(SCAN_CHUNK, Math.floor((READ_BYTES * read.length) / bytes)))
          yield read
        }
        ahead = records
      }
    }
    if (ahead !== undefined) yield await ahead
  }

  /**
   * Resolves when a position can be read, in the index too; never rejects. The caller bounds the wait.
   * @returns the promise, and a function that gives up waiting
   */
  reached(position: number): { promise: Promise<void>; cancel: () => void } {
    if (position <= this.#announced) return { promise: Promise.resolve(), cancel: () => {} }
    let resolve = () => {}
    const promise = new Promise<void>((done) => {
      resolve = done
    })
    const waiting = { position, resolve }
    this.#waiting.add(waiting)
    return { promise, cancel: () => this.#waiting.delete(waiting) && resolve() }
  }

  /**
   * Opens the database again after a write failed, and writes the witness. A batch whose write failed may be on disk
   * after all: then the head has moved, and the caller brings the index after it. Nobody may be committing.
   * @throws `directory-unusable`; `storage-failed` when it cannot be read or the witness cannot be written;
   * `log-damaged` when LevelDB's recovery dropped records. It can be called again then; the head is never moved back.
   */
  async reopen(): Promise<void> {
    const directory = join(this.#options.directory, 'log')
    preserveEvidence(directory)
    await this.#level.reopen()
    const head = await this.#findHead()
    if (head < this.#head) throw damaged(range(head + 1, this.#head), 'they were acknowledged and are gone')
    await this.#scanTail(this.#verifiedTo + 1, head)
    discardEvidence(directory)
    const [last] = head < 0 ? [] : await this.#readFromDisk([head])
    // In one step: a reader sees the log as it was, or as it is.
    this.#head = head
    this.#lastCreated = last?.created ?? 0
    this.#verifiedTo = head
    this.#memtable = { bytes: 0, begun: head }
    this.#recent.clear(head + 1)
    this.#testify()
  }

  async close(): Promise<void> {
    for (const waiting of this.#waiting) waiting.resolve()
    this.#waiting.clear()
    await this.#level.close()
    this.#witness.close()
  }

  #wakeWaiting(): void {
    for (const waiting of this.#waiting) {
      if (waiting.position > this.#announced) continue
      this.#waiting.delete(waiting)
      waiting.resolve()
    }
  }

  /**
   * LevelDB's log files hold at most its current memtable and the one being flushed; only what is there can be dropped
   * by its recovery. We count payload bytes, which is less than LevelDB counts, so by the time our count has begun
   * two more memtables, the first of them is in a table, where damage shows when it is read.
   */
  #moveMark(bytes: number): void {
    if (this.#memtable.bytes > limits.write_buffer_bytes) {
      this.#verifiedTo = this.#memtable.begun
      this.#memtable = { bytes: 0, begun: this.#head }
    }
    this.#memtable.bytes += bytes
  }

  /** @throws `storage-failed` */
  #testify(): void {
    this.#witness.write({ head: this.#head, verifiedTo: this.#verifiedTo })
    this.#witnessFailure = undefined
  }

  /** @param meta as it stands on disk; undefined: the directory is new */
  async #recover(
    directory: string,
    meta: LogMeta | undefined,
    onProgress?: (done: number, of: number) => void
  ): Promise<void> {
    this.#head = await this.#findHead()
    const testimony = this.#witness.read()
    if (testimony !== undefined && testimony.head > this.#head) {
      throw damaged(range(this.#head + 1, testimony.head), 'they were acknowledged and are gone')
    }
    const from = Math.min(testimony?.verifiedTo ?? -1, this.#head) + 1
    await this.#scanTail(from, this.#head, onProgress)
    const dropped = droppedByLevelDb(directory)
    if (dropped !== undefined && testimony === undefined) {
      throw damaged(`positions after ${this.#head}`, `LevelDB's recovery says: ${dropped}`)
    }
    this.#lastCreated = this.#head < 0 ? 0 : (await this.read(this.#head)).created
    this.#verifiedTo = this.#head
    this.#memtable = { bytes: 0, begun: this.#head }
    const testify = () => this.#witness.writeSynced({ head: this.#head, verifiedTo: this.#verifiedTo })
    if (meta !== undefined && testimony === undefined) {
      await this.#renew('the file "witness", which says how far the log was, is gone or damaged')
      testify()
    } else {
      // In a new directory the witness comes before the meta: a log that has a meta and no witness has lost its witness.
      testify()
      if (meta?.format !== FORMAT_VERSION) await this.#writeMeta(this.#lineage)
    }
  }

  async #renew(why: string): Promise<void> {
    const from = this.id
    const renewed = this.#lineage.renewed(this.#head, limits.ancestors_max)
    await this.#writeMeta(renewed)
    this.#lineage = renewed
    this.#renewal = { from, to: this.id, upTo: this.#head, why }
  }

  async #writeMeta(lineage: Lineage): Promise<void> {
    const batch = this.#level.batch()
    batch.put(LOG_META_KEY, encodeLogMeta(lineage))
    try {
      await this.#level.writeSynced(batch)
    } catch (cause) {
      throw new DaybookError('storage-failed', `cannot write the log's meta: ${(cause as Error).message}`, {}, cause)
    }
  }

  /** Position of the last record in the database, -1 when there is none. */
  async #findHead(): Promise<number> {
    let head = -1
    for await (const { key } of this.#level.entries({ gte: FIRST_RECORD_KEY, reverse: true, limit: 1 })) {
      head = keyPosition(key)
    }
    return head
  }

  /** @throws `log-damaged` naming every position from `from` to `to` that is missing or damaged */
  async #scanTail(from: number, to: number, onProgress?: (done: number, of: number) => void): Promise<void> {
    const lost: number[] = []
    for await (const { position, fault } of this.inspect(from, to)) {
      if (fault !== undefined) lost.push(position)
      if ((position & 0x3fff) === 0) onProgress?.(position - from, to - from + 1)
    }
    if (lost.length > 0) throw damaged(ranges(lost), 'they were acknowledged and cannot be read')
  }
}

/** The positions from `from` to `to`, both included, rising or falling, in chunks. */
export function* rangeChunks(from: number, to: number, size = SCAN_CHUNK): Generator<number[]> {
  const step = to < from ? -1 : 1
  for (let next = from; (to - next) * step >= 0; ) {
    const positions: number[] = []
    while (positions.length < size && (to - next) * step >= 0) {
      positions.push(next)
      next += step
    }
    yield positions
  }
}

function levelOptions({ compression }: LogOptions): LevelOptions {
  return { writeBufferSize: limits.write_buffer_bytes, cacheSize: 32 * 1024 * 1024, compression }
}

function range(first: number, last: number): string {
  return first === last ? `${first}` : `${first}–${last}`
}

/** Rising positions in few words: `3–7, 12`. */
function ranges(positions: readonly number[]): string {
  const texts: string[] = []
  let first = positions[0] as number
  for (const [i, position] of positions.entries()) {
    if (positions[i + 1] === position + 1) continue
    texts.push(range(first, position))
    first = positions[i + 1] as number
  }
  return texts.length > 20 ? `${texts.slice(0, 20).join(', ')} and ${texts.length - 20} more places` : texts.join(', ')
}

function damaged(positions: string, why: string): DaybookError {
  return new DaybookError(
    'log-damaged',
    `the log is damaged at ${positions}: ${why}. Nothing was changed. "daybook verify --db DIR" names everything that is wrong; restore the directory from a backup, or import an export into a new one`,
    { positions }
  )
}

function checked(position: number, value: Buffer | undefined): StoredRecord {
  if (value === undefined) throw damaged(range(position, position), 'the record is missing')
  if (!isIntact(position, value)) throw damaged(range(position, position), 'the checksum is wrong')
  return new StoredRecord(position, value)
}

/**
 * The log's meta as it stands on disk. @returns undefined when the database is empty
 * @throws `format-unknown`, `log-damaged`
 */
async function readMeta(level: Level): Promise<LogMeta | undefined> {
  const stored = await level.get(LOG_META_KEY)
  if (stored !== undefined) return decodeLogMeta(stored)
  for await (const _ of level.entries({ limit: 1 })) {
    throw new DaybookError('format-unknown', 'the directory holds a LevelDB database that is not a Daybook log')
  }
  return undefined
}

function newMeta(): LogMeta {
  return { format: FORMAT_VERSION, log: randomUUID(), ancestors: [] }
}

function wayOut(directory: string): string {
  return `To go on without what is lost at its end, remove ${join(directory, 'evidence')}; a gap before its end stays one`
}
