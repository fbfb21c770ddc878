import type { Span } from '../reading/event-read.js'
import type { Reader } from '../reading/reader.js'
import type { LiveQuery } from './live-query.js'
import type { Machine } from './machine.js'
import type { Tail } from './tail.js'

export interface BacklogOptions {
  readonly reader: Reader
  readonly query: LiveQuery
  /** Events looked at in one page; undefined: the reader's default. */
  readonly batchSize: number | undefined
  readonly machine: Machine
  /** Called when the source cannot be read. */
  readonly onFailed: (error: Error) => void
}

/**
 * The events between a subscription's cursor and the tail. They are read from the log page by page, whenever the
 * machine asks for more.
 */
export class Backlog {
  readonly #reader: Reader
  readonly #query: LiveQuery
  readonly #batchSize: number | undefined
  readonly #machine: Machine
  readonly #onFailed: (error: Error) => void
  #tail: Tail | undefined
  #spans: AsyncGenerator<Span> | undefined
  #reading = false
  #closed = false

  constructor({ reader, query, batchSize, machine, onFailed }: BacklogOptions) {
    this.#reader = reader
    this.#query = query
    this.#batchSize = batchSize
    this.#machine = machine
    this.#onFailed = onFailed
  }

  /** Sets where the backlog ends. Nothing is read before. */
  endAt(tail: Tail): void {
    this.#tail = tail
  }

  /** Reads until the machine wants no more, or has caught up with the tail. */
  read(): void {
    if (this.#reading || this.#tail === undefined) return
    this.#reading = true
    this.#readTo(this.#tail)
      .catch(this.#onFailed)
      .finally(() => {
        this.#reading = false
        if (!this.#closed && this.#machine.wantsRead) this.read()
      })
  }

  /** Releases what the read under way holds. The next read begins where the machine is by then. */
  release(): void {
    this.#spans?.return(undefined).catch(() => {}) // its iterators are released even when the read fails
    this.#spans = undefined
  }

  close(): void {
    this.#closed = true
    this.release()
  }

  async #readTo(tail: Tail): Promise<void> {
    const machine = this.#machine
    while (!this.#closed && machine.wantsRead) {
      if (this.#spans === undefined) {
        if (machine.next >= tail.next) return machine.caughtUp()
        const source = await this.#reader.sources.toFollow(this.#query.address)
        const range = { first: machine.next, last: source.head }
        // For less than a turn of the event loop the tail may be ahead of what can be read.
        if (range.first > range.last) await new Promise((resolve) => setImmediate(resolve))
        else this.#spans = this.#reader.spans(source, this.#query.request, range, this.#batchSize)
        continue
      }
      const spans = this.#spans
      const { value, done } = await spans.next()
      if (this.#closed) return
      if (this.#spans !== spans) continue // released while the page was read
      if (done || value.from !== machine.next) {
        if (!done) await spans.return(undefined)
        this.#spans = undefined
      } else machine.onPage(value)
    }
  }
}
