import { limits } from '../limits.js'
import type { Span } from '../reading/event-read.js'
import type { ReadMemory } from '../reading/read-memory.js'
import type { Reader, ScanOptions } from '../reading/reader.js'
import type { LiveQuery } from './live-query.js'
import type { Machine } from './machine.js'
import type { Tail } from './tail.js'

export interface BacklogOptions {
  readonly reader: Reader
  readonly query: LiveQuery
  /** Maximum events examined for one page. Undefined: the reader's default. */
  readonly batchSize: number | undefined
  readonly machine: Machine
  /** Reserves memory for large events. */
  readonly memory: ReadMemory
  /** Called when the source cannot be read. */
  readonly onFailed: (error: Error) => void
}

/**
 * The events between a subscription's cursor and the tail. Reads them from the log page by page, when the machine asks
 * for more.
 */
export class Backlog {
  readonly #reader: Reader
  readonly #query: LiveQuery
  readonly #machine: Machine
  readonly #memory: ReadMemory
  readonly #onFailed: (error: Error) => void
  readonly #scan: ScanOptions
  #tail: Tail | undefined
  #spans: AsyncGenerator<Span> | undefined
  #reading = false
  #closed = false

  constructor({ reader, query, batchSize, machine, memory, onFailed }: BacklogOptions) {
    this.#reader = reader
    this.#query = query
    this.#scan = { chunk: batchSize, bytes: limits.transfer_bytes, reserve: (bytes) => memory.turn(bytes) }
    this.#machine = machine
    this.#memory = memory
    this.#onFailed = onFailed
  }

  /** Sets the tail at which the backlog ends. Nothing is read before this call. */
  endAt(tail: Tail): void {
    this.#tail = tail
  }

  /** Reads until the machine wants no more or has caught up with the tail. */
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

  /**
   * Ends the read in progress and releases its memory. The next read starts at the position that the
   * machine has reached at that time.
   * @param unsent bytes of events that the connection has yet to send
   */
  release(unsent: number): void {
    this.#spans?.return(undefined).catch(() => {}) // releases its iterators even if the read fails
    this.#spans = undefined
    this.#memory.shrink(unsent)
  }

  close(): void {
    this.#closed = true
    this.release(0)
    this.#memory.close()
  }

  async #readTo(tail: Tail): Promise<void> {
    const machine = this.#machine
    while (!this.#closed && machine.wantsRead) {
      if (this.#spans === undefined) {
        if (machine.next >= tail.next) {
          this.#memory.release()
          return machine.caughtUp()
        }
        const source = await this.#reader.sources.toFollow(this.#query.address)
        const range = { first: machine.next, last: source.head }
        // The tail may be ahead of the readable log for less than a turn of the event loop.
        if (range.first > range.last) await new Promise((resolve) => setImmediate(resolve))
        else this.#spans = this.#reader.spans(source, this.#query.request, range, this.#scan)
        continue
      }
      const spans = this.#spans
      const { value, done } = await spans.next()
      if (this.#closed) return
      if (this.#spans !== spans) continue // released while this page was read
      if (done || value.from !== machine.next) {
        if (!done) await spans.return(undefined)
        this.#spans = undefined
      } else machine.onPage(value)
    }
  }
}
