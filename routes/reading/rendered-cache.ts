/** Rendered answers that are asked for again and again, of all forms together. */
import { LRUCache } from 'lru-cache'
import type { CacheSizes } from '../../src/memory/cache-sizes.js'

/** An answer as a form keeps it: its bytes, and what else the form wants to know of it. */
interface Rendered {
  readonly body: Buffer
}

const SEEN_MAX = 4096

/**
 * Pages and single events as they were sent. A form begins its keys with a word of its own, so that none is given what another one has kept.
 */
export class RenderedCache {
  readonly #pages: LRUCache<string, Rendered>
  /** Keys of pages that were offered once. */
  readonly #seen = new Set<string>()
  readonly #events: LRUCache<string, Rendered>

  constructor({ renderedPages, renderedEvents }: Pick<CacheSizes, 'renderedPages' | 'renderedEvents'>) {
    this.#pages = new LRUCache({
      maxSize: renderedPages,
      sizeCalculation: ({ body }, key) => body.length + 2 * key.length + 500
    })
    this.#events = new LRUCache({ maxSize: renderedEvents, sizeCalculation: ({ body }) => body.length + 300 })
  }

  /** @returns the page as it was offered */
  page<T extends Rendered>(key: string): T | undefined {
    return this.#pages.get(key) as T | undefined
  }

  /**
   * Offers a page that will be the same as long as its key is. It is kept when it is offered a second time, so that
   * random reads don't evict hot pages.
   */
  offerPage(key: string, page: Rendered): void {
    if (this.#seen.has(key)) {
      this.#pages.set(key, page)
      return
    }
    if (this.#seen.size >= SEEN_MAX) this.#seen.clear()
    this.#seen.add(key)
  }

  /** @returns the event as it was kept */
  event<T extends Rendered>(key: string): T | undefined {
    return this.#events.get(key) as T | undefined
  }

  /** Keeps an event that will be the same as long as its key is. */
  keepEvent(key: string, event: Rendered): void {
    this.#events.set(key, event)
  }
}
