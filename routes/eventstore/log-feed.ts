/**
 * The log in the Atom dialect (reference 12): `/streams/$all`, whole or filtered. Audit records are omitted, so that a
 * client that deletes a stream finds the tombstone at the end of the log, as in EventStoreDB.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { AUDIT } from '../../src/access/audit.js'
import type { Viewer } from '../../src/access/viewer.js'
import { limits } from '../../src/limits.js'
import type { StoredRecord } from '../../src/log/format.js'
import type { Metrics } from '../../src/metrics.js'
import type { Expressions } from '../../src/reading/expressions/expressions.js'
import type { Filter } from '../../src/reading/filter.js'
import { Filtering } from '../../src/reading/filtering.js'
import type { ReadMemory } from '../../src/reading/read-memory.js'
import type { Reader } from '../../src/reading/reader.js'
import type { Source } from '../../src/reading/source.js'
import type { Sources } from '../../src/reading/sources.js'
import type { Range } from '../../src/reading/walk.js'
import { checkReadable, type RightsParts } from '../auth/caller-rights.js'
import { ClientGone } from '../http/connections/client-gone.js'
import type { Answers } from '../reading/answers.js'
import { untilReached, type WaitParts } from '../reading/long-poll.js'
import { caching, contentTypeOf, matchesVersion, versionTag } from './reply.js'
import { type Codec, negotiate, offers } from './wire/codecs.js'
import { type Embed, embedOf } from './wire/feed/embed.js'
import { entriesOf } from './wire/feed/entry.js'
import { type LogPlace, logLinks, parsePosition } from './wire/feed/feed.js'
import { renderFeed } from './wire/feed/render.js'
import { checkRequireLeader, longPoll, resolveLinks } from './wire/headers.js'
import { parseLogFilter, WHOLE_LOG } from './wire/log-filter.js'
import { type PagePath, parseCount } from './wire/page-path.js'
import { asRefusal, badRequest } from './wire/refusal.js'
import { sendEmpty } from './wire/send.js'
import { type BaseOf, rawQueryOf, streamUrl } from './wire/urls.js'
import { varyOf } from './wire/vary.js'

const ALL = '$all'

/** The parts of the store that the log's feed uses. */
export interface LogFeedParts extends RightsParts, WaitParts {
  readonly reader: Reader
  readonly sources: Sources
  readonly metrics: Metrics
  readonly expressions: Expressions
}

/** A request for a page of the log. */
interface LogFeedRequest {
  readonly reply: FastifyReply
  readonly direction: PagePath['direction']
  /** A position: forward reads start at it, backward reads before it. -1: the beginning; undefined: the head. */
  readonly at: number | undefined
  readonly count: number
  readonly filter: Filter
  /** True for the filtered feed, which has addresses of its own. */
  readonly filtered: boolean
  readonly codec: Codec
  readonly embed: Embed
  /** Scheme, host and prefix of the addresses in the response. */
  readonly base: string
  /** True to show the targets of link events instead of the links. */
  readonly resolve: boolean
  /** Undefined for a caller who may read all events. */
  readonly viewer: Viewer | undefined
}

export class LogFeed {
  readonly #parts: LogFeedParts
  readonly #answers: Answers
  readonly #baseOf: BaseOf

  constructor(parts: LogFeedParts, answers: Answers, baseOf: BaseOf) {
    this.#parts = parts
    this.#answers = answers
    this.#baseOf = baseOf
  }

