/** Single events and metadata in the Atom dialect (reference 8, 11). */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Viewer } from '../../src/access/viewer.js'
import { DaybookError, isDaybookError } from '../../src/errors.js'
import type { StoredRecord } from '../../src/log/format.js'
import type { Metrics } from '../../src/metrics.js'
import type { ReadMemory } from '../../src/reading/read-memory.js'
import type { Source } from '../../src/reading/source.js'
import { indexStreamOf } from '../../src/streams/index-streams.js'
import { isMetastream, metastreamOf, originalOf } from '../../src/streams/names.js'
import type { RightsParts } from '../auth/caller-rights.js'
import type { Answers } from '../reading/answers.js'
import type { ReadCaches } from '../reading/pages.js'
import type { RenderedCache } from '../reading/rendered-cache.js'
import { checkReadableName, type ListedSourceParts, listedHead, listedSource } from './listed-source.js'
import { caching, contentTypeOf, versionTag } from './reply.js'
import { type Codec, codecs, negotiate, offers } from './wire/codecs.js'
import { type Embed, embedOf } from './wire/feed/embed.js'
import { entriesOf, type FeedEntry, virtualEvent } from './wire/feed/entry.js'
import { renderSingle } from './wire/feed/render.js'
import { checkRequireLeader, resolveLinks } from './wire/headers.js'
import { parseEventNumber } from './wire/page-path.js'
import { asRefusal, badRequest, Refusal } from './wire/refusal.js'
import { type BaseOf, rawQueryOf } from './wire/urls.js'
import { varyOf } from './wire/vary.js'

/** The parts of the store that reads of single events use. */
export interface SingleEventParts extends Pick<RightsParts, 'rules'>, ListedSourceParts {
  readonly metrics: Metrics
}

/** A request for a single event. */
interface EventRequest {
  readonly stream: string
  /** Undefined for the last event. */
  readonly number: bigint | undefined
  readonly codec: Codec
  readonly embed: Embed
  /** Scheme, host and prefix of the addresses in the response. */
  readonly base: string
  /** True to show the target of a link event instead of the link. */
  readonly resolve: boolean
  /** True when a header overrides the default for `resolve`. */
  readonly linksAsAsked: boolean
  /** Undefined for a caller who may read all events. */
  readonly viewer: Viewer | undefined
}

interface RenderedEntry {
  readonly body: Buffer
}

export class SingleEvents {
  readonly #parts: SingleEventParts
  readonly #rendered: RenderedCache
  readonly #answers: Answers
  readonly #baseOf: BaseOf

  constructor(parts: SingleEventParts, { rendered, answers }: ReadCaches, baseOf: BaseOf) {
    this.#parts = parts
    this.#rendered = rendered
    this.#answers = answers
    this.#baseOf = baseOf
  }

  /**
   * Sends one event. @param at from the path: a number, or `head`
   * @throws refusals
   */
  async event(request: FastifyRequest, reply: FastifyReply, stream: string, at: string): Promise<FastifyReply> {
    const eventRequest = this.#parse(request, stream, at, true)
    return this.#answers.reading(request, (memory) => this.#answer(reply, eventRequest, memory))
  }

  /** Sends a metadata event of a stream. @param at its number, or `head` @throws refusals */
  async metadata(request: FastifyRequest, reply: FastifyReply, stream: string, at: string): Promise<FastifyReply> {
    if (isMetastream(stream)) throw badRequest('Stream must be non-empty string and should not be metastream')
    const eventRequest = this.#parse(request, metastreamOf(stream), at, false)
    return this.#answers.reading(request, (memory) => this.#answer(reply, eventRequest, memory))
  }

  /** @param resolving the default for link resolution, which a header may override @throws refusals */
  #parse(request: FastifyRequest, stream: string, at: string, resolving: boolean): EventRequest {
    const query = rawQueryOf(request)
    const codec = negotiate(request.headers.accept, query.get('format'), offers.event)
    const number = at === 'head' ? undefined : parseEventNumber(at)
    checkRequireLeader(request.headers)
    const resolve = resolveLinks(request.headers, resolving)
    checkReadableName(stream)
    const embed = embedOf(query.get('embed'))
    const viewer = this.#parts.rules.viewerOf(request.principal)
    const linksAsAsked = resolve !== resolving
    return { stream, number, codec, embed, base: this.#baseOf(request), resolve, linksAsAsked, viewer }
  }

