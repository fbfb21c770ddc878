/** Writes the changes of a hash table: the changed pages, and the records from which a start reads their versions. */
import {
  changedPagesKey,
  encodePageNumbers,
  PAGE_VERSIONS_PART,
  pageKey,
  pageVersionsKey,
  sealEntry,
  type Table
} from '../../log/format.js'
import type { LevelBatch } from '../../log/level.js'
import { nextTurn } from '../../time/turns.js'
import { WorkCounter } from '../../work-counter.js'
import type { HashPage } from './hash-page.js'
import type { PageVersions } from './page-versions.js'

/** The table's part of the index state, with which the table can be opened. */
export interface TableState {
  /** Text with which every key is hashed. */
  readonly secret: string
  readonly pages: number
  readonly entries: number
  /** The number of writes of the table. */
  readonly writes: number
  /** The last write that included the versions of all pages, 0 when there is none. */
  readonly versionsAt: number
  /** The number of pages at that write. */
  readonly versionsOf: number
}

/** Changes that are prepared and not yet written. */
export interface PreparedTable {
  readonly state: TableState
  /** The entries of each changed page, by page number. */
  readonly changed: ReadonlyMap<number, HashPage>
}

export interface TableWrite {
  readonly kind: Table
  /** The versions of the pages on disk. */
  readonly versions: PageVersions
  /** The state on disk. */
  readonly before: TableState
  readonly write: PreparedTable
}

/** Steps of work to write a page. */
const PAGE_STEPS = 8

/** Puts the changes into a batch of the index. Yields to the event loop when there are many. */
export async function putTable(batch: LevelBatch, { kind, versions, before, write }: TableWrite): Promise<void> {
  const { changed, state } = write
  const work = new WorkCounter()
  const put = (key: Buffer, value: Buffer) => batch.put(key, sealEntry(key, value))
  const numbers = [...changed.keys()].sort((one, other) => one - other)
  for (const page of numbers) {
    if (work.add(PAGE_STEPS)) await nextTurn()
    const text = String.fromCharCode(versions.next(page)) + changed.get(page)
    put(pageKey(kind, page), Buffer.from(text, 'latin1'))
  }
  if (state.versionsAt !== state.writes) {
    put(changedPagesKey(kind, state.writes), encodePageNumbers(numbers))
    return
  }
  const all = versions.after(numbers, state.pages)
  for (let part = 0; part * PAGE_VERSIONS_PART < state.pages; part++) {
    const from = part * PAGE_VERSIONS_PART
    const bytes = all.subarray(from, Math.min(from + PAGE_VERSIONS_PART, state.pages))
    put(pageVersionsKey(kind, state.writes, part), Buffer.from(bytes))
  }
  const { versionsAt, versionsOf, writes } = before
  for (let part = 0; part * PAGE_VERSIONS_PART < versionsOf; part++) batch.del(pageVersionsKey(kind, versionsAt, part))
  for (let number = versionsAt + 1; number <= writes; number++) batch.del(changedPagesKey(kind, number))
}
