/** The log in the Atom dialect (reference 12): `/streams/$all`, whole or filtered. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Viewer } from '../../src/access/viewer.js'
import { limits } from '../../src/limits.js'
import type { StoredRecord } from '../../src/log/format.js'
import { Filter } from '../../src/reading/filter.js'
import type { Source } from '../../src/reading/source.js'
import type { Store } from '../../src/store/store.js'
import { checkReadable } from '../auth/rechecks.js'
import { type DialectReading, type PagePath, parseCount, renderFeed } from './feeds.js'
import { caching, contentTypeOf, matchesVersion, versionTag } from './reply.js'
import { type Codec, negotiate, offers } from './wire/codecs.js'
import { type Embed, embedOf } from './wire/feed/embed.js'
import { entriesOf } from './wire/feed/entry.js'
import { type LogPlace, logLinks, type PageAsked, parsePosition } from './wire/feed/feed.js'
import { checkRequireLeader, longPoll, resolveLinks } from './wire/headers.js'
import { badRequest, refusalOf } from './wire/refusal.js'
import { sendEmpty } from './wire/send.js'
import { queryOf, streamUrl } from './wire/urls.js'

const ALL = '$all'

export class DialectLog {
  readonly #store: Store
  readonly #reading: DialectReading

  constructor(store: Store, reading: DialectReading) {
    this.#store = store
    this.#reading = reading
  }

  /** A page of the log. @param path positions of 32 hexadecimal digits, or `head` backward @throws refusals */
  async feed(request: FastifyRequest, reply: FastifyReply, path: PagePath, filtered: boolean): Promise<FastifyReply> {
    const query = queryOf(request)
    const codec = negotiate(request.headers.accept, query.get('format'), offers.feed)
    const at = parseFrom(path)
    const count = parseCount(path.count, (text) => `Invalid count argument: ${text}`)
    checkRequireLeader(request.headers)
    const filter = filtered ? parseFilter(query) : EVERYTHING
    const resolve = filtered || resolveLinks(request.headers, false)
    const poll = path.direction === 'forward' ? longPoll(request.headers) : undefined
    const { log } = this.#store
    if (poll !== undefined) {
      await this.#reading.holdUntil(request, poll, async () => log.announced >= (at ?? 0))
      await checkReadable(this.#store, request.principal, { stream: ALL })
    }
    // Each sees a part: the same head does not mean the same page.
    const whole = this.#store.rules.viewerOf(request.principal) === undefined
    if (whole && matchesVersion(request.headers['if-none-match'], log.announced, codec)) {
      return sendEmpty(reply, 304, 'Not Modified')
    }
    try {
      const asked = { direction: path.direction, from: at === undefined ? undefined : BigInt(Math.max(at, 0)), count }
      return await this.#sendFeed(
        request,
        reply,
        asked,
        at,
        filter,
        codec,
        embedOf(query.get('embed')),
        resolve,
        filtered
      )
    } catch (error) {
      throw refusalOf(error, 'read')
    }
  }

  async #sendFeed(
    request: FastifyRequest,
    reply: FastifyReply,
    asked: PageAsked,
    at: number | undefined,
    filter: Filter,
    codec: Codec,
    embed: Embed,
    resolve: boolean,
    filtered: boolean
  ): Promise<FastifyReply> {
    const source = this.#store.sources.log()
    const viewer = this.#store.rules.viewerOf(request.principal)
    const { direction, count } = asked
    const backward = direction === 'backward'
    const cursor = Math.max(0, Math.min(at ?? Number.MAX_SAFE_INTEGER, source.head + 1))
    const first = backward ? Math.max(0, cursor - count) : cursor
    const { kept, looked } =
      filtered && !backward
        ? await this.#lookForward(source, first, filter, count, viewer)
        : await this.#slice(source, first, backward ? cursor - first : count, filter, viewer)
    const reached = backward ? first : first + looked
    const entries = await entriesOf(this.#store.reader, source, kept, first, resolve, viewer)
    this.#store.metrics.read(entries.length)
    entries.reverse()
    const end = backward ? looked < count : reached > source.head
    const place: LogPlace = {
      from: cursor,
      origin: at === -1,
      next: reached,
      end: end && (filtered || entries.length < count),
      // What was left out for who reads is gone past, too.
      entries: viewer === undefined ? entries.length : looked
    }
    const base = this.#reading.baseOf(request)
    const self = streamUrl(base, ALL) + (filtered ? '/filtered' : '')
    const feed = {
      title: 'All events',
      selfUrl: self,
      updated: entries[0]?.event?.created,
      stream: undefined,
      headOfStream: false,
      backward: false,
      tagVersion: undefined,
      links: logLinks(self, asked, place, filtered),
      entries
    }
    reply.header('vary', 'Accept').header('content-type', contentTypeOf(codec))
    const moving = backward ? at === undefined || at > source.head + 1 : entries.length < count
    reply.header('cache-control', moving ? caching.never : caching.forAYear)
    if (moving) reply.header('etag', versionTag(source.head, codec))
    return reply.send(renderFeed(feed, codec, base, embed))
  }

  async #slice(
    source: Source,
    first: number,
    count: number,
    filter: Filter,
    viewer: Viewer | undefined
  ): Promise<Looked> {
    const records = await this.#store.reader.slice(source, first, count)
    const read = await viewer?.seen(records)
    const kept = records.filter((record, i) => read?.[i] !== false && filter.matches(record))
    return { kept, looked: records.length }
  }

  /** Looks at so many records as it may, until enough have passed. */
  async #lookForward(
    source: Source,
    first: number,
    filter: Filter,
    count: number,
    viewer: Viewer | undefined
  ): Promise<Looked> {
    const kept: StoredRecord[] = []
    let looked = 0
    let bytes = 0
    while (looked < limits.dialect_filter_window && bytes < limits.slice_bytes_max) {
      const records = await this.#store.reader.slice(source, first + looked, LOOK_STEP)
      if (records.length === 0) break
      const read = await viewer?.seen(records)
      for (const [i, record] of records.entries()) {
        if (kept.length === count) return { kept, looked }
        looked++
        bytes += record.bytes.length
        if (read?.[i] !== false && filter.matches(record)) kept.push(record)
      }
    }
    return { kept, looked }
  }
}

