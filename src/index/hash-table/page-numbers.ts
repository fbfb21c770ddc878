/**
 * Which page of a hash table holds a key. The table grows page by page (linear hashing): page `n` takes its entries from
 * page `n - 2^k`, where 2^k is the largest power of two that is not above `n`. Pure.
 */

/** Where a key belongs: the first 4 bytes choose its page, and all of them tell it from others there. A character a byte. */
export type KeyHash = string

/** The page where a hash, or an entry, belongs when there are so many. */
export function pageOf(key: KeyHash, pages: number): number {
  const half = 2 ** (31 - Math.clz32(pages))
  const page = numberAt(key, 0, 4) % (2 * half)
  return page < pages ? page : page - half
}

/** The page that a new page takes its entries from. */
export function sourceOf(page: number): number {
  return page === 0 ? 0 : page - 2 ** Math.floor(Math.log2(page))
}

/** The smallest step from a page to one that takes its entries from it; each further step is twice as long. */
export function stepAfter(page: number): number {
  return page === 0 ? 1 : 2 * 2 ** Math.floor(Math.log2(page))
}

/** A number of some bytes in a text, big-endian. */
export function numberAt(text: string, at: number, bytes: number): number {
  let number = 0
  for (let i = 0; i < bytes; i++) number = number * 256 + text.charCodeAt(at + i)
  return number
}
