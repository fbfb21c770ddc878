/** The entries of one page of a hash table: hash and value of each entry in sequence. Pure. */
import { type KeyHash, numberAt, pageOf } from './page-numbers.js'

/** The entries of a page, one character per byte: small strings need less memory than small Buffers. */
export type HashPage = string

export interface TableChange {
  readonly hash: KeyHash
  readonly value: number
  /** The current value of the entry; undefined: the entry is new. */
  readonly before?: number | undefined
}

/** Reads and changes the entries of a table's pages. */
export class PageLayout {
  readonly #hashBytes: number
  readonly #valueBytes: number
  readonly #entryBytes: number

  /** Takes the sizes of an entry's hash and value, in bytes. */
  constructor({ hash, value }: { readonly hash: number; readonly value: number }) {
    this.#hashBytes = hash
    this.#valueBytes = value
    this.#entryBytes = hash + value
  }

  get hashBytes(): number {
    return this.#hashBytes
  }

  /** Returns the values of a key in its page. */
  valuesIn(page: HashPage, key: KeyHash): number[] {
    const values: number[] = []
    for (let at = this.#entryAt(page, key, 0); at >= 0; at = this.#entryAt(page, key, at + this.#entryBytes)) {
      values.push(numberAt(page, at + this.#hashBytes, this.#valueBytes))
    }
    return values
  }

  /** Returns the offset of the next entry of a key from `from` on; -1 when there is none. */
  #entryAt(page: HashPage, key: KeyHash, from: number): number {
    for (let at = page.indexOf(key, from); at >= 0; at = page.indexOf(key, at + 1)) {
      if (at % this.#entryBytes === 0) return at
    }
    return -1
  }

  /** Returns the offset of the entry with this key and value; -1 when there is none. */
  #entryWith(page: HashPage, key: KeyHash, value: number): number {
    for (let at = this.#entryAt(page, key, 0); at >= 0; at = this.#entryAt(page, key, at + this.#entryBytes)) {
      if (numberAt(page, at + this.#hashBytes, this.#valueBytes) === value) return at
    }
    return -1
  }

  /** Returns the page with the changes applied; undefined when an entry to change is missing. */
  changed(page: HashPage, changes: readonly TableChange[]): HashPage | undefined {
    for (const { hash, value, before } of changes) {
      const entry = hash + numberBytes(value, this.#valueBytes)
      if (before === undefined) page += entry
      else {
        const at = this.#entryWith(page, hash, before)
        if (at < 0) return undefined
        page = page.slice(0, at) + entry + page.slice(at + entry.length)
      }
    }
    return page
  }

  /** Divides the entries of `source` between itself (`stay`) and the new last page number `page` (`go`). */
  split(source: HashPage, page: number): { stay: HashPage; go: HashPage } {
    let stay = ''
    let go = ''
    for (let at = 0; at < source.length; at += this.#entryBytes) {
      const entry = source.slice(at, at + this.#entryBytes)
      if (pageOf(entry, page + 1) === page) go += entry
      else stay += entry
    }
    return { stay, go }
  }
}

/**
 * Adds each change to the group of its page.
 * @param pages the number of pages of the table
 */
export function groupByPage(changes: readonly TableChange[], pages: number, groups: Map<number, TableChange[]>): void {
  for (const change of changes) {
    const page = pageOf(change.hash, pages)
    const group = groups.get(page)
    if (group === undefined) groups.set(page, [change])
    else group.push(change)
  }
}

/** Encodes a number in `bytes` bytes, big-endian, one character per byte. */
function numberBytes(number: number, bytes: number): string {
  let text = ''
  for (; bytes > 0; bytes--) {
    text = String.fromCharCode(number % 256) + text
    number = Math.floor(number / 256)
  }
  return text
}
