/**
 * A hash table in the index whose answer "not found" is reliable. Its pages are numbered without gaps and each has a
 * version. The versions of all pages are in memory (one byte per page, so per ENTRIES_A_PAGE entries on average). So a
 * page that LevelDB loses, or returns in an older version, is detected as damage.
 *
 * Entries are added or get another value; they are never removed. The table grows page by page (linear hashing): page
 * `n` takes its entries from page `n - 2^k`. Changes are prepared when the index is written, and take effect when the
 * write has succeeded. Keys are hashed with a secret, so that no client can choose names that all fall into one page.
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

/**
 * Average entries of a page. Smaller pages mean fewer bytes to write per entry; larger pages mean fewer versions to
 * keep.
 */
const ENTRIES_A_PAGE = 8
/**
 * All versions are written again after this many writes, so that a start reads at most this many lists of changed
 * pages.
 */
const WRITES_BETWEEN_VERSIONS = 64
const PAGES_READ_AT_ONCE = 1024
const PAGES_CACHED = 16_384
/** The most pages of one write that are put into the cache. */
const PAGES_KEPT = 4096
/** Changes to group before yielding to the event loop. */
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
   * Opens a table, or creates an empty one.
   * @param state from the state of the index; undefined: the table does not exist yet
   * @throws DaybookError `index-damaged` when the versions of its pages cannot be read
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

  /** The table state to write to disk together with the prepared changes. */
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
   * Returns the values of each key: none, one, or several when hashes collide.
   * @throws DaybookError `index-damaged` when a page is missing, damaged, or not the newest version
   */
  async find(keys: readonly KeyHash[]): Promise<number[][]> {
    for (;;) {
      const { pages: count } = this.#state
      if (count === 0) return keys.map(() => [])
      const numbers = keys.map((key) => pageOf(key, count))
      const pages = await this.#read(numbers)
      // If the table has grown meanwhile, entries may have moved to pages that were not read: read again.
      if (this.#state.pages !== count) continue
      return keys.map((key, i) => this.#layout.valuesIn(pages.get(numbers[i] as number) as HashPage, key))
    }
  }

  /**
   * Prepares the changed pages of a write. They take effect with `written`; another call replaces them.
   * @returns the error that prevented the table from growing, if any; it then grows with a later write
   * @throws DaybookError `index-damaged` as `find`, and when an entry to change is missing
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
      // Only the growth failed. The changes can be made without new pages.
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

  /** Reads the pages from which new pages take their entries, if the table grows to `pages` pages. */
  #readSources(pages: number): Promise<Map<number, HashPage>> {
    const sources = new Set<number>()
    for (let page = this.#state.pages; page < pages; page++) {
      if (sourceOf(page) < this.#state.pages) sources.add(sourceOf(page))
    }
    return this.#read([...sources])
  }

  /** Creates page number `page` and moves to it the entries of its source page that now belong to it. */
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

  /** Puts the prepared changes into a batch of the index. */
  async put(batch: LevelBatch): Promise<void> {
    if (this.#prepared === undefined) return
    await putTable(batch, { kind: this.#kind, versions: this.#versions, before: this.#state, write: this.#prepared })
  }

  /** Makes the prepared changes take effect. Call it when the batch is on disk. */
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

  /** Returns the entries of pages, by page number. */
  async #read(numbers: readonly number[]): Promise<Map<number, HashPage>> {
    const pages = new Map<number, HashPage>()
    const missing = new Set<number>()
    for (const page of numbers) {
      const known = this.#cache?.get(page)
      if (known === undefined) missing.add(page)
      else pages.set(page, known)
    }
    const uncached = [...missing]
    for (let at = 0; at < uncached.length; at += PAGES_READ_AT_ONCE) {
      const part = uncached.slice(at, at + PAGES_READ_AT_ONCE)
      const writes = this.#state.writes
      const keys = part.map((page) => pageKey(this.#kind, page))
      const values = await this.#level.getMany(keys)
      // If the table was written during the read, the values may be older: read this part again.
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
      // The prepared write may be on disk already, before LevelDB has confirmed it.
      const prepared = this.#prepared
      if (!prepared?.changed.has(page) || bytes[0] !== this.#versions.next(page)) {
        throw tableDamaged(this.#kind, `page ${page} is an old version`)
      }
      return this.#unsplit(prepared, page)
    }
    this.#keep(page, entries)
    return entries
  }

  /** Returns the prepared entries of a page, plus those that move from it to new pages. */
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
