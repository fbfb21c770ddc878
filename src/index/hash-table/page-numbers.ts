/**
 * Maps keys to pages of a hash table. The table grows page by page (linear hashing): page `n` takes its entries from
 * page `n - 2^k`, where 2^k is the largest power of two that is not above `n`. Pure.
 */

/**
 * The hash of a key, one character per byte. The first 4 bytes select the page; all bytes distinguish the keys of a
 * page.
 */
export type KeyHash = string

/** Returns the page of a hash, or of an entry, in a table of `pages` pages. */
export function pageOf(key: KeyHash, pages: number): number {
  const half = 2 ** (31 - Math.clz32(pages))
  const page = numberAt(key, 0, 4) % (2 * half)
  return page < pages ? page : page - half
}

/** Returns the page from which a new page takes its entries. */
export function sourceOf(page: number): number {
  return page === 0 ? 0 : page - 2 ** Math.floor(Math.log2(page))
}

/**
 * Returns the distance from a page to the first page that takes entries from it. The distance to each further such page
 * is twice the one before.
 */
export function stepAfter(page: number): number {
  return page === 0 ? 1 : 2 * 2 ** Math.floor(Math.log2(page))
}

/** Decodes a big-endian number of `bytes` bytes in a text with one character per byte. */
export function numberAt(text: string, at: number, bytes: number): number {
  let number = 0
  for (let i = 0; i < bytes; i++) number = number * 256 + text.charCodeAt(at + i)
  return number
}
