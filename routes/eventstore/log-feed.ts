/** The log in the Atom dialect (reference 12): `/streams/$all`, whole or filtered. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Viewer } from '../../src/access/viewer.js'
import { limits } from '../../src/limits.js'
import type { StoredRecord } from '../../src/log/format.js'
import type { Metrics } from '../../src/metrics.js'
import { Filter } from '../../src/reading/filter.js'
import type { Reader } from '../../src/reading/reader.js'
import type { Source } from '../../src/reading/source.js'
import type { Sources } from '../../src/reading/sources.js'
import { checkReadable, type RightsParts } from '../auth/rechecks.js'
import { untilReached, type WaitParts } from '../reading/long-poll.js'
import { caching, contentTypeOf, matchesVersion, versionTag } from './reply.js'
import { type Codec, negotiate, offers } from './wire/codecs.js'
import { type Embed, embedOf } from './wire/feed/embed.js'
import { entriesOf } from './wire/feed/entry.js'
import { type LogPlace, logLinks, parsePosition } from './wire/feed/feed.js'
import { renderFeed } from './wire/feed/render.js'
import { checkRequireLeader, longPoll, resolveLinks } from './wire/headers.js'
import { type PagePath, parseCount } from './wire/page-path.js'
import { asRefusal, badRequest } from './wire/refusal.js'
import { sendEmpty } from './wire/send.js'
import { type BaseOf, rawQueryOf, streamUrl } from './wire/urls.js'

const ALL = '$all'

/** What the log's feed uses of the store. */
export interface LogFeedParts extends RightsParts, WaitParts {
  readonly reader: Reader
  readonly sources: Sources
  readonly metrics: Metrics
}

/** A page of the log as it is asked for, and by whom. */
interface LogFeedRequest {
  readonly reply: FastifyReply
  readonly direction: PagePath['direction']
  /** Position: forward at or after it, backward before it. -1: before everything; undefined: the head. */
  readonly at: number | undefined
  readonly count: number
  readonly filter: Filter
  /** The filtered feed, whose addresses are others. */
  readonly filtered: boolean
  readonly codec: Codec
  readonly embed: Embed
  /** What addresses in the answer begin with. */
  readonly base: string
  /** Links are shown as what they lead to. */
  readonly resolve: boolean
  /** Undefined: who sees everything. */
  readonly viewer: Viewer | undefined
}

export class LogFeed {
  readonly #parts: LogFeedParts
  readonly #baseOf: BaseOf

  constructor(parts: LogFeedParts, baseOf: BaseOf) {
    this.#parts = parts
    this.#baseOf = baseOf
  }

  /** A page of the log. @param path positions of 32 hexadecimal digits, or `head` backward @throws refusals */
  async feed(request: FastifyRequest, reply: FastifyReply, path: PagePath, filtered: boolean): Promise<FastifyReply> {
    const query = rawQueryOf(request)
    const codec = negotiate(request.headers.accept, query.get('format'), offers.feed)
    const at = parseLogStart(path)
    const count = parseCount(path.count, (text) => `Invalid count argument: ${text}`)
    checkRequireLeader(request.headers)
    const filter = filtered ? parseFilter(query) : EVERYTHING
    const resolve = filtered || resolveLinks(request.headers, false)
    const poll = path.direction === 'forward' ? longPoll(request.headers) : undefined
    const { log, rules } = this.#parts
    if (poll !== undefined) {
      await untilReached(this.#parts, request, at ?? 0, poll)
      await checkReadable(this.#parts, request.principal, { stream: ALL })
    }
    const viewer = rules.viewerOf(request.principal)
    // Each sees a part: the same head does not mean the same page.
    if (viewer === undefined && matchesVersion(request.headers['if-none-match'], log.announced, codec)) {
      return sendEmpty(reply, 304, 'Not Modified')
    }
    try {
      const { direction } = path
      const embed = embedOf(query.get('embed'))
      const base = this.#baseOf(request)
      return await this.#sendFeed({
        reply,
        direction,
        at,
        count,
        filter,
        filtered,
        codec,
        embed,
        base,
        resolve,
        viewer
      })
    } catch (error) {
      throw asRefusal(error, 'read')
    }
  }

  async #sendFeed(asked: LogFeedRequest): Promise<FastifyReply> {
    const { reply, direction, at, count, filtered, codec, base, resolve, viewer } = asked
    const { reader, metrics } = this.#parts
    const source = this.#parts.sources.log()
    const backward = direction === 'backward'
    const cursor = Math.max(0, Math.min(at ?? Number.MAX_SAFE_INTEGER, source.head + 1))
    const first = backward ? Math.max(0, cursor - count) : cursor
    const { kept, looked } =
      filtered && !backward
        ? await this.#scanForward(asked, source, first)
        : await this.#scanAll(asked, source, first, backward ? cursor - first : count)
    const reached = backward ? first : first + looked
    const entries = await entriesOf(reader, { source, records: kept, number: first, resolve, viewer })
    metrics.read(entries.length)
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
    return reply.send(renderFeed(feed, asked))
  }

  /** Looks at so many records. */
  async #scanAll(
    { filter, viewer }: LogFeedRequest,
    source: Source,
    first: number,
    count: number
  ): Promise<ScannedRecords> {
    const records = await this.#parts.reader.slice(source, first, count)
    const read = await viewer?.seen(records)
    const kept = records.filter((record, i) => read?.[i] !== false && filter.matches(record))
    return { kept, looked: records.length }
  }

  /** Looks at so many records as it may, until enough have passed. */
  async #scanForward(
    { filter, count, viewer }: LogFeedRequest,
    source: Source,
    first: number
  ): Promise<ScannedRecords> {
    const kept: StoredRecord[] = []
    let looked = 0
    let bytes = 0
    while (looked < limits.dialect_filter_window && bytes < limits.slice_bytes_max) {
      const records = await this.#parts.reader.slice(source, first + looked, LOOK_STEP)
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
interface ScannedRecords {
  readonly kept: StoredRecord[]
  readonly looked: number
}

/** So many of the largest events are within the bytes of a slice. */
const LOOK_STEP = 20

function parseLogStart({ direction, from }: PagePath): number | undefined {
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
    throw asRefusal(error, 'read')
  }
}
