/**
 * A hash table in the index whose "not found" can be believed. Its pages are numbered without a gap, each carries a
 * version, and the versions of all pages are in memory (a byte for every ENTRIES_A_PAGE entries): a page that LevelDB
 * hides, or of which it gives an older version, is noticed as damage.
 *
 * Entries are only ever added, or given another value. The table grows page by page (linear hashing): page `n` takes its
 * entries from page `n - 2^k`. Changes are worked out when the index is written and take effect when that has succeeded.
 * Keys are hashed with a secret, so that nobody can choose names that all meet in one page.
 */
import { hash, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { DaybookError } from '../../errors.js'
import {
  changedPagesKey,
  decodePageNumbers,
  encodePageNumbers,
  nextVersion,
  openEntry,
  PAGE_VERSIONS_PART,
  pageKey,
  pageVersionsKey,
  sealEntry,
  type Table,
  tableEntry
} from '../../log/format.js'
import type { Level, LevelBatch } from '../../log/level.js'

/** Where a key belongs: the first 4 bytes choose its page, and all of them tell it from others there. A character a byte. */
export type KeyHash = string

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

/** @param before the value that the entry has; undefined: it is new */
export interface TableChange {
  readonly hash: KeyHash
  readonly value: number
  readonly before?: number | undefined
}

/** Changes that are worked out and not yet written. */
export interface PreparedTable {
  readonly state: TableState
  /** The entries of each changed page, by its number, rising. */
  readonly changed: ReadonlyMap<number, Page>
}

/** The entries of a page one after the other, a character a byte: small strings cost less than small Buffers. */
type Page = string

/** On average. Small pages make little to write for one entry, large ones few versions to keep. */
const ENTRIES_A_PAGE = 8
/** A start reads at most so many lists of changed pages. */
const WRITES_BETWEEN_VERSIONS = 64
const PAGES_READ_AT_ONCE = 1024
const PAGES_CACHED = 16_384

export class HashTable {
  readonly #level: Level
  readonly #kind: Table
  readonly #hashBytes: number
  readonly #valueBytes: number
  #state: TableState
  #versions: Uint8Array
  #cache: LRUCache<number, Page> | undefined
  #prepared: PreparedTable | undefined

  private constructor(level: Level, kind: Table, state: TableState, versions: Uint8Array) {
    this.#level = level
    this.#kind = kind
    this.#hashBytes = tableEntry[kind].hash
    this.#valueBytes = tableEntry[kind].value
    this.#state = state
    this.#versions = versions
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
      return new HashTable(level, kind, none, new Uint8Array(0))
    }
    const table = new HashTable(level, kind, state, grown(new Uint8Array(0), state.pages))
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
    return hash('sha1', this.#state.secret + key, 'binary').slice(0, this.#hashBytes)
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
      return keys.map((key, i) => this.#valuesIn(pages.get(numbers[i] as number) as Page, key))
    }
  }

  #valuesIn(page: Page, key: KeyHash): number[] {
    const values: number[] = []
    for (let at = this.#entryAt(page, key, 0); at >= 0; at = this.#entryAt(page, key, at + this.#entryBytes)) {
      values.push(numberAt(page, at + this.#hashBytes, this.#valueBytes))
    }
    return values
  }

  get #entryBytes(): number {
    return this.#hashBytes + this.#valueBytes
  }

  /** Where the next entry of a key begins in a page, -1 when there is none from `from` on. */
  #entryAt(page: Page, key: KeyHash, from: number): number {
    for (let at = page.indexOf(key, from); at >= 0; at = page.indexOf(key, at + 1)) {
      if (at % this.#entryBytes === 0) return at
    }
    return -1
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
      // Nobody asked for these pages: the changes can do without more of them.
      if (before === 0) throw error
      failure = error
      pages = before
      return new Map<number, Page>()
    })
    const byPage = groupedByPage(changes, pages)
    const needed = [...byPage.keys()].filter((page) => page < before && !changed.has(page))
    for (const [page, text] of await this.#read(needed)) changed.set(page, text)
    for (let page = before; page < pages; page++) this.#split(changed, page)
    for (const [page, group] of byPage) {
      changed.set(page, this.#changedPage(changed.get(page) as Page, group))
    }
    const writes = this.#state.writes + 1
    const all = writes - this.#state.versionsAt >= WRITES_BETWEEN_VERSIONS
    const versions = all ? { versionsAt: writes, versionsOf: pages } : {}
    this.#prepared = { state: { ...this.#state, pages, entries, writes, ...versions }, changed }
    return failure
  }

  /** The pages that new ones take their entries from, when there are to be so many. */
  #readSources(pages: number): Promise<Map<number, Page>> {
    const sources = new Set<number>()
    for (let page = this.#state.pages; page < pages; page++) {
      if (sourceOf(page) < this.#state.pages) sources.add(sourceOf(page))
    }
    return this.#read([...sources])
  }

  /** Page `page` is new: it takes those entries of its source that belong to it. */
  #split(changed: Map<number, Page>, page: number): void {
    if (page === 0) {
      changed.set(0, '')
      return
    }
    const source = sourceOf(page)
    const all = changed.get(source) as Page
    let stay = ''
    let go = ''
    for (let at = 0; at < all.length; at += this.#entryBytes) {
      const entry = all.slice(at, at + this.#entryBytes)
      if (pageOf(entry, page + 1) === page) go += entry
      else stay += entry
    }
    changed.set(source, stay)
    changed.set(page, go)
  }

  #changedPage(page: Page, changes: readonly TableChange[]): Page {
    for (const { hash: key, value, before } of changes) {
      const entry = key + textOf(value, this.#valueBytes)
      if (before === undefined) page += entry
      else {
        const at = this.#entryWith(page, key, before)
        page = page.slice(0, at) + entry + page.slice(at + entry.length)
      }
    }
    return page
  }

  #entryWith(page: Page, key: KeyHash, value: number): number {
    for (let at = this.#entryAt(page, key, 0); at >= 0; at = this.#entryAt(page, key, at + this.#entryBytes)) {
      if (numberAt(page, at + this.#hashBytes, this.#valueBytes) === value) return at
    }
    throw damaged(this.#kind, 'an entry is missing')
  }

  /** Puts what was worked out into a batch of the index. */
  put(batch: LevelBatch): void {
    if (this.#prepared === undefined) return
    const { changed, state } = this.#prepared
    const put = (key: Buffer, value: Buffer) => batch.put(key, sealEntry(key, value))
    const numbers = [...changed.keys()].sort((one, other) => one - other)
    for (const page of numbers) {
      const text = String.fromCharCode(this.#nextVersion(page)) + changed.get(page)
      put(pageKey(this.#kind, page), Buffer.from(text, 'latin1'))
    }
    if (state.versionsAt !== state.writes) {
      put(changedPagesKey(this.#kind, state.writes), encodePageNumbers(numbers))
      return
    }
    const versions = grown(this.#versions.slice(), state.pages)
    for (const page of numbers) versions[page] = this.#nextVersion(page)
    for (let part = 0; part * PAGE_VERSIONS_PART < state.pages; part++) {
      const from = part * PAGE_VERSIONS_PART
      const bytes = versions.subarray(from, Math.min(from + PAGE_VERSIONS_PART, state.pages))
      put(pageVersionsKey(this.#kind, state.writes, part), Buffer.from(bytes))
    }
    const { versionsAt, versionsOf, writes } = this.#state
    for (let part = 0; part * PAGE_VERSIONS_PART < versionsOf; part++) {
      batch.del(pageVersionsKey(this.#kind, versionsAt, part))
    }
    for (let write = versionsAt + 1; write <= writes; write++) batch.del(changedPagesKey(this.#kind, write))
  }

  /** The batch is on disk: what was worked out takes effect. */
  written(): void {
    if (this.#prepared === undefined) return
    const { changed, state } = this.#prepared
    this.#versions = grown(this.#versions, state.pages)
    for (const [page, entries] of changed) {
      this.#versions[page] = this.#nextVersion(page)
      this.#keep(page, entries)
    }
    this.#state = state
    this.#prepared = undefined
  }

  #nextVersion(page: number): number {
    return nextVersion(this.#versions[page] ?? 0)
  }

  #keep(page: number, entries: Page): void {
    this.#cache ??= new LRUCache({ max: PAGES_CACHED })
    this.#cache.set(page, entries)
  }

  /** The entries of pages, by their numbers. */
  async #read(numbers: readonly number[]): Promise<Map<number, Page>> {
    const pages = new Map<number, Page>()
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

  #opened(page: number, key: Buffer, value: Buffer | undefined): Page {
    if (value === undefined) throw damaged(this.#kind, `page ${page} is missing`)
    const bytes = openEntry(key, value)
    const entries = bytes.toString('latin1', 1)
    if (bytes[0] !== this.#versions[page]) {
      // It may be on disk before we are told so.
      const prepared = this.#prepared
      if (!prepared?.changed.has(page) || bytes[0] !== this.#nextVersion(page)) {
        throw damaged(this.#kind, `page ${page} is an old one`)
      }
      return this.#unsplit(prepared, page)
    }
    this.#keep(page, entries)
    return entries
  }

  /** The entries of a page as it will be, with those that go to new pages. */
  #unsplit({ state, changed }: PreparedTable, page: number): Page {
    let entries = changed.get(page) as Page
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
        this.#versions[page] = this.#nextVersion(page)
      }
    }
  }

  async #entry(key: Buffer): Promise<Buffer> {
    const value = await this.#level.get(key)
    if (value === undefined) throw damaged(this.#kind, `${key.toString('hex')} is missing`)
    return openEntry(key, value)
  }
}

/** The page where a hash, or an entry, belongs when there are so many. */
function pageOf(key: KeyHash, pages: number): number {
  const half = 2 ** Math.floor(Math.log2(pages))
  const page = numberAt(key, 0, 4) % (2 * half)
  return page < pages ? page : page - half
}

/** The page that a new page takes its entries from. */
function sourceOf(page: number): number {
  return page === 0 ? 0 : page - 2 ** Math.floor(Math.log2(page))
}

/** The smallest step from a page to one that takes its entries from it; each further step is twice as long. */
function stepAfter(page: number): number {
  return page === 0 ? 1 : 2 * 2 ** Math.floor(Math.log2(page))
}

function groupedByPage(changes: readonly TableChange[], pages: number): Map<number, TableChange[]> {
  const groups = new Map<number, TableChange[]>()
  for (const change of changes) {
    const page = pageOf(change.hash, pages)
    const group = groups.get(page)
    if (group === undefined) groups.set(page, [change])
    else group.push(change)
  }
  return groups
}

/** A number of some bytes in a text, big-endian. */
function numberAt(text: string, at: number, bytes: number): number {
  let number = 0
  for (let i = 0; i < bytes; i++) number = number * 256 + text.charCodeAt(at + i)
  return number
}

function textOf(number: number, bytes: number): string {
  let text = ''
  for (; bytes > 0; bytes--) {
    text = String.fromCharCode(number % 256) + text
    number = Math.floor(number / 256)
  }
  return text
}

/** At least so many versions, those that there are first. */
function grown(versions: Uint8Array, pages: number): Uint8Array {
  if (versions.length >= pages) return versions
  const more = new Uint8Array(Math.max(pages, Math.ceil(versions.length * 1.25)))
  more.set(versions)
  return more
}

function damaged(kind: Table, what: string): DaybookError {
  const name = kind === 'l' ? 'lists' : 'ids'
  return new DaybookError('index-damaged', `The index is damaged: in its table of ${name}, ${what}.`)
}
