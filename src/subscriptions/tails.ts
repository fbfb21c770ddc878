/** All tails with listeners. A commit is passed only to the tails that it concerns. */
import type { Dispatcher, LogPage } from '../dispatch/dispatcher.js'
import type { Poster } from '../index/index-entries.js'
import type { StoredRecord } from '../log/format.js'
import type { Expressions } from '../reading/expressions/expressions.js'
import type { Reader } from '../reading/reader.js'
import { metastreamOf } from '../streams/names.js'
import type { LiveQuery } from './live-query.js'
import { LogTails } from './log-tails.js'
import { ListTail, LogTail, type Tail, type TailListener } from './tail.js'

export class Tails {
  readonly #dispatcher: Dispatcher
  readonly #reader: Reader
  readonly #poster: Poster
  readonly #expressions: Expressions
  readonly #byKey = new Map<string, Promise<Tail>>()
  readonly #logs: LogTails
  /** By stream name in the form of stored records: UTF-8 bytes as latin1. */
  readonly #streams = new Map<string, Set<ListTail>>()
  /** By family and name of the index list. */
  readonly #lists = new Map<string, Set<ListTail>>()
  #leaveDispatcher: (() => void) | undefined
  /** Position at which the next page must begin. */
  #expected = 0

  constructor(dispatcher: Dispatcher, reader: Reader, poster: Poster, expressions: Expressions) {
    this.#dispatcher = dispatcher
    this.#reader = reader
    this.#poster = poster
    this.#expressions = expressions
    this.#logs = new LogTails(reader, expressions.turns)
  }

  /**
   * Follows a source from its current end. The listener is registered before anything is read, so that it misses no
   * event.
   * @returns the tail, and a function that removes the listener
   * @throws `stream-deleted`, `index-switched-off`, `overloaded` as `checkRoom`
   */
  async follow(query: LiveQuery, listener: TailListener): Promise<{ tail: Tail; leave: () => void }> {
    const { key } = query
    let opening = this.#byKey.get(key)
    if (opening === undefined) {
      opening = this.#open(query)
      this.#byKey.set(key, opening)
      opening.catch(() => this.#byKey.delete(key))
    }
    const tail = await opening
    // The last other listener may have left during the await, which removes the tail.
    if (this.#byKey.get(key) !== opening) return this.follow(query, listener)
    if (tail.failure !== undefined) throw tail.failure // its listeners are being removed
    tail.listeners.add(listener)
    const leave = () => {
      if (!tail.listeners.delete(listener) || tail.listeners.size > 0) return
      this.#byKey.delete(key)
      this.#remove(query, tail)
    }
    return { tail, leave }
  }

  /**
   * Rejects a live read whose expressions exceed the limit for all live reads together. Call before accepting it.
   * @throws `overloaded`
   */
  checkRoom({ request }: LiveQuery): void {
    this.#expressions.checkRoom(request.filter.expressions)
  }

  async #open(query: LiveQuery): Promise<Tail> {
    this.#expressions.follow(query.request.filter.expressions)
    if (this.#leaveDispatcher === undefined) {
      this.#leaveDispatcher = this.#dispatcher.follow((page) => this.#route(page))
      this.#expected = this.#dispatcher.next
    }
    const { address } = query
    if (address.stream === undefined) {
      const tail = new LogTail(this.#reader, query, this.#dispatcher.next)
      this.#logs.add(tail)
      return tail
    }
    const tail = new ListTail(this.#reader, query)
    const [tails, name] = this.#entryOf(query)
    const others = tails.get(name)
    if (others === undefined) tails.set(name, new Set([tail]))
    else others.add(tail)
    try {
      return await tail.open()
    } catch (error) {
      this.#remove(query, tail)
      throw error
    }
  }

  /** Returns the map with the tails of a stream or index stream, and the key in that map. */
  #entryOf({ address: { stream = '', index } }: LiveQuery): [Map<string, Set<ListTail>>, string] {
    if (index === undefined) return [this.#streams, Buffer.from(stream).toString('latin1')]
    return [this.#lists, index.kind + index.name]
  }

  #remove(query: LiveQuery, tail: Tail): void {
    this.#expressions.unfollow(tail.query.request.filter.expressions)
    if (tail instanceof LogTail) this.#logs.delete(tail)
    else {
      const [tails, name] = this.#entryOf(query)
      const left = tails.get(name)
      left?.delete(tail as ListTail)
      if (left?.size === 0) tails.delete(name)
    }
    if (this.#logs.size + this.#streams.size + this.#lists.size > 0) return
    this.#leaveDispatcher?.()
    this.#leaveDispatcher = undefined
  }

  async #route(page: LogPage): Promise<void> {
    if (page.from > this.#expected) this.#wakeAll()
    this.#expected = page.to + 1
    if (this.#streams.size > 0) await this.#toStreams(page)
    if (this.#lists.size > 0) this.#toLists(page)
    if (this.#logs.size > 0) await this.#logs.take(page)
  }

  /** Wakes all list tails after a gap in the dispatcher's pages. */
  #wakeAll(): void {
    for (const tails of [this.#streams, this.#lists]) {
      for (const some of tails.values()) for (const tail of some) tail.wake()
    }
  }

  async #toStreams({ events }: LogPage): Promise<void> {
    const concerned = new Map<Set<ListTail>, StoredRecord[]>()
    for (const record of events) {
      // A tombstone also ends the metastream, though no record is written to it.
      if (record.tombstone) for (const tail of this.#streams.get(metastreamOf(record.streamBytes)) ?? []) tail.wake()
      const tails = this.#streams.get(record.streamBytes)
      if (tails === undefined) continue
      const records = concerned.get(tails)
      if (records === undefined) concerned.set(tails, [record])
      else records.push(record)
    }
    for (const [tails, records] of concerned) {
      for (const tail of tails) {
        const turn = this.#expressions.turns.take(tail.query.request.filter.weight * records.length)
        if (turn !== undefined) await turn
        tail.take(records)
      }
    }
  }

  #toLists({ events }: LogPage): void {
    const concerned = new Set<Set<ListTail>>()
    for (const record of events) {
      for (const [kind, name] of this.#poster.postingOf(record).lists) {
        const tails = this.#lists.get(kind + name)
        if (tails !== undefined) concerned.add(tails)
      }
    }
    for (const tails of concerned) for (const tail of tails) tail.wake()
  }
}
