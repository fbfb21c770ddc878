/** Rendered answers that are asked for again and again. */
import { LRUCache } from 'lru-cache'

const SEEN_MAX = 4096

/** Keeps only what is asked for twice: reads at random would push out the hot ones. */
export class PageCache<T extends { readonly body: Buffer }> {
  readonly #pages: LRUCache<string, T>
  readonly #seen = new Set<string>()

  constructor(bytesMax: number) {
    this.#pages = new LRUCache({
      maxSize: bytesMax,
      sizeCalculation: ({ body }, key) => body.length + 2 * key.length + 500
    })
  }

  get(key: string): T | undefined {
    return this.#pages.get(key)
  }

  /** Takes an answer that will be the same as long as its key is. */
  offer(key: string, page: T): void {
    if (this.#seen.has(key)) {
      this.#pages.set(key, page)
      return
    }
    if (this.#seen.size >= SEEN_MAX) this.#seen.clear()
    this.#seen.add(key)
  }
}
