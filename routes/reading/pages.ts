/** Reads and renders native pages, and caches those whose bytes do not change (native contract §2). */
import type { FastifyReply } from 'fastify'
import type { ReadQuery } from '../../schemas/read.js'
import type { AccessRules } from '../../src/access/rules.js'
import type { StreamStates } from '../../src/index/stream-states.js'
import type { Log } from '../../src/log/log.js'
import type { Metrics } from '../../src/metrics.js'
import { asksLast, type ReadRequest } from '../../src/reading/event-read.js'
import type { ReadMemory } from '../../src/reading/read-memory.js'
import type { Reader } from '../../src/reading/reader.js'
import type { Source } from '../../src/reading/source.js'
import type { Sources } from '../../src/reading/sources.js'
import { LINK_TYPE } from '../../src/streams/links.js'
import { mediaTypes } from '../wire/media-types.js'
import { entityTag, isImmutable, limitOf, matchesTag, renderPage } from '../wire/reading/page.js'
import { linkHeader, pageLinks } from '../wire/reading/page-links.js'
import { hasAge, hasFilter } from '../wire/reading/read-request.js'
import type { Answers } from './answers.js'
import type { RenderedCache } from './rendered-cache.js'

interface RenderedPage {
  readonly body: Buffer
  /** The Link header; undefined if no link fits into it. */
  readonly link: string | undefined
  readonly immutable: boolean
  /** The bytes depend only on the cache key: address, head, metadata version and viewer. */
  readonly isCacheable: boolean
}

/** A request for a page. */
export interface NativePageRequest {
  readonly source: Source
  readonly read: ReadRequest
  readonly query: ReadQuery
  /** Everybody may read it, so shared caches may store it. */
  readonly mayShare: boolean
}

/** The parts of the store that pages use. */
export interface PageParts {
  readonly log: Log
  readonly reader: Reader
  readonly sources: Sources
  readonly states: StreamStates
  readonly rules: AccessRules
  readonly metrics: Metrics
}

/** Shared by reads of all formats. */
export interface ReadCaches {
  readonly rendered: RenderedCache
  readonly answers: Answers
}

export class Pages {
  readonly #parts: PageParts
  readonly #rendered: RenderedCache
  readonly #answers: Answers
  readonly #publicly: 'public' | 'private'

  /** @param publicCache whether shared caches may store immutable pages */
  constructor(parts: PageParts, { rendered, answers }: ReadCaches, publicCache: boolean) {
    this.#parts = parts
    this.#rendered = rendered
    this.#answers = answers
    this.#publicly = publicCache ? 'public' : 'private'
  }

  /**
   * Responds with a page.
   * @throws `overloaded` if there is no memory for it, and the errors of Reader.page
   */
  async answer(reply: FastifyReply, pageRequest: NativePageRequest): Promise<FastifyReply> {
    const { source, read, query } = pageRequest
    const { request } = reply
    const address = request.prefix + request.url
    const { head, first, metadataVersion } = source
    const own = source.stream !== undefined && !source.index
    // All readers of a stream see the same events. In the log and in index streams, each viewer sees a different part.
    const audience = own ? '' : `${read.viewer?.key ?? ''} ${this.#parts.rules.version}`
    const state = `${head} ${metadataVersion} ${first} ${audience}`
    const begin = query.from ?? ''
    const { id } = this.#parts.log
    const variant = `${address} ${begin} ${state} ${id} page ${request.headers['accept-encoding'] ?? ''}`
    const tag = entityTag(head, variant)
    const key = `page ${state} ${begin} ${address}`
    // Events that an index stream lists may be hidden by now, without a change of its head.
    const cached = source.index && !this.#parts.states.none ? undefined : this.#rendered.page<RenderedPage>(key)
    if (cached !== undefined) return this.#send(reply, pageRequest, cached, tag)
    if (!source.index && matchesTag(request.headers['if-none-match'], tag)) {
      return reply.code(304).header('etag', tag).send()
    }
    return this.#answers.reading(request, async (memory) => {
      const page = await this.#render(address.split('?', 1)[0] as string, pageRequest, memory)
      if (page.isCacheable) this.#rendered.offerPage(key, page)
      const pageTag = page.isCacheable ? tag : entityTag(head, `${variant} ${page.body.toString('latin1')}`)
      return this.#send(reply, pageRequest, page, pageTag, memory)
    })
  }

  /** @param memory memory of the read that produced the page; undefined for a cached page */
  #send(
    reply: FastifyReply,
    { source, mayShare }: NativePageRequest,
    page: RenderedPage,
    tag: string,
    memory?: ReadMemory
  ): FastifyReply | Promise<FastifyReply> {
    const { request } = reply
    reply.header('etag', tag)
    if (page.link !== undefined) reply.header('link', page.link)
    const { cacheControl } = source.metadata
    const shared = mayShare ? (cacheControl === undefined ? this.#publicly : 'public') : 'private'
    const moving =
      cacheControl === undefined ? 'private, no-cache' : `${shared}, max-age=${Math.min(cacheControl, 0x7fff_ffff)}`
    reply.header('cache-control', page.immutable ? `${shared}, max-age=31536000, immutable` : moving)
    if (page.immutable) reply.removeHeader('daybook-head')
    if (matchesTag(request.headers['if-none-match'], tag)) return reply.code(304).header('etag', tag).send()
    reply.header('content-type', mediaTypes.page)
    return this.#answers.send(reply, page.body, memory)
  }

  async #render(
    path: string,
    { source, read, query }: Omit<NativePageRequest, 'mayShare'>,
    memory: ReadMemory
  ): Promise<RenderedPage> {
    const { reader, sources, metrics, states } = this.#parts
    const requested = await sources.asked(source, read)
    const page = await reader.page(source, read, sources.rest(source, read, requested), limitOf(query), memory)
    metrics.read(page.events.length)
    const filtered = hasFilter(query)
    // A search for the last event that has not found it yet also reports how far it got.
    const scanned = filtered || (asksLast(read) && page.events.length === 0)
    // The links of the page name this log, even if the request names an earlier one.
    const named = query.log === undefined ? query : { ...query, log: this.#parts.log.id }
    const links = pageLinks({ path, query: named, bounds: read, requested, page, source })
    const own = source.stream !== undefined && !source.index
    // A link event whose target does not exist yet may get its target later.
    const linked = own && page.events.some(({ link, record }) => link !== undefined || record.hasType(LINK_TYPE))
    // Hidden events, targets of links and ages can change without a change of the head.
    const isStable = !linked && (own || states.none)
    return {
      body: Buffer.from(renderPage(source, query, page, links, scanned), 'latin1'),
      link: linkHeader(links, read.order),
      // Each viewer sees a different part of the log, which changes with the access rules.
      immutable: isStable && (own || read.viewer === undefined) && isImmutable(query, page, source, filtered),
      isCacheable: isStable && !hasAge(query)
    }
  }
}
