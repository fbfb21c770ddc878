/** Feeds of streams in the Atom dialect (reference 7 to 10). */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Viewer } from '../../src/access/viewer.js'
import type { StreamStates } from '../../src/index/stream-states.js'
import type { Metrics } from '../../src/metrics.js'
import type { Span } from '../../src/reading/event-read.js'
import type { ReadMemory } from '../../src/reading/read-memory.js'
import type { Source } from '../../src/reading/source.js'
import { indexStreamOf } from '../../src/streams/index-streams.js'
import { LINK_TYPE } from '../../src/streams/links.js'
import { firstVisible } from '../../src/streams/metadata.js'
import { type ContextParts, checkReadable, readContextOf } from '../auth/caller-rights.js'
import type { Answers } from '../reading/answers.js'
import { awaitEvents, type WaitParts } from '../reading/long-poll.js'
import type { ReadCaches } from '../reading/pages.js'
import type { RenderedCache } from '../reading/rendered-cache.js'
import { liveQueryOf, streamAddress } from '../wire/reading/read-request.js'
import { checkReadableName, type ListedSourceParts, listedHead, listedSource } from './listed-source.js'
import { caching, contentTypeOf, matchesVersion, versionTag } from './reply.js'
import { type Codec, codecs, negotiate, offers } from './wire/codecs.js'
import { type Embed, embedOf } from './wire/feed/embed.js'
import { entriesOf } from './wire/feed/entry.js'
import { type Feed, type PageRequest, streamLinks, type Window, windowOf } from './wire/feed/feed.js'
import { renderFeed } from './wire/feed/render.js'
import { checkRequireLeader, longPoll, resolveLinks } from './wire/headers.js'
import { type PagePath, parsePage } from './wire/page-path.js'
import { asRefusal } from './wire/refusal.js'
import { sendEmpty } from './wire/send.js'
import { type BaseOf, rawQueryOf, streamUrl } from './wire/urls.js'
import { varyOf } from './wire/vary.js'

/** The parts of the store that feeds use. */
export interface FeedParts extends ContextParts, WaitParts, ListedSourceParts {
  readonly states: StreamStates
  readonly metrics: Metrics
}

/** A request for a page of a feed. */
interface FeedRequest {
  readonly reply: FastifyReply
  readonly page: PageRequest
  readonly codec: Codec
  readonly embed: Embed
  /** Scheme, host and prefix of the addresses in the response. */
  readonly base: string
  /** True to show the targets of link events instead of the links. */
  readonly resolve: boolean
  /** Undefined for a caller who may read all events. */
  readonly viewer: Viewer | undefined
}

interface RenderedFeed {
  readonly body: Buffer
}

export class Feeds {
  readonly #parts: FeedParts
  readonly #rendered: RenderedCache
  readonly #answers: Answers
  readonly #baseOf: BaseOf

  constructor(parts: FeedParts, { rendered, answers }: ReadCaches, baseOf: BaseOf) {
    this.#parts = parts
    this.#rendered = rendered
    this.#answers = answers
    this.#baseOf = baseOf
  }

