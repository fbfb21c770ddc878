/** The entries of one page of a hash table: hash and value of each, one after the other. Pure. */
import { type KeyHash, numberAt, pageOf } from './page-numbers.js'

/** The entries of a page, a character a byte: small strings cost less than small Buffers. */
export type HashPage = string

/** @param before the value that the entry has; undefined: it is new */
export interface TableChange {
  readonly hash: KeyHash
  readonly value: number
  readonly before?: number | undefined
}

/** How the entries of a table's pages are laid out. */
export class PageLayout {
  readonly #hashBytes: number
  readonly #valueBytes: number
  readonly #entryBytes: number

  /** @param entry how many bytes the hash and the value of an entry have */
  constructor({ hash, value }: { readonly hash: number; readonly value: number }) {
    this.#hashBytes = hash
    this.#valueBytes = value
    this.#entryBytes = hash + value
  }

  get hashBytes(): number {
    return this.#hashBytes
  }

  /** The values that stand for a key in its page. */
  valuesIn(page: HashPage, key: KeyHash): number[] {
    const values: number[] = []
    for (let at = this.#entryAt(page, key, 0); at >= 0; at = this.#entryAt(page, key, at + this.#entryBytes)) {
      values.push(numberAt(page, at + this.#hashBytes, this.#valueBytes))
    }
    return values
  }

  /** Where the next entry of a key begins in a page, -1 when there is none from `from` on. */
  #entryAt(page: HashPage, key: KeyHash, from: number): number {
    for (let at = page.indexOf(key, from); at >= 0; at = page.indexOf(key, at + 1)) {
      if (at % this.#entryBytes === 0) return at
    }
    return -1
  }

  /** Where the entry of a key with a value begins in a page, -1 when there is none. */
  #entryWith(page: HashPage, key: KeyHash, value: number): number {
    for (let at = this.#entryAt(page, key, 0); at >= 0; at = this.#entryAt(page, key, at + this.#entryBytes)) {
      if (numberAt(page, at + this.#hashBytes, this.#valueBytes) === value) return at
    }
    return -1
  }

  /** The page after changes. @returns undefined when an entry that is to change is not there */
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

  /** Divides a page between itself and the new page `page`, the last of the table then. */
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

/** Adds changes to those of their pages, when there are so many pages. */
export function groupByPage(changes: readonly TableChange[], pages: number, groups: Map<number, TableChange[]>): void {
  for (const change of changes) {
    const page = pageOf(change.hash, pages)
    const group = groups.get(page)
    if (group === undefined) groups.set(page, [change])
    else group.push(change)
  }
}

/** A number in some bytes, big-endian, a character a byte. */
function numberBytes(number: number, bytes: number): string {
  let text = ''
  for (; bytes > 0; bytes--) {
    text = String.fromCharCode(number % 256) + text
    number = Math.floor(number / 256)
  }
  return text
}
