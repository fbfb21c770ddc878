/** The versions of a hash table's pages, one byte each. Each write of a page advances its version. */
import { nextVersion } from '../../log/format.js'

export class PageVersions {
  #bytes = new Uint8Array(0)

  /** Returns the version of a page on disk; 0 when it was never written. */
  of(page: number): number {
    return this.#bytes[page] ?? 0
  }

  /** Returns the version that the next write gives a page. */
  next(page: number): number {
    return nextVersion(this.of(page))
  }

  /** Advances the version of a page that was written. */
  advance(page: number): void {
    this.#bytes[page] = this.next(page)
  }

  /** Makes room for the versions of `pages` pages. */
  grow(pages: number): void {
    this.#bytes = grown(this.#bytes, pages)
  }

  /** Sets the versions read from disk, from page `from` on. There must be room for them. */
  set(versions: Uint8Array, from: number): void {
    this.#bytes.set(versions, from)
  }

  /** Returns the versions that all `pages` pages have after a write of the pages `written`. */
  after(written: readonly number[], pages: number): Uint8Array {
    const versions = grown(this.#bytes.slice(), pages)
    for (const page of written) versions[page] = this.next(page)
    return versions
  }
}

/** Returns an array of at least `pages` versions that begins with the given ones; grows by a quarter at least. */
function grown(versions: Uint8Array<ArrayBuffer>, pages: number): Uint8Array<ArrayBuffer> {
  if (versions.length >= pages) return versions
  const more = new Uint8Array(Math.max(pages, Math.ceil(versions.length * 1.25)))
  more.set(versions)
  return more
}