/** Records that pass a filter, and how many were looked at for them. */
interface Looked {
  readonly kept: StoredRecord[]
  readonly looked: number
}

/** So many of the largest events are within the bytes of a slice. */
const LOOK_STEP = 20

function parseFrom({ direction, from }: PagePath): number | undefined {
  if (from === undefined || (from === 'head' && direction === 'backward')) return undefined
  const position = parsePosition(from)
  if (position === undefined) throw badRequest(`Invalid position argument: ${from}`)
  return position
}

const EVERYTHING = new Filter({ system: true })

/** The query of a filtered feed (reference 12.4). @throws refusals */
function parseFilter(query: URLSearchParams): Filter {
  const exclude = query.get('exclude-system-events')
  if (exclude !== null && exclude !== '') {
    if (exclude.toLowerCase() !== 'true') throw badRequest('exclude-sytem-events should have a value of true.')
    return new Filter({ system: true, type: { regex: ['^[^$].*'] } })
  }
  const context = query.get('context')
  const type = query.get('type')
  const data = query.get('data')
  if (context !== 'streamid' && context !== 'eventtype') {
    throw badRequest('Invalid context please provide one of the following: StreamId, EventType.')
  }
  if (type !== 'regex' && type !== 'prefix') {
    throw badRequest('Invalid type please provide one of the following: Regex, Prefix.')
  }
  if (data === null || data === '') {
    throw badRequest('Please provide a comma delimited list of data with at least one item.')
  }
  const prefixes = data.split(',')
  if (prefixes.length > limits.filter_values_max) {
    throw badRequest(`Please provide at most ${limits.filter_values_max} items of data.`)
  }
  const name = type === 'regex' ? { regex: [data] } : { prefix: prefixes }
  try {
    return new Filter({ system: true, ...(context === 'streamid' ? { stream: name } : { type: name }) })
  } catch (error) {
    throw refusalOf(error, 'read')
  }
}
