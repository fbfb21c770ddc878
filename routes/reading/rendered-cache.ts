/** A cache of rendered pages and events, shared by all formats. */
import { LRUCache } from 'lru-cache'
import type { CacheSizes } from '../../src/memory/cache-sizes.js'

/** A cached response: its bytes, and further members of each format. */
interface Rendered {
  readonly body: Buffer
}

const SEEN_MAX = 4096

/** Caches rendered pages and events. Each format prefixes its keys, so that it never gets entries of another format. */
export class RenderedCache {
  readonly #pages: LRUCache<string, Rendered>
  /** Keys of pages that were offered once and are not cached yet. */
  readonly #seen = new Set<string>()
  readonly #events: LRUCache<string, Rendered>

  constructor({ renderedPages, renderedEvents }: Pick<CacheSizes, 'renderedPages' | 'renderedEvents'>) {
    this.#pages = new LRUCache({
      maxSize: renderedPages,
      sizeCalculation: ({ body }, key) => body.length + 2 * key.length + 500
    })
    this.#events = new LRUCache({ maxSize: renderedEvents, sizeCalculation: ({ body }) => body.length + 300 })
  }

  /** Returns a cached page. */
  page<T extends Rendered>(key: string): T | undefined {
    return this.#pages.get(key) as T | undefined
  }

  /**
   * Offers a page, whose bytes must depend on its key only. Admits it on the second offer, so that random reads don't
   * evict hot pages.
   */
  offerPage(key: string, page: Rendered): void {
    if (this.#seen.has(key)) {
      this.#pages.set(key, page)
      return
    }
    if (this.#seen.size >= SEEN_MAX) this.#seen.clear()
    this.#seen.add(key)
  }

  /** Returns a cached event. */
  event<T extends Rendered>(key: string): T | undefined {
    return this.#events.get(key) as T | undefined
  }

  /** Caches an event, whose bytes must depend on its key only. */
  keepEvent(key: string, event: Rendered): void {
    this.#events.set(key, event)
  }
}
