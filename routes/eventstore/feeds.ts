/** Reads in the Atom dialect (reference 7 to 12): feeds of streams and of the log, single events, metadata. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { LRUCache } from 'lru-cache'
import type { Viewer } from '../../src/access/viewer.js'
import { DaybookError, isDaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import type { StoredRecord } from '../../src/log/format.js'
import type { Source } from '../../src/reading/source.js'
import type { Store } from '../../src/store/store.js'
import { indexStreamOf } from '../../src/streams/index-streams.js'
import { LINK_TYPE } from '../../src/streams/links.js'
import { firstVisible } from '../../src/streams/metadata.js'
import { checkStreamName, isMetastream, metastreamOf, originalOf } from '../../src/streams/names.js'
import { checkReadable } from '../auth/rechecks.js'
import { PageCache } from '../reading/page-cache.js'
import { streamAddress } from '../wire/reading/read-request.js'
import { caching, contentTypeOf, entityTag, matchesTag, sendEmpty } from './reply.js'
import { type Codec, codecHash, codecs, negotiate, offers } from './wire/codecs.js'
import { type Embed, embedOf } from './wire/feed/embed.js'
import { type Entry, entriesOf, virtualEvent } from './wire/feed/entry.js'
import { dataDocument, documentBytes } from './wire/feed/event-document.js'
import { type Feed, type PageAsked, streamLinks, type Window, windowOf } from './wire/feed/feed.js'
import { renderEntryJson, renderFeedJson } from './wire/feed/feed-json.js'
import { renderDataXml, renderEntryXml, renderEventXml, renderFeedXml } from './wire/feed/feed-xml.js'
import { checkRequireLeader, longPoll, resolveLinks } from './wire/headers.js'
import { badRequest, Refusal, refusalOf } from './wire/refusal.js'
import { baseUrl, queryOf, streamUrl } from './wire/urls.js'

interface RenderedFeed {
  readonly body: Buffer
}

interface RenderedEvent {
  readonly body: Buffer
}

/** Where a page begins and how long it is, as its path says. */
export interface PagePath {
  readonly direction: 'backward' | 'forward'
  /** Absent: the bare address of the stream. */
  readonly from?: string | undefined
  readonly count?: string | undefined
}

const PAGE_USUAL = 20
const PAGE_MAX = 4096