  async #answer(reply: FastifyReply, eventRequest: EventRequest, memory: ReadMemory): Promise<FastifyReply> {
    const { stream, number, codec, linksAsAsked, viewer } = eventRequest
    const vary = (lasts: boolean) => varyOf(reply.request, { linksAsAsked, lasts })
    try {
      const source = await listedSource(this.#parts, stream, viewer)
      const place = number === undefined ? source.head : Number(number)
      const { body } = await this.#renderedEntry(eventRequest, source, place, memory)
      this.#parts.metrics.read(1)
      const cacheControl = isMetastream(stream) ? undefined : source.metadata.cacheControl
      reply.header('content-type', contentTypeOf(codec))
      reply.header('vary', vary(number !== undefined || cacheControl !== undefined))
      if (number === undefined) {
        reply.header('cache-control', caching.head(cacheControl))
        reply.header('etag', versionTag(place, codec))
      } else reply.header('cache-control', caching.forAYear)
      return await this.#answers.send(reply, body, memory)
    } catch (error) {
      for (const name of ['vary', 'content-type', 'cache-control', 'etag']) reply.removeHeader(name)
      const fallback = isMissing(error) ? await this.#withoutMetadata(eventRequest) : undefined
      if (fallback === undefined) throw failedRead(asRefusal(error, 'read'), codec)
      reply.header('vary', vary(number !== undefined)).header('content-type', contentTypeOf(codec))
      reply.header('cache-control', number === undefined ? caching.never : caching.forAYear)
      if (fallback.tag !== undefined) reply.header('etag', fallback.tag)
      return reply.send(fallback.body)
    }
  }

  async #renderedEntry(
    eventRequest: EventRequest,
    source: Source,
    number: number,
    memory: ReadMemory
  ): Promise<RenderedEntry> {
    const { codec, embed, base, resolve, viewer } = eventRequest
    const key = ['entry', codec.type, embed, resolve, number, base, source.stream].join('\n')
    const lasts = !source.index && number >= source.first
    const known = lasts ? this.#rendered.event<RenderedEntry>(key) : undefined
    if (known !== undefined) return known
    const records = [await this.#recordAt(source, number, memory)]
    const [entry] = await entriesOf(this.#parts.reader, { source, records, number, resolve, viewer, memory })
    if (entry?.event === undefined) throw new DaybookError('event-not-found', 'The event is hidden.', { number })
    const rendered = { body: renderSingle(entry, eventRequest) }
    if (lasts && entry.link === undefined) this.#rendered.keepEvent(key, rendered)
    return rendered
  }

  /** Returns the record at a number. Index streams also list hidden events, so they need a read of their own. */
  async #recordAt(source: Source, number: number, memory: ReadMemory): Promise<StoredRecord> {
    if (!source.index) return this.#parts.reader.event(source, number, undefined, memory)
    const [record] = await this.#parts.reader.slice(source, { first: number, last: number }, 'asc', memory)
    if (record === undefined) throw new DaybookError('event-not-found', `There is no event ${number}.`, { number })
    return record
  }

  /**
   * Returns the response for a stream without metadata: an empty document (reference 11.2), or for an index stream an
   * ACL that allows reads to all (reference 19). Undefined when the stream does not exist.
   */
  async #withoutMetadata(eventRequest: EventRequest): Promise<{ body: Buffer; tag?: string } | undefined> {
    const { stream: metastream, number, codec, viewer } = eventRequest
    if (!isMetastream(metastream)) return undefined
    const stream = originalOf(metastream)
    const index = indexStreamOf(stream)
    const empty = { body: Buffer.from(codec.xml ? '' : '{}') }
    if (index === undefined) return (await listedHead(this.#parts, stream)) < 0 ? undefined : empty
    const source = await listedSource(this.#parts, stream, viewer).catch(ifNotFound)
    if (source === undefined || (number ?? 0n) !== 0n) return source && empty
    const [first] = await this.#parts.reader.slice(source, { first: 0, last: 0 }, 'asc')
    const name = Buffer.from(metastream).toString('latin1')
    const event = virtualEvent(name, '0', first?.created ?? 0, {
      typeBytes: '$metadata',
      dataBytes: '{"$acl":{"$r":"$all","$mr":"$all"}}',
      isJson: true,
      metadataBytes: ''
    })
    const entry: FeedEntry = { event, link: undefined, positionStreamBytes: name, positionNumber: '0' }
    return { body: renderSingle(entry, eventRequest), tag: versionTag(0, codec) }
  }
}

function isMissing(error: unknown): boolean {
  return isDaybookError(error) && (error.code === 'stream-not-found' || error.code === 'event-not-found')
}

function ifNotFound(error: Error): undefined {
  if (!isDaybookError(error) || error.code !== 'stream-not-found') throw error
}

/** A failed read of a single event returns an empty document in the requested form (reference 8.7). */
function failedRead(refusal: Refusal, codec: Codec): Refusal {
  if ((refusal.status !== 404 && refusal.status !== 410) || codec.xml || codec === codecs.octets) return refusal
  return new Refusal(refusal.status, refusal.reason, { body: '{}', contentType: 'text/plain; charset=utf-8' })
}
