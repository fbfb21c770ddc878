/** Yields positions in order and in chunks: of one posting list, of several lists merged, or of the log itself. */

import type { Postings } from '../index/posting-lists.js'
import { type Family, firstPosition, type ListHead } from '../log/format.js'
import { rangeChunks, SCAN_CHUNK } from '../log/records/read-ahead.js'

export type Order = 'asc' | 'desc'

/** A range of cursors, both inclusive. Empty when `first > last`. */
export interface Range {
  readonly first: number
  readonly last: number
}

export function* walkLog(range: Range, order: Order, chunk: number): Generator<number[]> {
  if (range.first > range.last) return
  yield* order === 'asc' ? rangeChunks(range.first, range.last, chunk) : rangeChunks(range.last, range.first, chunk)
}

/** A walk along one list. */
export interface ListWalk {
  readonly kind: Family
  /** Snapshot of the list's head. */
  readonly head: ListHead
  /** Indexes of the list's entries. */
  readonly range: Range
  readonly order: Order
  /** Maximum positions in a chunk. */
  readonly chunk: number
}

/** Yields the positions of the entries of one list. */
export async function* walkList(
  postings: Postings,
  { kind, head, range, order, chunk }: ListWalk
): AsyncGenerator<number[]> {
  let { first, last } = range
  while (first <= last) {
    const count = Math.min(chunk, last - first + 1)
    if (order === 'asc') {
      yield await postings.positions(kind, head, first, count)
      first += count
    } else {
      yield (await postings.positions(kind, head, last - count + 1, count)).reverse()
      last -= count
    }
  }
}

/** Yields the positions within `range` that are in any of the lists, without duplicates. */
export async function* walkLists(
  postings: Postings,
  kind: Family,
  names: readonly string[],
  range: Range,
  order: Order
): AsyncGenerator<number[]> {
  const cursors: ListCursor[] = []
  for (const name of new Set(names)) {
    const head = await postings.head(kind, name)
    if (head === undefined) continue
    const entries = {
      first: await entryAtOrAfter(postings, kind, head, range.first),
      last: (await entryAtOrAfter(postings, kind, head, range.last + 1)) - 1
    }
    const cursor = new ListCursor(walkList(postings, { kind, head, range: entries, order, chunk: SCAN_CHUNK }))
    if (await cursor.advance()) cursors.push(cursor)
  }
  const sign = order === 'asc' ? 1 : -1
  let chunk: number[] = []
  while (cursors.length > 0) {
    let nearest = cursors[0] as ListCursor
    for (const cursor of cursors) if ((cursor.position - nearest.position) * sign < 0) nearest = cursor
    chunk.push(nearest.position)
    if (chunk.length === SCAN_CHUNK) {
      yield chunk
      chunk = []
    }
    if (!nearest.step() && !(await nearest.advance())) cursors.splice(cursors.indexOf(nearest), 1)
  }
  if (chunk.length > 0) yield chunk
}

/** Returns the index of the first entry whose position is at or after `position`; `head.count` when there is none. */
export async function entryAtOrAfter(
  postings: Postings,
  kind: Family,
  head: ListHead,
  position: number
): Promise<number> {
  if (position <= firstPosition(head)) return 0
  return lowestIndex(head.count, async (index) => (await postings.position(kind, head, index)) >= position)
}

/** Binary search. Returns the lowest index for which `test` is true; `count` when it is true for none. */
export async function lowestIndex(count: number, test: (index: number) => Promise<boolean>): Promise<number> {
  let low = 0
  let high = count
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (await test(middle)) high = middle
    else low = middle + 1
  }
  return low
}

/** The cursor of one list in a merge. */
class ListCursor {
  readonly #chunks: AsyncGenerator<number[]>
  #chunk: number[] = []
  #at = 0

  constructor(chunks: AsyncGenerator<number[]>) {
    this.#chunks = chunks
  }

  get position(): number {
    return this.#chunk[this.#at] as number
  }

  /** Moves to the next position of the chunk in memory. Returns false at the end of the chunk. */
  step(): boolean {
    return ++this.#at < this.#chunk.length
  }

  /** Loads the next chunk. Returns false at the end of the list. */
  async advance(): Promise<boolean> {
    const next = await this.#chunks.next()
    if (next.done) return false
    this.#chunk = next.value
    this.#at = 0
    return true
  }
}
