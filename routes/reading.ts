/** Answers reads of many events, for one stream and for the log alike: as a page, or line by line. */
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { LRUCache } from 'lru-cache'
import type { EventQuery, ReadQuery } from '../schemas/read.js'
import { DaybookError, isDaybookError } from '../src/errors.js'
import { limits } from '../src/limits.js'
import { family } from '../src/log/format.js'
import type { Store } from '../src/store.js'
import type { ReadRequest, Source } from '../src/streams/read.js'
import { eventFormat, mediaTypes, readFormat } from './wire/media-types.js'
import { entityTag, isImmutable, limitOf, linkHeader, linksOf, matchesTag, renderPage } from './wire/page.js'
import { problemOf } from './wire/problem.js'
import { type Address, hasAge, hasFilter, toReadRequest } from './wire/read-request.js'
import { renderEvent } from './wire/recorded-event.js'

interface RenderedPage {
  readonly body: Buffer
  readonly link: string
  readonly immutable: boolean
}

interface RenderedEvent {
  readonly body: Buffer
  readonly tag: string
}

const SEEN_MAX = 4096
const VARY = 'Accept, Accept-Encoding, Prefer'

export class Reading {
  readonly #store: Store
  readonly #publicly: 'public' | 'private'
  /** Pages by address and head: the same bytes as long as the head has not moved. */
  readonly #pages = new LRUCache<string, RenderedPage>({
    maxSize: limits.pages_cached_bytes_max,
    sizeCalculation: ({ body, link }) => body.length + link.length + 500
  })

  readonly #events = new LRUCache<string, RenderedEvent>({
    maxSize: limits.events_cached_bytes_max,
    sizeCalculation: ({ body }) => body.length + 300
  })
  readonly #seen = new Set<string>()

  constructor(store: Store, publicCache: boolean) {
    this.#store = store
    this.#publicly = publicCache ? 'public' : 'private'
  }

  /** @throws the refusals of toReadRequest and Reader.resolve, `not-acceptable`, `not-there-yet` */
  async answer(request: FastifyRequest, reply: FastifyReply, address: Address): Promise<FastifyReply> {
    const query = request.query as ReadQuery
    const format = readFormat(request.headers, query.format)
    const read = toReadRequest(address, query, this.#store.clock.now())
    await this.awaitPosition(query, request)
    const source = await this.#store.reader.source(address.stream)
    reply.header('vary', VARY)
    reply.header('daybook-head', source.head)
    reply.header('daybook-log', this.#store.log.id)
    return format === 'ndjson'
      ? this.#lines(request, reply, source, read, query)
      : this.#page(request, reply, source, read, query, hasFilter(address, query))
  }

  /**
   * Answers with one event.
   * @param at its number, or on the log its position; `head` is the last
   */
  async answerEvent(
    request: FastifyRequest,
    reply: FastifyReply,
    address: Address,
    at: number | 'head'
  ): Promise<FastifyReply> {
    const query = request.query as EventQuery
    eventFormat(request.headers, query.format)
    if (query.atLeast !== undefined) await this.awaitPosition(query, request)
    const source = await this.#sourceOf(address)
    const number = at === 'head' ? Math.max(source.head, 0) : at
    const { body, tag } = await this.#renderedEvent(source, address, number)
    this.#store.metrics.read(1)
    reply.header('daybook-head', source.head)
    reply.header('etag', tag).header('vary', VARY).header('cache-control', 'private, no-cache')
    if (matchesTag(request.headers['if-none-match'], tag)) return reply.code(304).send()
    reply.header('content-type', mediaTypes.event)
    return reply.send(body)
  }

  #sourceOf({ stream, category, type }: Address): Promise<Source> {
    const { reader } = this.#store
    if (category !== undefined) return reader.indexSource(family.category, category)
    if (type !== undefined) return reader.indexSource(family.type, type)
    return reader.source(stream)
  }

  /** An event that is there stays as it is. */
  async #renderedEvent(source: Source, { stream, category, type }: Address, number: number): Promise<RenderedEvent> {
    const key = `${source.kind ?? ''}${number} ${stream ?? category ?? type ?? ''}`
    const known = this.#events.get(key)
    if (known !== undefined) return known
    const record = await this.#store.reader.event(source, number)
    const rendered = {
      body: Buffer.from(`${renderEvent(record, stream === undefined ? 'log' : 'stream')}\n`, 'latin1'),
      tag: entityTag(number, `${record.position} event`)
    }
    this.#events.set(key, rendered)
    return rendered
  }

  /** `atLeast`, and how long to wait for it. @throws `not-there-yet` */
  async awaitPosition(query: { atLeast?: number; wait?: number }, request: FastifyRequest): Promise<void> {
    const { log, clock } = this.#store
    if (query.atLeast === undefined || query.atLeast <= log.head) return
    const preferred = /(?:^|[,\s])wait=(\d{1,4})/.exec(String(request.headers.prefer ?? ''))?.[1]
    const seconds = Math.min(query.wait ?? Number(preferred ?? 0), limits.wait_seconds_max)
    if (seconds > 0) {
      const { promise, cancel } = log.reached(query.atLeast)
      const stop = clock.after(seconds * 1000, cancel)
      request.raw.socket.once('close', cancel)
      await promise
      request.raw.socket.off('close', cancel)
      stop()
    }
    if (query.atLeast <= log.head) return
    throw new DaybookError('not-there-yet', `The log is at ${log.head}, not yet at ${query.atLeast}.`, {
      head: log.head === -1 ? null : log.head,
      atLeast: query.atLeast,
      retry: true
    })
  }

  async #page(
    request: FastifyRequest,
    reply: FastifyReply,
    source: Source,
    read: ReadRequest,
    query: ReadQuery,
    filtered: boolean
  ): Promise<FastifyReply> {
    const path = request.url.split('?', 1)[0] as string
    const moving = hasAge(query)
    const variant = `${request.url} page ${request.headers['accept-encoding'] ?? ''}`
    let tag = entityTag(source.head, variant)
    const key = `${source.head} ${request.url}`
    let page = moving ? undefined : this.#pages.get(key)
    if (page === undefined) {
      if (!moving && matchesTag(request.headers['if-none-match'], tag)) return this.#notModified(reply, tag)
      page = await this.#render(path, source, read, query, filtered)
      if (!moving && this.#seenBefore(key)) this.#pages.set(key, page)
      if (moving) tag = entityTag(source.head, `${variant} ${page.body.toString('latin1')}`)
    }
    reply.header('etag', tag)
    reply.header('link', page.link)
    reply.header(
      'cache-control',
      page.immutable ? `${this.#publicly}, max-age=31536000, immutable` : 'private, no-cache'
    )
    if (page.immutable) reply.removeHeader('daybook-head')
    if (matchesTag(request.headers['if-none-match'], tag)) return this.#notModified(reply, tag)
    reply.header('content-type', mediaTypes.page)
    return reply.send(page.body)
  }

  /** Only a page that is asked for twice is kept: reads at random would push out the hot ones. */
  #seenBefore(key: string): boolean {
    if (this.#seen.has(key)) return true
    if (this.#seen.size >= SEEN_MAX) this.#seen.clear()
    this.#seen.add(key)
    return false
  }

  #notModified(reply: FastifyReply, tag: string): FastifyReply {
    return reply.code(304).header('etag', tag).send()
  }

  async #render(
    path: string,
    source: Source,
    read: ReadRequest,
    query: ReadQuery,
    filtered: boolean
  ): Promise<RenderedPage> {
    const { reader, metrics } = this.#store
    const range = await reader.resolve(source, read)
    const page = await reader.page(source, read, range, limitOf(query))
    metrics.read(page.records.length)
    const links = linksOf(path, query, page)
    return {
      body: Buffer.from(renderPage(source, query, page, links, filtered), 'latin1'),
      link: linkHeader(links, read.order),
      immutable: isImmutable(query, page, filtered)
    }
  }

  async #lines(
    request: FastifyRequest,
    reply: FastifyReply,
    source: Source,
    read: ReadRequest,
    query: ReadQuery
  ): Promise<FastifyReply> {
    const range = await this.#store.reader.resolve(source, read)
    reply.header('content-type', mediaTypes.ndjson)
    reply.header('cache-control', 'private, no-store')
    if (request.method === 'HEAD') return reply.send(Readable.from([]))
    const lines = this.#renderLines(source, read, range, query, request)
    return reply.send(Readable.from(lines, { objectMode: false, highWaterMark: 256 * 1024 }))
  }

  /** A failure in the middle ends in a problem line, and the transfer is cut without its end. */
  async *#renderLines(
    source: Source,
    read: ReadRequest,
    range: { first: number; last: number },
    query: ReadQuery,
    request: FastifyRequest
  ): AsyncGenerator<Buffer> {
    const within = source.stream === undefined ? 'log' : 'stream'
    let left = query.limit ?? Infinity
    let sent = 0
    let cursor = range.first - 1
    try {
      for await (const records of this.#store.reader.events(source, read, range)) {
        let text = ''
        for (const record of records) {
          if (left-- <= 0) break
          text += renderEvent(record, within)
          text += '\n'
          sent++
          cursor = within === 'log' ? record.position : record.number
        }
        this.#store.metrics.read(records.length)
        if (text !== '') yield Buffer.from(text, 'latin1')
        if (left <= 0) break
      }
      if (query.trailer) yield Buffer.from(`${JSON.stringify({ end: { cursor: String(cursor), events: sent } })}\n`)
    } catch (error) {
      request.log.error({ err: error }, 'a transfer was cut')
      const coded = isDaybookError(error) ? error : new DaybookError('internal', (error as Error).message, {}, error)
      yield Buffer.from(`${JSON.stringify({ problem: problemOf(coded, request.id) })}\n`)
      throw error
    }
  }
}
