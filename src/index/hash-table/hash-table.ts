/**
 * A hash table in the index whose "not found" can be believed. Its pages are numbered without a gap, each carries a
 * version, and the versions of all pages are in memory (a byte for every ENTRIES_A_PAGE entries): a page that LevelDB
 * hides, or of which it gives an older version, is noticed as damage.
 *
 * Entries are only ever added, or given another value. The table grows page by page (linear hashing): page `n` takes its
 * entries from page `n - 2^k`. Changes are worked out when the index is written and take effect when that has succeeded.
 * Keys are hashed with a secret, so that no client can choose names that all meet in one page.
 */
import { hash, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { DaybookError } from '../../errors.js'
import {
  changedPagesKey,
  decodePageNumbers,
  openEntry,
  PAGE_VERSIONS_PART,
  pageKey,
  pageVersionsKey,
  type Table,
  tableEntry
} from '../../log/format.js'
import type { Level, LevelBatch } from '../../log/level.js'
import { nextTurn } from '../../time/turns.js'
import { WorkCounter } from '../../work-counter.js'
import { groupByPage, type HashPage, PageLayout, type TableChange } from './hash-page.js'
import { type KeyHash, pageOf, sourceOf, stepAfter } from './page-numbers.js'
import { PageVersions } from './page-versions.js'
import { type PreparedTable, putTable, type TableState } from './table-write.js'

/** On average. Small pages make little to write for one entry, large ones few versions to keep. */
const ENTRIES_A_PAGE = 8
/** A start reads at most so many lists of changed pages. */
const WRITES_BETWEEN_VERSIONS = 64
const PAGES_READ_AT_ONCE = 1024
const PAGES_CACHED = 16_384
/** Pages of one write that stay in memory. */
const PAGES_KEPT = 4096
/** Changes that are looked at before others may have a turn. */
const CHANGES_AT_ONCE = 1024

export class HashTable {
  readonly #level: Level
  readonly #kind: Table
  readonly #layout: PageLayout
  readonly #versions = new PageVersions()
  #state: TableState
  #cache: LRUCache<number, HashPage> | undefined
  #prepared: PreparedTable | undefined

  private constructor(level: Level, kind: Table, state: TableState) {
    this.#level = level
    this.#kind = kind
    this.#layout = new PageLayout(tableEntry[kind])
    this.#state = state
    this.#versions.grow(state.pages)
  }

  /**
   * Opens a table, or makes an empty one.
   * @param state as the index has it; undefined: there is none yet
   * @throws `index-damaged` when the versions of its pages cannot be read
   */
  static async open(level: Level, kind: Table, state: TableState | undefined): Promise<HashTable> {
    if (state === undefined) {
      const secret = randomBytes(16).toString('hex')
      const none = { secret, pages: 0, entries: 0, writes: 0, versionsAt: 0, versionsOf: 0 }
      return new HashTable(level, kind, none)
    }
    const table = new HashTable(level, kind, state)
    await table.#readVersions()
    return table
  }

  /** What the state of the index must hold once the prepared changes are written. */
  get nextState(): TableState {
    return this.#prepared?.state ?? this.#state
  }

  get pages(): number {
    return this.#state.pages
  }

  hashOf(key: string): KeyHash {
    return hash('sha1', this.#state.secret + key, 'binary').slice(0, this.#layout.hashBytes)
  }

  /**
   * The values that stand for each key: none, one, or several when hashes agree by chance.
   * @throws `index-damaged` when a page is missing, damaged, or not the newest
   */
  async find(keys: readonly KeyHash[]): Promise<number[][]> {
    for (;;) {
      const { pages: count } = this.#state
      if (count === 0) return keys.map(() => [])
      const numbers = keys.map((key) => pageOf(key, count))
      const pages = await this.#read(numbers)
      // When the table has grown meanwhile, entries may stand in pages that were not asked for.
      if (this.#state.pages !== count) continue
      return keys.map((key, i) => this.#layout.valuesIn(pages.get(numbers[i] as number) as HashPage, key))
    }
  }

  /**
   * Works out what a write changes. Nothing takes effect before `written`; another call replaces what was worked out.
   * @returns what kept the table from growing; it grows another time then
   * @throws `index-damaged` as `find`, and when an entry that is to change is not there
   */
  async prepare(changes: readonly TableChange[]): Promise<Error | undefined> {
    this.#prepared = undefined
    if (changes.length === 0) return undefined
    const before = this.#state.pages
    const entries =
      this.#state.entries + changes.reduce((sum, change) => sum + (change.before === undefined ? 1 : 0), 0)
    let pages = Math.max(before, 1, Math.ceil(entries / ENTRIES_A_PAGE))
    let failure: Error | undefined
    const changed = await this.#readSources(pages).catch((error: Error) => {
      // Growth failed, not the changes: they can do without more pages.
      if (before === 0) throw error
      failure = error
      pages = before
      return new Map<number, HashPage>()
    })
    const work = new WorkCounter()
    const byPage = new Map<number, TableChange[]>()
    for (let at = 0; at < changes.length; at += CHANGES_AT_ONCE) {
      groupByPage(changes.slice(at, at + CHANGES_AT_ONCE), pages, byPage)
      if (work.add(CHANGES_AT_ONCE)) await nextTurn()
    }
    const needed = [...byPage.keys()].filter((page) => page < before && !changed.has(page))
    for (const [page, text] of await this.#read(needed)) changed.set(page, text)
    for (let page = before; page < pages; page++) {
      if (work.add(ENTRIES_A_PAGE)) await nextTurn()
      this.#split(changed, page)
    }
    for (const [page, group] of byPage) {
      if (work.add(2 * group.length)) await nextTurn()
      const text = this.#layout.changed(changed.get(page) as HashPage, group)
      if (text === undefined) throw tableDamaged(this.#kind, 'an entry is missing')
      changed.set(page, text)
    }
    const writes = this.#state.writes + 1
    const all = writes - this.#state.versionsAt >= WRITES_BETWEEN_VERSIONS
    const versions = all ? { versionsAt: writes, versionsOf: pages } : {}
    this.#prepared = { state: { ...this.#state, pages, entries, writes, ...versions }, changed }
    return failure
  }

  /** The pages that new ones take their entries from, when there are to be so many. */
  #readSources(pages: number): Promise<Map<number, HashPage>> {
    const sources = new Set<number>()
    for (let page = this.#state.pages; page < pages; page++) {
      if (sourceOf(page) < this.#state.pages) sources.add(sourceOf(page))
    }
    return this.#read([...sources])
  }

  /** Page `page` is new: it takes those entries of its source that belong to it. */
  #split(changed: Map<number, HashPage>, page: number): void {
    if (page === 0) {
      changed.set(0, '')
      return
    }
    const source = sourceOf(page)
    const { stay, go } = this.#layout.split(changed.get(source) as HashPage, page)
    changed.set(source, stay)
    changed.set(page, go)
  }

  /** Puts what was worked out into a batch of the index. */
  async put(batch: LevelBatch): Promise<void> {
    if (this.#prepared === undefined) return
    await putTable(batch, { kind: this.#kind, versions: this.#versions, before: this.#state, write: this.#prepared })
  }

  /** The batch is on disk: what was worked out takes effect. */
  written(): void {
    if (this.#prepared === undefined) return
    const { changed, state } = this.#prepared
    this.#versions.grow(state.pages)
    let kept = 0
    for (const [page, entries] of changed) {
      this.#versions.advance(page)
      if (kept++ < PAGES_KEPT) this.#keep(page, entries)
      else this.#cache?.delete(page)
    }
    this.#state = state
    this.#prepared = undefined
  }

  #keep(page: number, entries: HashPage): void {
    this.#cache ??= new LRUCache({ max: PAGES_CACHED })
    this.#cache.set(page, entries)
  }

  /** The entries of pages, by their numbers. */
  async #read(numbers: readonly number[]): Promise<Map<number, HashPage>> {
    const pages = new Map<number, HashPage>()
    const missing = new Set<number>()
    for (const page of numbers) {
      const known = this.#cache?.get(page)
      if (known === undefined) missing.add(page)
      else pages.set(page, known)
    }
    const asked = [...missing]
    for (let at = 0; at < asked.length; at += PAGES_READ_AT_ONCE) {
      const part = asked.slice(at, at + PAGES_READ_AT_ONCE)
      const writes = this.#state.writes
      const keys = part.map((page) => pageKey(this.#kind, page))
      const values = await this.#level.getMany(keys)
      // The table was written while LevelDB was asked: its answer may be older.
      if (this.#state.writes !== writes) at -= PAGES_READ_AT_ONCE
      else for (const [i, page] of part.entries()) pages.set(page, this.#opened(page, keys[i] as Buffer, values[i]))
    }
    return pages
  }

  #opened(page: number, key: Buffer, value: Buffer | undefined): HashPage {
    if (value === undefined) throw tableDamaged(this.#kind, `page ${page} is missing`)
    const bytes = openEntry(key, value)
    const entries = bytes.toString('latin1', 1)
    if (bytes[0] !== this.#versions.of(page)) {
      // The write may be on disk before LevelDB has answered.
      const prepared = this.#prepared
      if (!prepared?.changed.has(page) || bytes[0] !== this.#versions.next(page)) {
        throw tableDamaged(this.#kind, `page ${page} is an old one`)
      }
      return this.#unsplit(prepared, page)
    }
    this.#keep(page, entries)
    return entries
  }

  /** The entries of a page as it will be, with those that go to new pages. */
  #unsplit({ state, changed }: PreparedTable, page: number): HashPage {
    let entries = changed.get(page) as HashPage
    for (let step = stepAfter(page); page + step < state.pages; step *= 2) {
      if (page + step >= this.#state.pages) entries += this.#unsplit({ state, changed }, page + step)
    }
    return entries
  }

  async #readVersions(): Promise<void> {
    const { versionsAt, versionsOf, writes } = this.#state
    for (let part = 0; part * PAGE_VERSIONS_PART < versionsOf; part++) {
      const bytes = await this.#entry(pageVersionsKey(this.#kind, versionsAt, part))
      this.#versions.set(bytes, part * PAGE_VERSIONS_PART)
    }
    for (let write = versionsAt + 1; write <= writes; write++) {
      for (const page of decodePageNumbers(await this.#entry(changedPagesKey(this.#kind, write)))) {
        this.#versions.advance(page)
      }
    }
  }

  async #entry(key: Buffer): Promise<Buffer> {
    const value = await this.#level.get(key)
    if (value === undefined) throw tableDamaged(this.#kind, `${key.toString('hex')} is missing`)
    return openEntry(key, value)
  }
}

function tableDamaged(kind: Table, what: string): DaybookError {
  const name = kind === 'l' ? 'lists' : 'ids'
  return new DaybookError('index-damaged', `The index is damaged: in its table of ${name}, ${what}.`)
}
