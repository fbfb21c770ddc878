/** Responds to reads of a stream or of the log: with a page, with NDJSON, live, or with a single event. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { EventQuery, ReadQuery } from '../../schemas/read.js'
import type { Viewer } from '../../src/access/viewer.js'
import { DaybookError } from '../../src/errors.js'
import type { StreamStates } from '../../src/index/stream-states.js'
import type { ReadResult } from '../../src/reading/event-read.js'
import type { ReadMemory } from '../../src/reading/read-memory.js'
import { noLastEvent, type Source } from '../../src/reading/source.js'
import type { Address } from '../../src/reading/sources.js'
import { type ContextParts, checkReadable, isPublic, readContextOf } from '../auth/caller-rights.js'
import { VARY_SHARED } from '../eventstore/wire/vary.js'
import { ClientGone } from '../http/connections/client-gone.js'
import { eventContentType, readFormat } from '../wire/media-types.js'
import { entityTag, matchesTag, reachesEnd } from '../wire/reading/page.js'
import { checkNoLastEventId, checkNoRecord, liveQueryOf, toReadRequest } from '../wire/reading/read-request.js'
import { renderEvent } from '../wire/reading/recorded-event.js'
import type { Answers } from './answers.js'
import { type LineParts, sendLines } from './event-lines.js'
import { awaitEvents, awaitPosition, confirmWait, secondsToWait, type WaitParts } from './long-poll.js'
import { checkNamedLog } from './named-log.js'
import { Pages, type ReadCaches } from './pages.js'
import type { RenderedCache } from './rendered-cache.js'

/** A request for a single event. */
interface RequestedEvent {
  readonly source: Source
  /** Number of the event in its stream, or its position in the log. */
  readonly number: number
  readonly resolveLinks: boolean
  readonly viewer: Viewer | undefined
}

interface RenderedEvent {
  readonly body: Buffer
  readonly tag: string
}

/** `Vary` for addresses that EventStoreDB's API does not have. */
const VARY_OWN = 'Accept, Accept-Encoding, Authorization, Daybook-Log, Prefer'

/** The parts of the store that reads use. */
export interface ReadParts extends ContextParts, WaitParts, LineParts {
  readonly states: StreamStates
}

/** Responds to live reads. */
export interface LiveAnswers {
  answer(
    request: FastifyRequest,
    reply: FastifyReply,
    target: { readonly address: Address; readonly query: ReadQuery },
    format: 'sse' | 'ndjson'
  ): Promise<FastifyReply>
}

export class Reads {
  readonly #parts: ReadParts
  readonly #live: LiveAnswers
  readonly #rendered: RenderedCache
  readonly #answers: Answers
  readonly #pages: Pages

  /** @param publicCache whether shared caches may store immutable pages */
  constructor(parts: ReadParts, live: LiveAnswers, caches: ReadCaches, publicCache: boolean) {
    this.#parts = parts
    this.#live = live
    this.#rendered = caches.rendered
    this.#answers = caches.answers
    this.#pages = new Pages(parts, caches, publicCache)
  }

