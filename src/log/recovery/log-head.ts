/**
 * The head of the log: its last record, and up to where LevelDB can lose nothing any more. The witness keeps both outside
 * the database, and each start checks the records after that mark.
 */
import { limits } from '../../limits.js'
import { logDamaged, positionRange } from '../log-damage.js'
import type { StoredRecords } from '../records/stored-records.js'
import { isDiskFull } from '../storage-faults.js'
import { isWithin, type PositionRange } from '../tables/positions.js'
import { discardEvidence, droppedByLevelDb } from './evidence.js'
import type { Testimony, Witness } from './witness.js'

export class LogHead {
  readonly #records: StoredRecords
  readonly #witness: Witness
  readonly #lostPositions: () => PositionRange[]
  #position = -1
  #lastCreated = 0
  /** Records up to here stand in LevelDB's tables and were whole. */
  #verifiedTo = -1
  #witnessFailure: Error | undefined
  /** Payload bytes in what we take for LevelDB's current memtable, and the head when it was begun. */
  #memtable = { bytes: 0, begun: -1 }

  /** @param lostPositions gives those that were lost with damaged tables: no other record is ever written there */
  constructor(records: StoredRecords, witness: Witness, lostPositions: () => PositionRange[]) {
    this.#records = records
    this.#witness = witness
    this.#lostPositions = lostPositions
  }

  /** Position of the last record, -1 when there is none. */
  get position(): number {
    return this.#position
  }

  /** `created` of the last record, milliseconds; 0 when there is none. */
  get lastCreated(): number {
    return this.#lastCreated
  }

  /** Why the witness lags behind the head; undefined when it does not. */
  get witnessFailure(): Error | undefined {
    return this.#witnessFailure
  }

  /** Finds the head, and checks nothing. @returns what the witness says */
  async find(): Promise<Testimony | undefined> {
    const testimony = this.#witness.read()
    this.#position = this.#headFrom(await this.#records.findHead(), testimony?.head ?? -1, this.#lostPositions())
    return testimony
  }

  /** The head when the last record that is there is `last` and `known` was one: those between may be known to be lost. */
  #headFrom(last: number, known: number, lost: readonly PositionRange[]): number {
    return known > last && isWithin({ first: last + 1, last: known }, lost) ? known : last
  }

  /**
   * Finds the head and checks what LevelDB's recovery has left: nothing that the witness knows of may be gone, and the
   * records that are not yet verified must be whole.
   * @param directory that of the log
   * @param onProgress called with how many of how many records were read
   * @returns what the witness says
   * @throws `log-damaged`
   */
  async check(
    directory: string,
    onProgress: ((done: number, of: number) => void) | undefined
  ): Promise<Testimony | undefined> {
    const testimony = await this.find()
    if (testimony !== undefined && testimony.head > this.#position) {
      throw logDamaged(positionRange(this.#position + 1, testimony.head), 'they were acknowledged and are gone')
    }
    const from = Math.min(testimony?.verifiedTo ?? -1, this.#position) + 1
    await this.#records.check({ first: from, last: this.#position }, this.#lostPositions(), onProgress)
    const dropped = droppedByLevelDb(directory)
    if (dropped !== undefined && testimony === undefined) {
      throw logDamaged(`positions after ${this.#position}`, `LevelDB's recovery says: ${dropped}`)
    }
    this.#verified(this.#position, await this.#createdAt(this.#position))
    return testimony
  }

  /**
   * As `check`, after the database was opened again while the store serves, and writes the witness. The head may have
   * moved: a batch whose write failed may be on the disk after all.
   * @throws `log-damaged`; `storage-failed` when the witness cannot be written
   */
  async checkAgain(directory: string): Promise<void> {
    const lost = this.#lostPositions()
    const head = this.#headFrom(await this.#records.findHead(), this.#position, lost)
    if (head < this.#position)
      throw logDamaged(positionRange(head + 1, this.#position), 'they were acknowledged and are gone')
    await this.#records.check({ first: this.#verifiedTo + 1, last: head }, lost)
    discardEvidence(directory)
    const created = await this.#createdAt(head)
    // In one step: a reader sees the log as it was, or as it is.
    this.#verified(head, created)
    this.#records.recent.clear(head + 1)
    this.#records.sizes.forget()
    this.#testify()
  }

  /** `created` of the last record up to the head that is not lost, 0 when there is none. */
  async #createdAt(head: number): Promise<number> {
    const last = Math.min(head, await this.#records.findHead())
    const [record] = last < 0 ? [] : await this.#records.readFromDisk([last])
    return record?.created ?? 0
  }

  #verified(head: number, lastCreated: number): void {
    this.#position = head
    this.#lastCreated = lastCreated
    this.#verifiedTo = head
    this.#memtable = { bytes: 0, begun: head }
  }

  /** Records are on the disk. @param bytes of all of them @param lastCreated of the last one */
  advance(head: number, lastCreated: number, bytes: number): void {
    this.#position = head
    this.#lastCreated = lastCreated
    this.#moveMark(bytes)
    try {
      this.#testify()
    } catch (error) {
      // The records are on the disk, so the commit counts. The caller looks at `witnessFailure`.
      this.#witnessFailure = error as Error
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
      this.#memtable = { bytes: 0, begun: this.#position }
    }
    this.#memtable.bytes += bytes
  }

  /** @throws `storage-failed` */
  #testify(): void {
    this.#witness.write({ head: this.#position, verifiedTo: this.#verifiedTo })
    this.#witnessFailure = undefined
  }

  /** Writes the witness, and syncs it. @throws `storage-failed` */
  testifySynced(): void {
    this.#witness.writeSynced({ head: this.#position, verifiedTo: this.#verifiedTo })
  }

  /** As testifySynced. On a full disk the witness that there is stays, and `witnessFailure` says so. @throws `storage-failed` */
  testifyIfRoom(): void {
    try {
      this.testifySynced()
    } catch (error) {
      if (!isDiskFull(error)) throw error
      this.#witnessFailure = error as Error
    }
  }

  close(): void {
    this.#witness.close()
  }
}
