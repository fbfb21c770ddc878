/**
 * Reads committed records from the log once, and passes them in order to its followers. A commit only wakes it up; it
 * reads the log from its own position. Unreadable records become a gap between two pages. A follower that sees a gap
 * must read there itself, and then gets the error.
 */
import type { StoredRecord } from '../log/format.js'
import type { Log } from '../log/log.js'

/**
 * All records at the positions `from` to `to`, inclusive. An empty page has `to` = `from` - 1 and indicates a gap
 * before `from`.
 */
export interface LogPage {
  readonly from: number
  readonly to: number
  readonly events: readonly StoredRecord[]
}

/** Receives pages in order. The next page is passed when the promise has resolved. Must not throw or reject. */
export type Follower = (page: LogPage) => void | Promise<void>

export class Dispatcher {
  readonly #log: Log
  readonly #followers = new Set<Follower>()
  #next: number
  #running: Promise<void> | undefined
  #cancelWait = () => {}
  #closed = false

  /** Begins after the head of the log. Earlier records are not passed to followers. */
  constructor(log: Log) {
    this.#log = log
    this.#next = log.publishedHead + 1
  }

  /** Position of the next record to pass to followers. */
  get next(): number {
    return this.#next
  }

  start(): void {
    this.#running ??= this.#run()
  }

  /** Adds a follower, which receives every page from now on. Returns a function that removes it. */
  follow(follower: Follower): () => void {
    this.#followers.add(follower)
    return () => this.#followers.delete(follower)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancelWait()
    await this.#running
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      const { promise, cancel } = this.#log.reached(this.#next)
      this.#cancelWait = cancel
      await promise
      // Yield once: the appender gets its response first, and back-to-back commits are delivered as one page.
      await new Promise((resolve) => setImmediate(resolve))
      if (!this.#closed) await this.#offerTo(this.#log.publishedHead)
    }
  }

  async #offerTo(last: number): Promise<void> {
    if (this.#followers.size > 0 && this.#next <= last) {
      try {
        for await (const events of this.#log.scan(this.#next, last)) {
          await this.#offer({ from: this.#next, to: this.#next + events.length - 1, events })
          if (this.#closed) return
        }
        return
      } catch {
        // The log is damaged there, or is being reopened after a failed write.
        await this.#offer({ from: last + 1, to: last, events: [] })
      }
    }
    this.#next = Math.max(this.#next, last + 1)
  }

  async #offer(page: LogPage): Promise<void> {
    this.#next = page.to + 1
    for (const follower of this.#followers) await follower(page)
  }
}
