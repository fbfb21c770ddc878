/**
 * The head of the log: the position of its last record, and the verified position, up to which LevelDB's recovery can
 * drop nothing. The witness keeps both outside the database. Each start checks the records after the verified position.
 */
import { limits } from '../../limits.js'
import { logDamaged, positionRange } from '../log-damage.js'
import type { StoredRecords } from '../records/stored-records.js'
import { isDiskFull } from '../storage-faults.js'
import { isWithin, type PositionRange } from '../tables/positions.js'
import { discardEvidence, droppedByLevelDb } from './evidence.js'
import type { Witness, WitnessContent } from './witness.js'

export class LogHead {
  readonly #records: StoredRecords
  readonly #witness: Witness
  readonly #lostPositions: () => PositionRange[]
  #position = -1
  #lastCreated = 0
  /** Records up to this position are in LevelDB's tables and were undamaged. */
  #verifiedTo = -1
  #witnessFailure: Error | undefined
  /** Estimate of LevelDB's current memtable: its bytes of records, and the heads when it and the one before were started. */
  #memtable = { bytes: 0, begun: -1, beforeBegun: -1 }

  /** @param lostPositions returns the positions lost with damaged tables; the log never assigns them again */
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

  /** Why the witness could not be written; undefined when it is up to date. */
  get witnessFailure(): Error | undefined {
    return this.#witnessFailure
  }

  /** Finds the head without any check. @returns the content of the witness */
  async find(): Promise<WitnessContent | undefined> {
    const witnessed = this.#witness.read()
    this.#position = this.#headFrom(await this.#records.findHead(), witnessed?.head ?? -1, this.#lostPositions())
    return witnessed
  }

  /**
   * Returns the head of the log.
   * @param last position of the last record in the database
   * @param known an earlier head; it still counts if all positions after `last` are lost with damaged tables
   */
  #headFrom(last: number, known: number, lost: readonly PositionRange[]): number {
    return known > last && isWithin({ first: last + 1, last: known }, lost) ? known : last
  }

  /**
   * Finds the head and checks the result of LevelDB's recovery: all positions up to the head in the witness must exist,
   * and the records after the verified position must be undamaged.
   * @param directory of the log
   * @param onProgress called with the number of records read and the number of records to read
   * @returns the content of the witness
   * @throws DaybookError `log-damaged`
   */
  async check(
    directory: string,
    onProgress: ((done: number, of: number) => void) | undefined
  ): Promise<WitnessContent | undefined> {
    const witnessed = await this.find()
    if (witnessed !== undefined && witnessed.head > this.#position) {
      throw logDamaged(positionRange(this.#position + 1, witnessed.head), 'they were acknowledged and are missing')
    }
    const from = Math.min(witnessed?.verifiedTo ?? -1, this.#position) + 1
    await this.#records.check({ first: from, last: this.#position }, this.#lostPositions(), onProgress)
    const dropped = droppedByLevelDb(directory)
    if (dropped !== undefined && witnessed === undefined) {
      throw logDamaged(`positions after ${this.#position}`, `LevelDB's recovery reports: ${dropped}`)
    }
    this.#verified(this.#position, await this.#createdAt(this.#position))
    return witnessed
  }

  /**
   * As `check`, after the database was reopened while the store serves requests; also writes the witness. The head may
   * have moved, because a batch whose write failed may be on the disk.
   * @throws DaybookError `log-damaged`; `storage-failed` when the witness cannot be written
   */
  async checkAgain(directory: string): Promise<void> {
    const lost = this.#lostPositions()
    const head = this.#headFrom(await this.#records.findHead(), this.#position, lost)
    if (head < this.#position)
      throw logDamaged(positionRange(head + 1, this.#position), 'they were acknowledged and are missing')
    await this.#records.check({ first: this.#verifiedTo + 1, last: head }, lost)
    discardEvidence(directory)
    const created = await this.#createdAt(head)
    // No await between these lines, so that readers see either the old state or the new one.
    this.#verified(head, created)
    this.#records.recent.clear(head + 1)
    this.#records.sizes.clear()
    this.#writeWitness()
  }

  /** Returns `created` of the last readable record up to the head, 0 when there is none. */
  async #createdAt(head: number): Promise<number> {
    const last = Math.min(head, await this.#records.findHead())
    const [record] = last < 0 ? [] : await this.#records.readFromDisk([last])
    return record?.created ?? 0
  }

  #verified(head: number, lastCreated: number): void {
    this.#position = head
    this.#lastCreated = lastCreated
    this.#verifiedTo = head
    this.#memtable = { bytes: 0, begun: head, beforeBegun: head }
  }

  /** Moves the head after records were written. @param bytes of these records @param lastCreated of the last one */
  advance(head: number, lastCreated: number, bytes: number): void {
    this.#position = head
    this.#lastCreated = lastCreated
    this.#moveMark(bytes)
    try {
      this.#writeWitness()
    } catch (error) {
      // The records are on the disk, so the commit has succeeded. The caller checks `witnessFailure`.
      this.#witnessFailure = error as Error
    }
  }

  /**
   * Moves the verified position. LevelDB's recovery can drop only records of its write-ahead logs, which contain the
   * current memtable and the one being flushed. This count of record bytes is lower than LevelDB's own, so when it exceeds
   * the size of a memtable, LevelDB has replaced the memtable that was current at `begun`. LevelDB replaces a memtable
   * only when the one before is in a table: the records up to `beforeBegun` are, and reading them detects damage.
   */
  #moveMark(bytes: number): void {
    const { begun, beforeBegun } = this.#memtable
    if (this.#memtable.bytes > limits.write_buffer_bytes) {
      this.#verifiedTo = beforeBegun
      this.#memtable = { bytes: 0, begun: this.#position, beforeBegun: begun }
    }
    this.#memtable.bytes += bytes
  }

  /** Writes the witness, without sync. @throws DaybookError `storage-failed` */
  #writeWitness(): void {
    this.#witness.write({ head: this.#position, verifiedTo: this.#verifiedTo })
    this.#witnessFailure = undefined
  }

  /** Writes and syncs the witness. @throws DaybookError `storage-failed` */
  writeWitnessSynced(): void {
    this.#witness.writeSynced({ head: this.#position, verifiedTo: this.#verifiedTo })
  }

  /**
   * As `writeWitnessSynced`, but on a full disk it keeps the old witness and sets `witnessFailure`.
   * @throws DaybookError `storage-failed` for another reason than a full disk
   */
  writeWitnessIfSpace(): void {
    try {
      this.writeWitnessSynced()
    } catch (error) {
      if (!isDiskFull(error)) throw error
      this.#witnessFailure = error as Error
    }
  }

  close(): void {
    this.#witness.close()
  }
}