  /** Sends a page of a stream's feed. @throws refusals */
  async feed(request: FastifyRequest, reply: FastifyReply, stream: string, path: PagePath): Promise<FastifyReply> {
    const query = rawQueryOf(request)
    const codec = negotiate(request.headers.accept, query.get('format'), offers.feed)
    checkRequireLeader(request.headers)
    const resolve = resolveLinks(request.headers, true)
    const poll = path.direction === 'forward' ? longPoll(request.headers) : undefined
    const page = parsePage(path)
    if (codec === codecs.description && path.direction === 'backward') return sendDescription(reply, stream)
    checkReadableName(stream)
    if (poll !== undefined) {
      await this.#awaitNumber(request, stream, Number(page.from ?? 0n), poll)
      // The ACL may have changed during the wait, which may last an hour.
      await checkReadable(this.#parts, request.principal, streamAddress(stream))
    }
    try {
      await this.#parts.sources.checkLives(stream)
      const head = await listedHead(this.#parts, stream)
      // Callers with restricted rights see different parts of an index stream: the same head may mean another page.
      const viewer = this.#parts.rules.viewerOf(request.principal)
      const whole = indexStreamOf(stream) === undefined || viewer === undefined
      if (whole && matchesVersion(request.headers['if-none-match'], head, codec)) {
        const vary = varyOf(request, { linksAsAsked: !resolve, lasts: false })
        return sendEmpty(reply, 304, 'Not Modified', { etag: versionTag(head, codec), vary })
      }
      const source = await listedSource(this.#parts, stream, viewer)
      const embed = embedOf(query.get('embed'))
      const base = this.#baseOf(request)
      const feedRequest = { reply, page, codec, embed, base, resolve, viewer }
      return await this.#answers.reading(request, (memory) => this.#sendFeed(feedRequest, source, memory))
    } catch (error) {
      throw asRefusal(error, 'read')
    }
  }

  async #sendFeed(feedRequest: FeedRequest, source: Source, memory: ReadMemory): Promise<FastifyReply> {
    const { reply, page, codec, embed, base, resolve, viewer } = feedRequest
    const window = windowOf(page, source.head, source.first)
    const audience = source.index ? `${viewer?.key ?? ''} ${this.#parts.rules.version}` : ''
    const state = `${source.head} ${source.metadataVersion} ${source.first} ${audience}`
    const place = `${page.direction} ${page.from ?? 'head'} ${page.count}`
    // Joined with line feeds: no part can contain one, but some may contain spaces.
    const key = ['feed', codec.type, embed, resolve, state, place, base, source.stream].join('\n')
    // A cached page of an index stream may list events that have been hidden since. Skip the cache unless no stream has
    // metadata or deletions.
    let answer = source.index && !this.#parts.states.none ? undefined : this.#rendered.page<RenderedFeed>(key)
    if (answer === undefined) {
      const { feed, cacheable } = await this.#readFeed(feedRequest, source, window, memory)
      answer = { body: renderFeed(feed, feedRequest) }
      if (cacheable) this.#rendered.offerPage(key, answer)
    }
    const { cacheControl } = source.metadata
    const lasts = !window.moving || cacheControl !== undefined
    reply.header('vary', varyOf(reply.request, { linksAsAsked: !resolve, lasts }))
    reply.header('content-type', contentTypeOf(codec))
    if (window.moving) {
      reply.header('cache-control', caching.head(cacheControl))
      reply.header('etag', versionTag(source.head, codec))
    } else reply.header('cache-control', caching.forAYear)
    return this.#answers.send(reply, answer.body, memory)
  }

  /** @returns cacheable: true when the page depends only on the request, and on the stream's head and metadata */
  async #readFeed(
    { page, base, resolve, viewer }: FeedRequest,
    source: Source,
    window: Window,
    memory: ReadMemory
  ): Promise<{ feed: Feed; cacheable: boolean }> {
    const { reader, metrics, states } = this.#parts
    const stream = source.stream as string
    const backward = page.direction === 'backward'
    const { first, last } = window
    const records = await reader.slice(source, { first, last }, backward ? 'desc' : 'asc', memory)
    const cutShort = records.length < last - first + 1
    const from = backward ? last - records.length + 1 : first
    const endedAt = cutShort ? (backward ? from : first + records.length - 1) : undefined
    const entries = await entriesOf(reader, { source, records, number: from, resolve, viewer, memory })
    metrics.read(entries.length)
    const read = backward ? entries.at(-1) : entries[0]
    entries.reverse()
    const self = streamUrl(base, stream)
    const cutOff = page.from === undefined && firstVisible(source.metadata, source.head) > source.head
    const feed: Feed = {
      title: `Event stream '${stream}'`,
      selfUrl: self,
      updated: read?.event?.created,
      stream,
      headOfStream: backward ? page.from === undefined : window.end && !cutShort,
      backward,
      tagVersion: backward && page.from === undefined ? String(source.head) : undefined,
      links: streamLinks(self, page, {
        head: source.head,
        end: window.end && !cutShort,
        read: records.length,
        endedAt,
        cutOff
      }),
      entries
    }
    // The target of a link may be written or hidden while the head stays the same.
    const linked = records.some((record) => record.hasType(LINK_TYPE))
    return { feed, cacheable: !linked && (states.none || !source.index) }
  }

  /**
   * Waits until the stream has an event with this number, visible or not (reference 10). An index stream without events
   * that the caller may read counts as empty.
   */
  async #awaitNumber(request: FastifyRequest, stream: string, number: number, seconds: number): Promise<void> {
    const callerContext = readContextOf(this.#parts, request)
    const viewer = indexStreamOf(stream) === undefined ? undefined : callerContext.viewer
    const context = { ...callerContext, viewer }
    const liveQuery = liveQueryOf(streamAddress(stream), WHOLE, context)
    const isEmpty = async () => (await listedHead(this.#parts, stream, viewer)) < number
    const endsWith = ({ to }: Span) => to >= number
    await awaitEvents(this.#parts, { request, seconds, liveQuery, isEmpty, endsWith, patient: true })
  }
}

/** Query options for a read of all events of a stream, including hidden ones, without resolving links. */
const WHOLE = { system: true, truncated: true, resolveLinks: false } as const

function sendDescription(reply: FastifyReply, stream: string): FastifyReply {
  const href = `${reply.request.prefix}/streams/${encodeURIComponent(stream)}`
  reply.raw.statusMessage = 'Description Document'
  reply.header('content-type', codecs.description.contentType)
  return reply.send(
    JSON.stringify({
      title: `Description document for '${stream}'`,
      description: 'The description document will be presented when no accept header is present or it was requested',
      _links: {
        self: { href, supportedContentTypes: [codecs.description.type] },
        stream: { href, supportedContentTypes: [codecs.atom.type, codecs.atomJson.type] },
        streamSubscription: null
      }
    })
  )
}