  /** Sends a page of the log. @param path positions of 32 hexadecimal digits, or `head` backward @throws refusals */
  async feed(request: FastifyRequest, reply: FastifyReply, path: PagePath, filtered: boolean): Promise<FastifyReply> {
    const query = rawQueryOf(request)
    const codec = negotiate(request.headers.accept, query.get('format'), offers.feed)
    const at = parseLogStart(path)
    const count = parseCount(path.count, (text) => `Invalid count argument: ${text}`)
    checkRequireLeader(request.headers)
    const filter = filtered ? parseLogFilter(query, this.#parts.expressions) : WHOLE_LOG
    const resolve = filtered || resolveLinks(request.headers, false)
    const poll = path.direction === 'forward' ? longPoll(request.headers) : undefined
    const { log, rules } = this.#parts
    if (poll !== undefined) {
      await untilReached(this.#parts, request, at ?? 0, poll)
      await checkReadable(this.#parts, request.principal, { stream: ALL })
    }
    const viewer = rules.viewerOf(request.principal)
    // Callers with restricted rights see different parts of the log: the same head may mean another page for them.
    if (viewer === undefined && matchesVersion(request.headers['if-none-match'], log.publishedHead, codec)) {
      const vary = varyOf(request, { linksAsAsked: resolve && !filtered, lasts: false })
      return sendEmpty(reply, 304, 'Not Modified', { etag: versionTag(log.publishedHead, codec), vary })
    }
    try {
      const { direction } = path
      const embed = embedOf(query.get('embed'))
      const base = this.#baseOf(request)
      const feedRequest = { reply, direction, at, count, filter, filtered, codec, embed, base, resolve, viewer }
      return await this.#answers.reading(request, (memory) => this.#sendFeed(feedRequest, memory))
    } catch (error) {
      throw asRefusal(error, 'read')
    }
  }

  async #sendFeed(feedRequest: LogFeedRequest, memory: ReadMemory): Promise<FastifyReply> {
    const { reply, direction, at, count, filtered, codec, base, resolve, viewer } = feedRequest
    const { reader, metrics } = this.#parts
    const source = this.#parts.sources.log()
    const backward = direction === 'backward'
    const cursor = Math.max(0, Math.min(at ?? Number.MAX_SAFE_INTEGER, source.head + 1))
    const { kept, examined, cutShort } = await this.#scan(feedRequest, source, cursor, memory)
    const reached = backward ? cursor - examined : cursor + examined
    const entries = await entriesOf(reader, { source, records: kept, number: reached, resolve, viewer, memory })
    metrics.read(entries.length)
    entries.reverse()
    const ended = filtered ? examined < count && !cutShort : reached === 0
    const end = backward ? ended : reached > source.head
    const place: LogPlace = {
      from: cursor,
      origin: at === -1,
      next: reached,
      end: end && (filtered || entries.length < count),
      // Omitted records count as read. A filtered feed stays at its position while nothing has matched.
      entries: filtered && viewer === undefined ? entries.length : examined
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
      links: logLinks(self, feedRequest, place, filtered),
      entries
    }
    const moving = backward ? at === undefined || at > source.head + 1 : entries.length < count
    reply.header('vary', varyOf(reply.request, { linksAsAsked: resolve && !filtered, lasts: !moving }))
    reply.header('content-type', contentTypeOf(codec))
    reply.header('cache-control', moving ? caching.never : caching.forAYear)
    if (moving) reply.header('etag', versionTag(source.head, codec))
    return this.#answers.send(reply, renderFeed(feed, feedRequest), memory)
  }

  /** Returns the records of a page. @param cursor backward: records before it; forward: records from it on */
  #scan(feedRequest: LogFeedRequest, source: Source, cursor: number, memory: ReadMemory): Promise<ScannedRecords> {
    const { direction, count, filtered } = feedRequest
    if (direction === 'forward') {
      if (filtered) return this.#scanForward(feedRequest, source, cursor, memory)
      return this.#scanRange(feedRequest, source, { first: cursor, last: cursor + count - 1 }, memory)
    }
    if (!filtered) return this.#scanBackward(feedRequest, source, cursor, memory)
    return this.#scanRange(feedRequest, source, { first: Math.max(0, cursor - count), last: cursor - 1 }, memory)
  }

  /** Examines records backward until the page is full, so that omitted records do not make it shorter. */
  async #scanBackward(
    feedRequest: LogFeedRequest,
    source: Source,
    cursor: number,
    memory: ReadMemory
  ): Promise<ScannedRecords> {
    let kept: StoredRecord[] = []
    let examined = 0
    let bytes = 0
    while (kept.length < feedRequest.count && examined < cursor) {
      const last = cursor - examined - 1
      const range = { first: Math.max(0, last - (feedRequest.count - kept.length) + 1), last }
      const part = await this.#scanRange(feedRequest, source, range, memory)
      kept = [...part.kept, ...kept]
      examined += part.examined
      for (const record of part.kept) bytes += record.bytes.length
      const full = bytes >= limits.page_bytes_max || examined >= limits.dialect_filter_window
      if (part.cutShort || full) return { kept, examined, cutShort: examined < cursor }
    }
    return { kept, examined, cutShort: false }
  }

