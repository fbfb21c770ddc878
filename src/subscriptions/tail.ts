/**
 * The end of a source as it grows, shared by all who follow the same source through the same filter: what is new is
 * read once, filtered once and, because they all get the same objects, serialised once.
 */
import type { LogPage } from '../dispatch/dispatcher.js'
import type { StoredRecord } from '../log/format.js'
import type { ReadRequest, ReadResult, Span } from '../reading/event-read.js'
import type { Reader } from '../reading/reader.js'
import type { Address } from '../reading/sources.js'
import { LINK_TYPE } from '../streams/links.js'

/** What is followed, and through which filter. */
export interface Following {
  readonly address: Address
  readonly request: ReadRequest
  /** Its address, parameters in a fixed order. */
  readonly source: string
  /** The same for the same source and filter. */
  readonly key: string
}

export interface TailListener {
  /** What is new, in order. A page that does not begin where the one before ended means that it was not seen. */
  offered(page: Span): void
  /** Nothing more comes: the stream was deleted for ever, or cannot be read. */
  failed(error: Error): void
}

export abstract class Tail {
  protected readonly reader: Reader
  readonly following: Following
  readonly listeners = new Set<TailListener>()
  #next: number
  #failure: Error | undefined

  constructor(reader: Reader, following: Following, next: number) {
    this.reader = reader
    this.following = following
    this.#next = next
  }

  /** The first cursor that was not offered: what comes before is read from the log. */
  get next(): number {
    return this.#next
  }

  /** It offers what comes at or after this; never less than it did. */
  protected begin(next: number): void {
    this.#next = Math.max(this.#next, next)
  }

  protected offer(page: Span): void {
    if (page.to < this.#next) return
    this.#next = page.to + 1
    for (const listener of this.listeners) listener.offered(page)
  }

  /** Why nothing more comes; undefined as long as something may. */
  get failure(): Error | undefined {
    return this.#failure
  }

  protected fail(error: Error): void {
    this.#failure = error
    for (const listener of this.listeners) listener.failed(error)
  }
}

/** The log's end: each page of the dispatcher, filtered. Its cursors are positions. */
export class LogTail extends Tail {
  /** What came up to `to` could not be offered: those who want it read it. */
  skip(to: number): void {
    this.offer({ from: to + 1, to, events: [] })
  }

  /** @param seen which events are shown to this reader; undefined when all are */
  take({ from, to, events }: LogPage, seen: readonly boolean[] | undefined): void {
    const { filter } = this.following.request
    const found: ReadResult[] = []
    for (const [i, record] of events.entries()) {
      if (seen?.[i] === false) continue
      if (filter.matches(record)) found.push({ record, cursor: record.position })
    }
    this.offer({ from, to, events: found })
  }
}

/** The end of a stream or an index stream. Its cursors are numbers. */
export class ListTail extends Tail {
  #reading = false
  #again = false
  #begun = false

  constructor(reader: Reader, following: Following) {
    super(reader, following, 0)
  }

  /** It hears of commits from its making on, so that none is missed while it looks where its source stands. */
  async open(): Promise<this> {
    const source = await this.reader.sources.toFollow(this.following.address)
    this.begin(source.head + 1)
    this.#begun = true
    if (this.#again) this.wake()
    return this
  }

  /** Records of a stream that were committed, rising: offered as they are when nothing but events concerns it. */
  take(records: readonly StoredRecord[]): void {
    const { address, request } = this.following
    const stream = address.stream as string
    const asTheyAre =
      this.#begun &&
      !this.#reading &&
      records[0]?.number === this.next &&
      this.reader.sources.isPlain(stream) &&
      !records.some((record) => record.removed || record.tombstone || record.hasType(LINK_TYPE))
    if (!asTheyAre) {
      this.wake()
      return
    }
    const found: ReadResult[] = []
    for (const record of records) {
      if (request.filter.matches(record, true)) found.push({ record, cursor: record.number })
    }
    this.offer({ from: this.next, to: (records.at(-1) as StoredRecord).number, events: found })
  }

  /** Something may be new: looks and offers it. */
  wake(): void {
    this.#again = true
    if (this.#reading || !this.#begun) return
    this.#reading = true
    this.#read().catch((error: Error) => {
      this.#reading = false
      this.fail(error)
    })
  }

  async #read(): Promise<void> {
    while (this.#again) {
      this.#again = false
      const source = await this.reader.sources.toFollow(this.following.address)
      const range = { first: this.next, last: source.head }
      if (range.first > range.last) continue
      for await (const span of this.reader.spans(source, this.following.request, range)) this.offer(span)
    }
    // In the same moment in which nothing more was found: who wakes it next begins anew.
    this.#reading = false
  }
}
