/** Writing what changes in a hash table: the changed pages, and what tells a start which versions they have. */
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

/** What stands in the state of the index; with it the table can be opened. */
export interface TableState {
  /** Text that every key is hashed with. */
  readonly secret: string
  readonly pages: number
  readonly entries: number
  /** How often the table was written, and which of these writes left the versions of all pages. */
  readonly writes: number
  readonly versionsAt: number
  /** How many pages there were then. */
  readonly versionsOf: number
}

/** Changes that are worked out and not yet written. */
export interface PreparedTable {
  readonly state: TableState
  /** The entries of each changed page, by its number, rising. */
  readonly changed: ReadonlyMap<number, HashPage>
}

export interface TableWrite {
  readonly kind: Table
  /** Of the pages as they stand on disk. */
  readonly versions: PageVersions
  /** The state on disk. */
  readonly before: TableState
  readonly write: PreparedTable
}

/** Steps of work that writing a page takes. */
const PAGE_STEPS = 8

/** Puts the changes into a batch of the index. Others have turns meanwhile. */
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