export class DialectReading {
  readonly #store: Store
  /** Ends the long polls that are held. */
  readonly #held = new Set<() => void>()
  readonly #trustProxy: boolean
  readonly #pages = new PageCache<RenderedFeed>(limits.pages_cached_bytes_max)
  readonly #events = new LRUCache<string, RenderedEvent>({
    maxSize: limits.events_cached_bytes_max,
    sizeCalculation: ({ body }) => body.length + 300
  })

  constructor(store: Store, trustProxy: boolean) {
    this.#store = store
    this.#trustProxy = trustProxy
  }

  /** Answers all that is held: the server stops. */
  release(): void {
    for (const end of this.#held) end()
  }

  /** Scheme, host and prefix of the addresses in answers. */
  baseOf(request: FastifyRequest): string {
    return baseUrl(request.headers, 'encrypted' in request.raw.socket, this.#trustProxy)
  }

  /** A page of a stream's feed. @throws refusals */
  async feed(request: FastifyRequest, reply: FastifyReply, stream: string, path: PagePath): Promise<FastifyReply> {
    const query = queryOf(request)
    const codec = negotiate(request.headers.accept, query.get('format'), offers.feed)
    checkRequireLeader(request.headers)
    const resolve = resolveLinks(request.headers, true)
    const poll = path.direction === 'forward' ? longPoll(request.headers) : undefined
    const asked = parsePage(path)
    if (codec === codecs.description && path.direction === 'backward') return sendDescription(reply, stream)
    nameOf(stream)
    if (poll !== undefined) {
      await this.#waitForEvent(request, stream, asked, poll)
      // Rules may have changed in an hour.
      await checkReadable(this.#store, request.principal, streamAddress(stream))
    }
    try {
      await this.#store.sources.checkLives(stream)
      const head = await this.#headOf(stream)
      // Of an index stream each sees a part: the same head does not mean the same page.
      const viewer = this.#store.rules.viewerOf(request.principal)
      const whole = indexStreamOf(stream) === undefined || viewer === undefined
      if (whole && matchesTag(request.headers['if-none-match'], head, codec)) {
        return sendEmpty(reply, 304, 'Not Modified')
      }
      const source = await this.#sourceOf(stream, viewer)
      return await this.#sendFeed(request, reply, source, asked, codec, embedOf(query.get('embed')), resolve)
    } catch (error) {
      throw refusalOf(error, 'read')
    }
  }

  async #sendFeed(
    request: FastifyRequest,
    reply: FastifyReply,
    source: Source,
    asked: PageAsked,
    codec: Codec,
    embed: Embed,
    resolve: boolean
  ): Promise<FastifyReply> {
    const window = windowOf(asked, source.head, source.first)
    const base = this.baseOf(request)
    const viewer = this.#store.rules.viewerOf(request.principal)
    const who = source.index ? `${viewer?.key ?? ''} ${this.#store.rules.version}` : ''
    const state = `${source.head} ${source.metadataVersion} ${source.first} ${who}`
    const place = `${asked.direction} ${asked.from ?? 'head'} ${asked.count}`
    // None of them holds a line feed; some may hold spaces.
    const key = [codec.type, embed, resolve, state, place, base, source.stream].join('\n')
    // What an index stream lists may be hidden by now.
    let page = source.index && !this.#store.states.none ? undefined : this.#pages.get(key)
    if (page === undefined) {
      const { feed, settled } = await this.#readFeed(source, asked, window, base, resolve, viewer)
      page = { body: renderFeed(feed, codec, base, embed) }
      if (settled) this.#pages.offer(key, page)
    }
    reply.header('vary', 'Accept').header('content-type', contentTypeOf(codec))
    if (window.moving) {
      reply.header('cache-control', caching.head(source.metadata.cacheControl))
      reply.header('etag', entityTag(source.head, codec))
    } else reply.header('cache-control', caching.forAYear)
    return reply.send(page.body)
  }

  /** @returns settled: its bytes depend on nothing but what is asked, the head and the metadata of the stream */
  async #readFeed(
    source: Source,
    asked: PageAsked,
    window: Window,
    base: string,
    resolve: boolean,
    viewer: Viewer | undefined
  ): Promise<{ feed: Feed; settled: boolean }> {
    const { reader, metrics, states } = this.#store
    const stream = source.stream as string
    const records = await reader.slice(source, window.first, window.last - window.first + 1)
    const entries = await entriesOf(reader, source, records, window.first, resolve, viewer)
    metrics.read(entries.length)
    const read = asked.direction === 'backward' ? entries.at(-1) : entries[0]
    entries.reverse()
    const self = streamUrl(base, stream)
    const cutOff = asked.from === undefined && firstVisible(source.metadata, source.head) > source.head
    // What was left out for who reads is gone past, too.
    const found = source.index ? records.length : entries.length
    const links = streamLinks(self, asked, source.head, window, found, cutOff)
    const backward = asked.direction === 'backward'
    const feed: Feed = {
      title: `Event stream '${stream}'`,
      selfUrl: self,
      updated: read?.event?.created,
      stream,
      headOfStream: backward ? asked.from === undefined : window.end,
      backward,
      tagVersion: backward && asked.from === undefined ? String(source.head) : undefined,
      links,
      entries
    }
    // Where a link leads may be written or hidden though the head does not change.
    const linked = records.some((record) => record.hasType(LINK_TYPE))
    return { feed, settled: !linked && (states.none || !source.index) }
  }

  /**
   * One event. @param at as the path says: a number, or `head`
   * @throws refusals
   */
  async event(request: FastifyRequest, reply: FastifyReply, stream: string, at: string): Promise<FastifyReply> {
    return this.#event(request, reply, stream, at, true)
  }

  /** The metadata event of a stream. @param at the number of one, or `head` */
  async metadata(request: FastifyRequest, reply: FastifyReply, stream: string, at: string): Promise<FastifyReply> {
    if (isMetastream(stream)) throw badRequest('Stream must be non-empty string and should not be metastream')
    return this.#event(request, reply, metastreamOf(stream), at, false)
  }

  async #event(
    request: FastifyRequest,
    reply: FastifyReply,
    stream: string,
    at: string,
    resolving: boolean
  ): Promise<FastifyReply> {
    const query = queryOf(request)
    const codec = negotiate(request.headers.accept, query.get('format'), offers.event)
    const number = at === 'head' ? undefined : parseInteger(at)
    if (at !== 'head' && (number === undefined || number < 0n)) throw badRequest(`'${at}' is not valid event number`)
    checkRequireLeader(request.headers)
    const resolve = resolveLinks(request.headers, resolving)
    nameOf(stream)
    const embed = embedOf(query.get('embed'))
    const viewer = this.#store.rules.viewerOf(request.principal)
    reply.header('vary', 'Accept').header('content-type', contentTypeOf(codec))
    try {
      const source = await this.#sourceOf(stream, viewer)
      const place = number === undefined ? source.head : Number(number)
      const { body } = await this.#renderedEvent(source, place, codec, embed, this.baseOf(request), resolve, viewer)
      this.#store.metrics.read(1)
      if (number === undefined) {
        reply.header('cache-control', caching.head(isMetastream(stream) ? undefined : source.metadata.cacheControl))
        reply.header('etag', entityTag(place, codec))
      } else reply.header('cache-control', caching.forAYear)
      return await reply.send(body)
    } catch (error) {
      reply.removeHeader('vary').removeHeader('content-type')
      const nothing = await this.#withoutMetadata(error, stream, number, codec, embed, this.baseOf(request), viewer)
      if (nothing === undefined) throw failedRead(refusalOf(error, 'read'), codec)
      reply.header('vary', 'Accept').header('content-type', contentTypeOf(codec))
      reply.header('cache-control', number === undefined ? caching.never : caching.forAYear)
      if (nothing.tag !== undefined) reply.header('etag', nothing.tag)
      return reply.send(nothing.body)
    }
  }

  async #renderedEvent(
    source: Source,
    number: number,
    codec: Codec,
    embed: Embed,
    base: string,
    resolve: boolean,
    viewer: Viewer | undefined
  ): Promise<RenderedEvent> {
    const key = [codec.type, embed, resolve, number, base, source.stream].join('\n')
    const lasts = !source.index && number >= source.first
    const known = lasts ? this.#events.get(key) : undefined
    if (known !== undefined) return known
    const record = await this.#recordAt(source, number)
    const [entry] = await entriesOf(this.#store.reader, source, [record], number, resolve, viewer)
    if (entry?.event === undefined) throw new DaybookError('event-not-found', 'There is nothing to see.', { number })
    const rendered = { body: renderEvent(entry, codec, embed, base) }
    if (lasts && entry.link === undefined) this.#events.set(key, rendered)
    return rendered
  }

  /** In an index stream also what can no longer be seen has its place. */
  async #recordAt(source: Source, number: number): Promise<StoredRecord> {
    if (!source.index) return this.#store.reader.event(source, number)
    const [record] = await this.#store.reader.slice(source, number, 1)
    if (record === undefined) throw new DaybookError('event-not-found', `There is no event ${number}.`, { number })
    return record
  }

  /**
   * What stands for metadata that is not there, when the stream is (reference 11.2): nothing, or for an index stream
   * that everybody may read it (reference 19).
   */
  async #withoutMetadata(
    error: unknown,
    metastream: string,
    number: bigint | undefined,
    codec: Codec,
    embed: Embed,
    base: string,
    viewer: Viewer | undefined
  ): Promise<{ body: Buffer; tag?: string } | undefined> {
    const missing = isDaybookError(error) && (error.code === 'stream-not-found' || error.code === 'event-not-found')
    if (!missing || !isMetastream(metastream)) return undefined
    const stream = originalOf(metastream)
    const index = indexStreamOf(stream)
    const nothing = { body: Buffer.from(codec.xml ? '' : '{}') }
    if (index === undefined) return (await this.#headOf(stream)) < 0 ? undefined : nothing
    const source = await this.#sourceOf(stream, viewer).catch(ifNotFound)
    if (source === undefined || (number ?? 0n) !== 0n) return source && nothing
    const [first] = await this.#store.reader.slice(source, 0, 1)
    const name = Buffer.from(metastream).toString('latin1')
    const event = virtualEvent(name, '0', first?.created ?? 0, {
      typeBytes: '$metadata',
      dataBytes: '{"$acl":{"$r":"$all","$mr":"$all"}}',
      isJson: true,
      metadataBytes: ''
    })
    const entry: Entry = { event, link: undefined, positionStreamBytes: name, positionNumber: '0' }
    return { body: renderEvent(entry, codec, embed, base), tag: entityTag(0, codec) }
  }

  /** Without its family an index stream is one that nobody has written. */
  async #sourceOf(stream: string, viewer: Viewer | undefined): Promise<Source> {
    const { sources, reader, postings } = this.#store
    const index = indexStreamOf(stream)
    if (index === undefined) return sources.of(stream)
    if (postings.keeps(index.kind)) return reader.indexSource(stream, index, viewer)
    throw new DaybookError('stream-not-found', `"${stream}" is not kept here.`, { stream, head: null })
  }

  /** Last number of a stream or index stream, seen or not; -1 when it was never written. */
  async #headOf(stream: string): Promise<number> {
    const index = indexStreamOf(stream)
    if (index === undefined) return this.#store.sources.head(stream)
    return this.#store.postings.keeps(index.kind) ? (await this.#store.sources.ofIndex(stream, index)).head : -1
  }

  /** Holds a forward read that would find nothing new until an event comes, at most so long (reference 10). */
  #waitForEvent(request: FastifyRequest, stream: string, { from }: PageAsked, seconds: number): Promise<void> {
    return this.holdUntil(request, seconds, async () => BigInt(await this.#headOf(stream)) >= (from ?? 0n))
  }

  /**
   * Waits until something holds that only a commit can change, the time is over, or the client has gone.
   * @param seconds at most an hour of it is waited
   */
  async holdUntil(request: FastifyRequest, seconds: number, holds: () => Promise<boolean>): Promise<void> {
    const { log, clock } = this.#store
    const { socket } = request.raw
    let over = false
    let giveUp = () => {}
    const end = () => {
      over = true
      giveUp()
    }
    const stop = clock.after(Math.min(seconds, limits.long_poll_seconds_max) * 1000, end)
    socket.once('close', end)
    this.#held.add(end)
    try {
      for (;;) {
        const next = log.reached(log.announced + 1)
        giveUp = next.cancel
        if (over || this.#store.status !== 'open' || (await holds())) {
          next.cancel()
          return
        }
        if (over) next.cancel()
        await next.promise
      }
    } finally {
      stop()
      socket.off('close', end)
      this.#held.delete(end)
    }
  }
}

