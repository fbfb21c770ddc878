/**
 * Upper bounds of record sizes, known before records are read: LevelDB returns whole values, and an event may have 4
 * MiB. Positions are divided into groups, and a byte of memory a group holds the bound of its records' total size. The
 * bound comes from commits, or from LevelDB's approximate sizes at the first request.
 */
import { limits } from '../../limits.js'
import { positionKey } from '../format.js'

/** Positions in a group. */
const GROUP = 32
/** Upper bound of a record's bytes besides data and metadata: header, names, tags. */
const AROUND_BYTES = 16 * 1024
/** Upper bound of the size of any record. */
export const RECORD_BYTES_MAX = limits.event_bytes_max + AROUND_BYTES
/** LevelDB's approximate sizes are accurate to one block. */
const BLOCK_BYTES = 4096
/** Highest compression ratio of a block that is assumed. */
const COMPRESSED = 24
const UNKNOWN = 0

interface SizedDatabase {
  readonly compresses: boolean
  approximateSize(from: Buffer, to: Buffer): Promise<number>
}

export class RecordSizes {
  readonly #database: SizedDatabase
  /** For each group, the binary logarithm of its bound, rounded up; or UNKNOWN. */
  #classes = Buffer.alloc(1024)
  /** True when tables may be compressed: LevelDB compresses new ones, or an existing one was found to be compressed. */
  #compressed: boolean
  /**
   * The group of this process's first commit, if that commit was not at the beginning of the group. LevelDB knows the
   * bytes of the records before that commit. It does not know the bytes committed since, which are in its memtable.
   */
  #begun: { group: number; before: number | undefined; bytes: number } | undefined
  /** All records from this group on were committed by this process. */
  #ownFrom = Infinity
  /** The group of the last commit, and the bytes committed to it so far. */
  #last = { group: -1, bytes: 0 }

  constructor(database: SizedDatabase) {
    this.#database = database
    this.#compressed = database.compresses
  }

  /** Counts a committed record. To be called for each record, in the order of positions. */
  committed(position: number, bytes: number): void {
    const group = Math.floor(position / GROUP)
    if (this.#ownFrom === Infinity) {
      const whole = position % GROUP === 0
      this.#ownFrom = whole ? group : group + 1
      this.#begun = whole ? undefined : { group, before: undefined, bytes: 0 }
    }
    if (group < this.#ownFrom && this.#begun !== undefined) {
      const { before } = this.#begun
      this.#begun.bytes += bytes
      this.#set(group, before === undefined ? undefined : before + this.#begun.bytes)
      return
    }
    const last = this.#last
    if (group !== last.group) {
      last.group = group
      last.bytes = 0
    }
    last.bytes += bytes
    this.#set(group, last.bytes)
  }

  /** Discards all bounds, because the database was reopened and may contain records that were not counted. */
  clear(): void {
    this.#classes.fill(UNKNOWN)
    this.#begun = undefined
    this.#ownFrom = Infinity
    this.#last.group = -1
  }

  /** Requests the unknown bounds of these positions from LevelDB. @returns undefined when all bounds are known */
  learn(positions: readonly number[]): Promise<unknown> | undefined {
    let unknown: Set<number> | undefined
    for (const position of positions) {
      const group = Math.floor(position / GROUP)
      if (this.#classOf(group) !== UNKNOWN) continue
      unknown ??= new Set()
      unknown.add(group)
    }
    return unknown && Promise.all([...unknown].map((group) => this.#ask(group)))
  }

  /**
   * Returns an upper bound of the total bytes of the records at these positions. Unknown ones count `RECORD_BYTES_MAX`.
   */
  boundOf(positions: readonly number[]): number {
    let sum = 0
    for (let at = 0; at < positions.length; ) {
      const end = this.#endOfGroup(positions, at)
      sum += this.#boundIn(Math.floor((positions[at] as number) / GROUP), end - at)
      at = end
    }
    return sum
  }

  /**
   * Returns how many of the positions from index `at` on have at most `bytes` together, at least 1. Records of unknown
   * size count `RECORD_BYTES_MAX`.
   */
  countWithin(positions: readonly number[], at: number, bytes: number): number {
    let sum = 0
    let next = at
    while (next < positions.length) {
      const end = this.#endOfGroup(positions, next)
      const group = Math.floor((positions[next] as number) / GROUP)
      const bound = this.#boundIn(group, end - next)
      if (sum + bound > bytes) {
        next += Math.min(end - next, Math.floor((bytes - sum) / this.#boundIn(group, 1)))
        break
      }
      sum += bound
      next = end
    }
    return Math.max(1, next - at)
  }

  /**
   * Compares the bytes of records that were read with their bound. If they exceed it, the tables must be compressed.
   */
  wasRead(bound: number, bytes: number): void {
    if (bytes <= bound || this.#compressed) return
    this.#compressed = true
    this.#classes.fill(UNKNOWN, 0, Math.min(this.#ownFrom, this.#classes.length))
    if (this.#begun !== undefined) this.#begun.before = undefined
  }

  async #ask(group: number): Promise<void> {
    const first = group * GROUP
    const stored = await this.#database.approximateSize(positionKey(first), positionKey(first + GROUP))
    const bytes = (stored + BLOCK_BYTES) * (this.#compressed ? COMPRESSED : 1)
    if (group >= this.#ownFrom) return
    const begun = this.#begun
    if (begun?.group !== group) {
      this.#set(group, bytes)
      return
    }
    begun.before = bytes
    this.#set(group, bytes + begun.bytes)
  }

  #boundIn(group: number, count: number): number {
    const found = this.#classOf(group)
    const all = count * RECORD_BYTES_MAX
    return found === UNKNOWN ? all : Math.min(all, 2 ** found)
  }

  #endOfGroup(positions: readonly number[], at: number): number {
    const group = Math.floor((positions[at] as number) / GROUP)
    let end = at + 1
    while (end < positions.length && Math.floor((positions[end] as number) / GROUP) === group) end++
    return end
  }

  #classOf(group: number): number {
    return this.#classes[group] ?? UNKNOWN
  }

  #set(group: number, bytes: number | undefined): void {
    if (group >= this.#classes.length) {
      const more = Buffer.alloc(Math.max(group + 1, 2 * this.#classes.length))
      this.#classes.copy(more)
      this.#classes = more
    }
    this.#classes[group] = bytes === undefined ? UNKNOWN : Math.ceil(Math.log2(Math.max(2, bytes)))
  }
}
