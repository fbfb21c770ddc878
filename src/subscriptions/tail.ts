/**
 * The growing end of a source, shared by all subscriptions with the same source and filter. New events are read and
 * filtered once for all of them. All subscriptions get the same objects, so events are also serialised once.
 */

import type { LogPage } from '../dispatch/dispatcher.js'
import type { StoredRecord } from '../log/format.js'
import type { ReadResult, Span } from '../reading/event-read.js'
import type { Reader } from '../reading/reader.js'
import { LINK_TYPE } from '../streams/links.js'
import type { LiveQuery } from './live-query.js'

export interface TailListener {
  /**
   * Receives new events, in order. There is a gap when a page does not start where the previous page ended. Read the
   * missing events from the log.
   */
  offered(page: Span): void
  /** No more events will come: the stream was deleted permanently, or cannot be read. */
  failed(error: Error): void
}

export abstract class Tail {
  protected readonly reader: Reader
  readonly query: LiveQuery
  readonly listeners = new Set<TailListener>()
  #next: number
  #failure: Error | undefined

  constructor(reader: Reader, query: LiveQuery, next: number) {
    this.reader = reader
    this.query = query
    this.#next = next
  }

  /** The first cursor not offered yet. Read earlier events from the log. */
  get next(): number {
    return this.#next
  }

  /** Moves `next` forward to a cursor. Never moves it back. */
  protected begin(next: number): void {
    this.#next = Math.max(this.#next, next)
  }

  protected offer(page: Span): void {
    if (page.to < this.#next) return
    this.#next = page.to + 1
    for (const listener of this.listeners) listener.offered(page)
  }

  /** Why no more events will come. Undefined while events may come. */
  get failure(): Error | undefined {
    return this.#failure
  }

  protected fail(error: Error): void {
    this.#failure = error
    for (const listener of this.listeners) listener.failed(error)
  }
}

/** The end of the log: each page of the dispatcher, filtered. Cursors are positions. */
export class LogTail extends Tail {
  /** Leaves a gap up to `to`. Listeners read these events from the log and get the error there. */
  skip(to: number): void {
    this.offer({ from: to + 1, to, events: [] })
  }

  /**
   * Filters a page and offers the result.
   * @param visible for each event, whether readers of this tail may see it. Undefined: all are visible
   * @param matching for each event, whether it matches. Undefined: the filter is applied
   */
  take(
    { from, to, events }: LogPage,
    visible: readonly boolean[] | undefined,
    matching: readonly boolean[] | undefined
  ): void {
    const { filter } = this.query.request
    const found: ReadResult[] = []
    for (const [i, record] of events.entries()) {
      if (visible?.[i] === false) continue
      if (matching?.[i] ?? filter.matches(record)) found.push({ record, cursor: record.position })
    }
    this.offer({ from, to, events: found })
  }
}

/** The end of a stream or an index stream. Cursors are numbers. */
export class ListTail extends Tail {
  #reading = false
  /** True when there may be events that the last read did not see. */
  #stale = false
  #opened = false

  constructor(reader: Reader, query: LiveQuery) {
    super(reader, query, 0)
  }

  /** Finds the end of the source. Commits during this call already call `take` or `wake`, so no event is missed. */
  async open(): Promise<this> {
    const source = await this.reader.visible.toFollow(this.query.address, this.query.request.viewer)
    this.begin(source.head + 1)
    this.#opened = true
    if (this.#stale) this.wake()
    return this
  }

  /**
   * Offers newly committed records of the stream, in ascending order. Reads them from the log instead when links,
   * metadata or a deletion may affect them, or when expressions have to run.
   */
  take(records: readonly StoredRecord[]): void {
    const { address, request } = this.query
    const stream = address.stream as string
    const canBeOffered =
      this.#opened &&
      !this.#reading &&
      records[0]?.number === this.next &&
      this.reader.sources.isPlain(stream) &&
      !records.some((record) => record.removed || record.tombstone || record.hasType(LINK_TYPE)) &&
      (!request.filter.hasExpressions || records.every((record) => request.filter.known(record, true) !== undefined))
    if (!canBeOffered) {
      this.wake()
      return
    }
    const found: ReadResult[] = []
    for (const record of records) {
      if (request.filter.matches(record, true)) found.push({ record, cursor: record.number })
    }
    this.offer({ from: this.next, to: (records.at(-1) as StoredRecord).number, events: found })
  }

  /** Reads and offers new events, if there are any. */
  wake(): void {
    this.#stale = true
    if (this.#reading || !this.#opened) return
    this.#reading = true
    this.#read().catch((error: Error) => {
      this.#reading = false
      this.fail(error)
    })
  }

  async #read(): Promise<void> {
    while (this.#stale) {
      this.#stale = false
      const source = await this.reader.visible.toFollow(this.query.address, this.query.request.viewer)
      const range = { first: this.next, last: source.head }
      if (range.first > range.last) continue
      for await (const span of this.reader.spans(source, this.query.request, range)) this.offer(span)
    }
    // There was no await since `#stale` was false. The next `wake` starts a new read.
    this.#reading = false
  }
}