/** A name that cannot be a stream's is one that nothing is found under. @throws a 400 */
function nameOf(stream: string): void {
  try {
    checkStreamName(stream)
  } catch {
    throw badRequest(`Invalid stream name '${stream}'`)
  }
}

/** @throws a 400 as reference 4 says */
export function parsePage({ direction, from, count }: PagePath): PageAsked {
  return { direction, from: parseFrom(direction, from), count: parseCount(count) }
}

function parseFrom(direction: PagePath['direction'], from: string | undefined): bigint | undefined {
  if (from === undefined || (from === 'head' && direction === 'backward')) return undefined
  const number = parseInteger(from)
  if (number === undefined || number < 0n) throw badRequest(`'${from}' is not valid event number`)
  return number
}

/** @param what how the original says that it is wrong */
export function parseCount(
  count: string | undefined,
  what = (text: string) => `'${text}' is not valid count. Should be positive integer`
): number {
  if (count === undefined) return PAGE_USUAL
  const number = parseInteger(count)
  if (number === undefined || number < 1n || number > 0x7fff_ffffn) throw badRequest(what(count))
  if (number > BigInt(PAGE_MAX)) throw badRequest(`Read size too big, should be less than ${PAGE_MAX} items`)
  return Number(number)
}

/** An integer as the original reads one: a sign, zeros before it and spaces around are taken. */
function parseInteger(text: string): bigint | undefined {
  if (!/^ *[+-]?\d{1,40} *$/.test(text)) return undefined
  const number = BigInt(text.trim().replace('+', ''))
  return number > 0x7fff_ffff_ffff_ffffn ? undefined : number
}

