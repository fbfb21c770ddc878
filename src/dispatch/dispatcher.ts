/**
 * Follows the log and offers what was committed, in order, to whoever follows it. A signal is a hint and the log is the
 * truth: a commit wakes it, and it reads from its own position. What cannot be read is passed over as a gap, and a
 * follower that sees a gap reads for itself and learns why.
 */
import type { StoredRecord } from '../log/format.js'
import type { Log } from '../log/log.js'

/** Records at the positions `from` to `to`, both included, none left out. */
export interface LogPage {
  readonly from: number
  readonly to: number
  readonly events: readonly StoredRecord[]
}

/** Takes pages in order. The next one comes when this one is dealt with. Never throws. */
export type Follower = (page: LogPage) => void | Promise<void>

export class Dispatcher {
  readonly #log: Log
  readonly #followers = new Set<Follower>()
  #next: number
  #running: Promise<void> | undefined
  #giveUp = () => {}
  #closed = false

  /** It begins at the log's end: what stands there already is read by those who want it. */
  constructor(log: Log) {
    this.#log = log
    this.#next = log.announced + 1
  }

  /** Position of the first event that was not offered yet. */
  get next(): number {
    return this.#next
  }

  start(): void {
    this.#running ??= this.#run()
  }

  /** Offers every page from now on. @returns a function that ends it */
  follow(follower: Follower): () => void {
    this.#followers.add(follower)
    return () => this.#followers.delete(follower)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#giveUp()
    await this.#running
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      const { promise, cancel } = this.#log.reached(this.#next)
      this.#giveUp = cancel
      await promise
      // A turn first: who appended is answered before others hear of it, and commits that follow each other gather.
      await new Promise((resolve) => setImmediate(resolve))
      if (!this.#closed) await this.#offerTo(this.#log.announced)
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
        // Damaged, or closed for a moment to be opened again: it is passed over, and who reads there is told.
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
