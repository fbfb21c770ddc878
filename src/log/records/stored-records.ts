/** Reads the records of the log from its database and from the cache of recent records. Checks the checksum of each. */

import { SharedTurns } from '../../time/turns.js'
import { FIRST_RECORD_KEY, isIntact, keyPosition, positionKey, StoredRecord } from '../format.js'
import type { Level } from '../level.js'
import { logDamaged, positionRange, positionRanges } from '../log-damage.js'
import { PositionRanges } from '../position-ranges.js'
import { isWithin, type PositionRange } from '../tables/positions.js'
import { READ_BYTES, rangeChunks, TURN_BYTES } from './read-ahead.js'
import { RecentRecords } from './recent-records.js'
import { RecordSizes } from './record-sizes.js'

/** A position of the log, with its record or its fault. */
export interface InspectedPlace {
  position: number
  record?: StoredRecord
  fault?: 'missing' | 'damaged'
}

export class StoredRecords {
  readonly #level: Level
  readonly #givenUp: PositionRanges
  readonly #recent: RecentRecords
  readonly sizes: RecordSizes
  readonly turns = new SharedTurns(TURN_BYTES)

  /**
   * @param recentBytes size of the cache of recent records
   * @param givenUp positions whose loss an operator has accepted
   */
  constructor(level: Level, recentBytes: number, givenUp = new PositionRanges()) {
    this.#level = level
    this.#givenUp = givenUp
    this.#recent = new RecentRecords(recentBytes)
    this.sizes = new RecordSizes(level)
  }

  /** The cache of recent records. Only records that are on the disk may be added. */
  get recent(): RecentRecords {
    return this.#recent
  }

  /**
   * Returns the records at these positions, in the same order.
   * @throws DaybookError `log-damaged` when a record is missing or its checksum is wrong
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
    const read = await this.readFromDisk(missing.map((i) => positions[i] as number))
    for (let j = 0; j < missing.length; j++) records[missing[j] as number] = read[j] as StoredRecord
    return records
  }

  /** As `readMany`, without the cache. */
  async readFromDisk(positions: readonly number[]): Promise<StoredRecord[]> {
    const values = await this.#level.getMany(positions.map((position) => positionKey(position)))
    return values.map((value, i) => checkedRecord(positions[i] as number, value))
  }

  /** Yields the record or the fault of each position from `from` to `to`, in order. Never throws for damage. */
  async *inspect(from: number, to: number): AsyncGenerator<InspectedPlace> {
    if (from > to) return
    for (const positions of rangeChunks(from, to)) {
      await this.sizes.learn(positions)
      for (let at = 0; at < positions.length; ) {
        const some = positions.slice(at, at + this.sizes.countWithin(positions, at, READ_BYTES))
        at += some.length
        const values = await this.#level.getMany(some.map((position) => positionKey(position)))
        for (const [i, value] of values.entries()) yield inspected(some[i] as number, value)
      }
    }
  }

  /**
   * Reads and checks all records of a range.
   * @param known positions that are known to be lost and may be missing
   * @param onProgress called about every 256 records with the number read and the number to read; its errors are thrown
   * @throws DaybookError `log-damaged` naming all other missing or damaged positions whose loss was not accepted
   */
  async check(
    { first: from, last: to }: PositionRange,
    known: readonly PositionRange[],
    onProgress?: (done: number, of: number) => void
  ): Promise<void> {
    const lost: number[] = []
    for await (const { position, fault } of this.inspect(from, to)) {
      const isKnown = this.#givenUp.has(position) || isWithin({ first: position, last: position }, known)
      if (fault !== undefined && !isKnown) lost.push(position)
      if ((position & 0xff) === 0) onProgress?.(position - from, to - from + 1)
    }
    if (lost.length > 0) throw logDamaged(positionRanges(lost), 'they were acknowledged and cannot be read')
  }

  /** Returns the position of the last record in the database, -1 when there is none. */
  async findHead(): Promise<number> {
    let head = -1
    for await (const { key } of this.#level.entries({ gte: FIRST_RECORD_KEY, reverse: true, limit: 1 })) {
      head = keyPosition(key)
    }
    return head
  }
}

function checkedRecord(position: number, value: Buffer | undefined): StoredRecord {
  if (value === undefined) throw logDamaged(positionRange(position, position), 'the record is missing')
  if (!isIntact(position, value)) throw logDamaged(positionRange(position, position), 'the checksum is wrong')
  return new StoredRecord(position, value)
}

function inspected(position: number, value: Buffer | undefined): InspectedPlace {
  if (value === undefined) return { position, fault: 'missing' }
  return isIntact(position, value)
    ? { position, record: new StoredRecord(position, value) }
    : { position, fault: 'damaged' }
}