  /**
   * Responds to a read of many events.
   * @throws `not-acceptable`, `not-there-yet`, and the errors of toReadRequest, Sources.resolve and checkNamedLog
   */
  async answer(request: FastifyRequest, reply: FastifyReply, address: Address): Promise<FastifyReply> {
    let query = request.query as ReadQuery
    const format = readFormat(request.headers, query.format, query.live)
    reply.header('vary', varyAt(request))
    if (format === 'sse' || (format === 'ndjson' && query.live)) {
      return this.#live.answer(request, reply, { address, query }, format)
    }
    checkNoConsumer(query)
    checkNoLastEventId(query)
    if (format === 'page') checkNoRecord(query)
    await awaitPosition(this.#parts, query, request)
    const seconds = format === 'page' && query.atLeast === undefined ? secondsToWait(query, request) : 0
    if (seconds > 0) query = await this.#awaitEvent(request, reply, address, query, seconds)
    // Access rules may have changed while the request waited.
    if (seconds > 0 || query.atLeast !== undefined) await checkReadable(this.#parts, request.principal, address)
    const read = {
      ...toReadRequest(query, readContextOf(this.#parts, request)),
      gone: new ClientGone(request, this.#parts.clock)
    }
    // A request that waited gets a page even if the stream does not exist yet.
    const source = await (seconds > 0
      ? this.#parts.reader.visible.toFollow(address, read.viewer)
      : this.#sourceOf(address, read.viewer))
    const changed = checkNamedLog(this.#parts, request, source, read)
    if (changed !== undefined) await changed
    reply.header('daybook-head', source.head)
    reply.header('daybook-log', this.#parts.log.id)
    return format === 'ndjson'
      ? sendLines(this.#parts, this.#answers, { reply, source, read, query })
      : this.#pages.answer(reply, { source, read, query, mayShare: await isPublic(this.#parts, address) })
  }

  /**
   * Responds with one event.
   * @param at its number, or its position in the log; `head` is the last event that the caller may see
   */
  async answerEvent(
    request: FastifyRequest,
    reply: FastifyReply,
    address: Address,
    at: number | 'head'
  ): Promise<FastifyReply> {
    const query = request.query as EventQuery
    const contentType = eventContentType(request.headers, query.format)
    if (query.atLeast !== undefined) {
      await awaitPosition(this.#parts, query, request)
      await checkReadable(this.#parts, request.principal, address)
    }
    const viewer = this.#parts.rules.viewerOf(request.principal)
    const source = await this.#sourceOf(address, viewer)
    return this.#answers.reading(request, async (memory) => {
      const number = at === 'head' ? await this.#lastIn(request, source, memory) : at
      const lookup = { source, number, resolveLinks: query.resolveLinks ?? true, viewer }
      const { body, tag } = await this.#renderedEvent(lookup, memory)
      this.#parts.metrics.read(1)
      reply.header('daybook-head', source.head)
      reply.header('etag', tag).header('vary', varyAt(request)).header('cache-control', 'private, no-cache')
      if (matchesTag(request.headers['if-none-match'], tag)) return reply.code(304).send()
      reply.header('content-type', contentType)
      return this.#answers.send(reply, body, memory)
    })
  }

  /**
   * Waits as long as the page would be empty and a new event could fill it.
   * @returns the query to read after the wait, in which `from=end` is replaced by the end at the begin of the wait
   */
  async #awaitEvent(
    request: FastifyRequest,
    reply: FastifyReply,
    address: Address,
    query: ReadQuery,
    seconds: number
  ): Promise<ReadQuery> {
    const { reader, sources } = this.#parts
    const context = readContextOf(this.#parts, request)
    const liveQuery = liveQueryOf(address, query, context)
    let pinned = query
    if (query.from === 'end' && query.order !== 'desc') {
      pinned = { ...query, from: String((await reader.visible.toFollow(address, context.viewer)).head + 1) }
    }
    const read = { ...toReadRequest(pinned, context), gone: new ClientGone(request, this.#parts.clock) }
    const source = await reader.visible.toFollow(address, context.viewer)
    await checkNamedLog(this.#parts, request, source, toReadRequest(query, context))
    confirmWait(request, reply, seconds)
    const isEmpty = async () => {
      const source = await reader.visible.toFollow(address, context.viewer)
      const page = await reader.page(source, read, await sources.resolve(source, read), 1)
      return page.events.length === 0 && reachesEnd(page)
    }
    await awaitEvents(this.#parts, { request, seconds, liveQuery, isEmpty })
    return pinned
  }

  /** @throws `stream-not-found`, also for an index stream without an event that the viewer may see */
  #sourceOf({ stream, index }: Address, viewer: Viewer | undefined): Source | Promise<Source> {
    const { sources, reader } = this.#parts
    if (stream === undefined) return sources.log()
    return index === undefined ? sources.of(stream) : reader.visible.ofIndex(stream, index, viewer)
  }

  /**
   * Returns the number (or position in the log) of the last event of a source that the caller may see. Scans a bounded
   * number of events.
   * @throws `event-not-found` if there is none, or if the scan reaches its bound
   */
  async #lastIn(request: FastifyRequest, source: Source, memory: ReadMemory): Promise<number> {
    const lastQuery = { from: 'end', order: 'desc', resolveLinks: false } as const
    const gone = new ClientGone(request, this.#parts.clock)
    const read = { ...toReadRequest(lastQuery, readContextOf(this.#parts, request)), gone }
    const page = await this.#parts.reader.page(source, read, await this.#parts.sources.resolve(source, read), 1, memory)
    const [last] = page.events
    if (last !== undefined) return last.cursor
    throw noLastEvent(source, page.covered)
  }

  /** Returns a rendered event, from the cache if possible: an event does not change as long as it is visible. */
  async #renderedEvent(
    { source, number, resolveLinks, viewer }: RequestedEvent,
    memory: ReadMemory
  ): Promise<RenderedEvent> {
    const { stream, index, first } = source
    const key = `event ${resolveLinks} ${number} ${stream ?? ''}`
    const own = stream !== undefined && !index
    const isCacheable = number >= first && (own || (this.#parts.states.none && viewer === undefined))
    const cached = isCacheable ? this.#rendered.event<RenderedEvent>(key) : undefined
    if (cached !== undefined) return cached
    const record = await this.#parts.reader.event(source, number, viewer, memory)
    const follows = resolveLinks && stream !== undefined
    const target = follows ? await this.#parts.reader.links.of(record, viewer, memory) : undefined
    const resolved = target === undefined || target === 'gone' ? undefined : target
    const found: ReadResult = {
      record: resolved ?? record,
      cursor: number,
      link: stream !== undefined && (index || resolved !== undefined) ? { stream, number } : undefined
    }
    const rendered = {
      body: Buffer.from(`${renderEvent(found)}\n`, 'latin1'),
      tag: entityTag(number, `${found.record.position} event ${this.#parts.log.id}`)
    }
    if (isCacheable && target === undefined) this.#rendered.keepEvent(key, rendered)
    return rendered
  }
}

function varyAt({ prefix, routeOptions }: FastifyRequest): string {
  const vary = routeOptions.config.reads === undefined ? VARY_OWN : VARY_SHARED
  return prefix === '' ? vary : `${vary}, X-Forwarded-Prefix`
}

/** Refuses `consumer` in a read that is not live. @throws `bad-parameter` */
function checkNoConsumer({ consumer }: ReadQuery): void {
  if (consumer === undefined) return
  throw new DaybookError(
    'bad-parameter',
    '"consumer" is only allowed in live reads; for pages, read /consumers/{name}/events.',
    { parameter: 'consumer' }
  )
}
