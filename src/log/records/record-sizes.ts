/**
 * How large records are, before they are read: LevelDB gives a value whole, and one event may have 4 MiB. For each group
 * of neighbouring positions a bound on the bytes of its records is kept, a byte a group. It comes from what is committed,
 * or LevelDB tells it the first time.
 */
import { limits } from '../../limits.js'
import { positionKey } from '../format.js'

/** Positions in a group. */
const GROUP = 32
/** Names, tags and lengths around the data of an event. */
const AROUND_BYTES = 16 * 1024
/** The largest record that there can be. */
export const RECORD_BYTES_MAX = limits.event_bytes_max + AROUND_BYTES
/** LevelDB tells where blocks begin, so its answers are off by up to a block. */
const BLOCK_BYTES = 4096
/** How much smaller a compressed block can be than what it holds. */
const COMPRESSED = 24
const UNKNOWN = 0

/** Tells how many bytes of its tables LevelDB uses for a range of keys. */
interface SizedDatabase {
  readonly compresses: boolean
  approximateSize(from: Buffer, to: Buffer): Promise<number>
}

export class RecordSizes {
  readonly #database: SizedDatabase
  /** Of each group the logarithm of its bound, rounded up. */
  #classes = Buffer.alloc(1024)
  /** Tables may be compressed: those that are written now, or those that were found to be. */
  #compressed: boolean
  /**
   * The group in whose middle this process began to commit, and what it has committed there. LevelDB tells what was there
   * before, and not what is in its memtable.
   */
  #begun: { group: number; before: number | undefined; bytes: number } | undefined
  /** From this group on all records were committed by this process. */
  #ownFrom = Infinity
  /** The group of the last commit, and its bytes so far. */
  #last = { group: -1, bytes: 0 }

  constructor(database: SizedDatabase) {
    this.#database = database
    this.#compressed = database.compresses
  }

  /** Takes the size of a record that was committed; positions follow each other. */
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

  /** Forgets everything: the database was opened again, and may hold records that nobody was told of. */
  forget(): void {
    this.#classes.fill(UNKNOWN)
    this.#begun = undefined
    this.#ownFrom = Infinity
    this.#last.group = -1
  }

  /** Asks LevelDB about the groups of these positions that are not known yet. */
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

  /** What the records at these positions have at most, bytes; those that are not known count as the largest. */
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
   * How many positions from `at` on have no more than `bytes` together, at least one. Their groups must be known, or they
   * count as the largest.
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

  /** Compares what was read with its bound: tables that hold more than they seem to are compressed. */
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