/** Feeds in XML carry content or nothing; the other levels have no form there. */
export function renderFeed(feed: Feed, codec: Codec, base: string, embed: Embed): Buffer {
  if (codec.xml) return Buffer.from(renderFeedXml(feed, base, embed === 'content'))
  const tag = feed.tagVersion === undefined ? undefined : `${feed.tagVersion};${codecHash(codecs.atomJson)}`
  return Buffer.from(renderFeedJson(feed, base, embed, tag), 'latin1')
}

function renderEvent(entry: Entry, codec: Codec, embed: Embed, base: string): Buffer {
  const event = entry.event as NonNullable<Entry['event']>
  switch (codec) {
    case codecs.octets:
      return event.octets
    case codecs.json:
      return Buffer.from(dataDocument(event), 'latin1')
    case codecs.eventJson:
      return Buffer.from(documentBytes(event), 'latin1')
    case codecs.atom:
      return Buffer.from(renderEntryXml(entry, base))
    case codecs.eventXml:
      return Buffer.from(renderEventXml(event))
    case codecs.xml:
    case codecs.applicationXml:
      return Buffer.from(renderDataXml(event))
    default:
      return Buffer.from(renderEntryJson(entry, base, embed), 'latin1')
  }
}

/** Failed reads of single events answer with an empty document of their form (reference 8.7). */
function failedRead(refusal: Refusal, codec: Codec): Refusal {
  if ((refusal.status !== 404 && refusal.status !== 410) || codec.xml || codec === codecs.octets) return refusal
  return new Refusal(refusal.status, refusal.reason, { body: '{}', contentType: 'text/plain; charset=utf-8' })
}

function sendDescription(reply: FastifyReply, stream: string): FastifyReply {
  const href = `/streams/${encodeURIComponent(stream)}`
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

function ifNotFound(error: Error): undefined {
  if (!isDaybookError(error) || error.code !== 'stream-not-found') throw error
}