  /**
   * Examines the records of a range, up to the size limit of a page. Stops early when the filter has used up its budget
   * of steps, or when the client is gone. Backward, it starts with the last record.
   */
  async #scanRange(
    { direction, filter, viewer, reply }: LogFeedRequest,
    source: Source,
    range: Range,
    memory: ReadMemory
  ): Promise<ScannedRecords> {
    const records = await this.#parts.reader.slice(source, range, direction === 'backward' ? 'desc' : 'asc', memory)
    const read = await viewer?.seen(records)
    const backward = direction === 'backward'
    if (backward) {
      records.reverse()
      read?.reverse()
    }
    const kept: StoredRecord[] = []
    const filtering = new Filtering(filter, false, this.#parts.expressions.turns)
    const gone = new ClientGone(reply.request, this.#parts.clock)
    let examined = 0
    while (examined < records.length && mayContinue(filtering, gone)) {
      for (const matches of await filtering.next(records, examined, read)) {
        const record = records[examined++] as StoredRecord
        if (matches && record.streamBytes !== AUDIT) kept.push(record)
      }
    }
    if (backward) kept.reverse()
    const there = Math.min(range.last, source.head) - range.first + 1
    return { kept, examined, cutShort: examined < there }
  }

  /** Examines records, at most `dialect_filter_window`, until enough have matched. */
  async #scanForward(
    { filter, count, viewer, reply }: LogFeedRequest,
    source: Source,
    first: number,
    memory: ReadMemory
  ): Promise<ScannedRecords> {
    const kept: StoredRecord[] = []
    let examined = 0
    let bytes = 0
    const filtering = new Filtering(filter, false, this.#parts.expressions.turns)
    const gone = new ClientGone(reply.request, this.#parts.clock)
    const { dialect_filter_window: window, page_bytes_max: full } = limits
    while (examined < window && bytes < full && mayContinue(filtering, gone)) {
      const from = first + examined
      const records = await this.#parts.reader.slice(
        source,
        { first: from, last: from + EXAMINE_STEP - 1 },
        'asc',
        memory
      )
      if (records.length === 0) break
      const read = await viewer?.seen(records)
      for (let at = 0; at < records.length; ) {
        for (const matches of await filtering.next(records, at, read)) {
          if (kept.length === count) return { kept, examined, cutShort: false }
          const record = records[at++] as StoredRecord
          examined++
          if (!matches || record.streamBytes === AUDIT) continue
          kept.push(record)
          bytes += record.bytes.length
        }
      }
    }
    return { kept, examined, cutShort: bytes >= full }
  }
}

/** Records that match a filter, and the number of records examined to find them. */
interface ScannedRecords {
  readonly kept: StoredRecord[]
  readonly examined: number
  /** True when fewer records were examined than requested. */
  readonly cutShort: boolean
}

/** Returns false when the filter has used up its budget of steps for one page, or when the client is gone. */
function mayContinue({ steps }: Filtering, gone: ClientGone): boolean {
  return steps < limits.page_steps_max && !gone.aborted
}

/** Number of records read per step. */
const EXAMINE_STEP = 20

function parseLogStart({ direction, from }: PagePath): number | undefined {
  if (from === undefined || (from === 'head' && direction === 'backward')) return undefined
  const position = parsePosition(from)
  if (position === undefined) throw badRequest(`Invalid position argument: ${from}`)
  return position
}
