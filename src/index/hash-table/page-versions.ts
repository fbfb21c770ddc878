/** The versions of a hash table's pages, a byte each: how often a page was written tells an old one from the newest. */
import { nextVersion } from '../../log/format.js'

export class PageVersions {
  #bytes = new Uint8Array(0)

  /** The version of a page as it stands on disk; 0 when it was never written. */
  of(page: number): number {
    return this.#bytes[page] ?? 0
  }

  /** The version that the next write gives a page. */
  next(page: number): number {
    return nextVersion(this.of(page))
  }

  /** A page was written once more. */
  advance(page: number): void {
    this.#bytes[page] = this.next(page)
  }

  /** Makes room for so many pages. */
  grow(pages: number): void {
    this.#bytes = grown(this.#bytes, pages)
  }

  /** Takes versions as they were read, from page `from` on; there must be room for them. */
  set(versions: Uint8Array, from: number): void {
    this.#bytes.set(versions, from)
  }

  /** The versions of all of so many pages, once these were written. */
  after(written: readonly number[], pages: number): Uint8Array {
    const versions = grown(this.#bytes.slice(), pages)
    for (const page of written) versions[page] = this.next(page)
    return versions
  }
}

/** At least so many versions, those that there are first. */
function grown(versions: Uint8Array<ArrayBuffer>, pages: number): Uint8Array<ArrayBuffer> {
  if (versions.length >= pages) return versions
  const more = new Uint8Array(Math.max(pages, Math.ceil(versions.length * 1.25)))
  more.set(versions)
  return more
}
