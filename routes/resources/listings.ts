/** /streams, /categories, /types: listings of the names in the store. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ListingQuery } from '../../schemas/listings.js'
import { listingOperations } from '../../schemas/operations/listing-operations.js'
import type { AccessRules } from '../../src/access/rules.js'
import type { Viewer } from '../../src/access/viewer.js'
import { DaybookError } from '../../src/errors.js'
import type { ListedHead } from '../../src/index/posting.js'
import type { Postings } from '../../src/index/posting-lists.js'
import type { StreamStates } from '../../src/index/stream-states.js'
import { limits } from '../../src/limits.js'
import { type Family, family } from '../../src/log/format.js'
import type { Log } from '../../src/log/log.js'
import { SCAN_CHUNK } from '../../src/log/records/read-ahead.js'
import { walkList } from '../../src/reading/walk.js'
import { isSystemStream } from '../../src/streams/names.js'

/** The parts of the store that the listing routes use. Read per request: the store may still be opening. */
export interface ListingRouteParts {
  readonly log: Log
  readonly postings: Postings
  readonly states: StreamStates
  readonly rules: AccessRules
}

interface Listing {
  readonly kind: Family
  readonly path: string
  readonly member: 'streams' | 'categories' | 'types'
}

const STREAMS: Listing = { kind: family.stream, path: '/streams', member: 'streams' }
const CATEGORIES: Listing = { kind: family.category, path: '/categories', member: 'categories' }
const TYPES: Listing = { kind: family.type, path: '/types', member: 'types' }

export function listingRoutes(app: FastifyInstance, parts: ListingRouteParts): void {
  const { streams, streamsWithSlash, categories, types } = listingOperations
  const config = { access: 'reader' } as const
  const answer = (listing: Listing) => (request: FastifyRequest, reply: FastifyReply) =>
    answerListing(parts, listing, request, reply)
  app.get('/streams', { config, schema: streams }, answer(STREAMS))
  // Without a stream name, the path with a trailing slash is the listing, too.
  app.get('/streams/', { config, schema: streamsWithSlash }, answer(STREAMS))
  app.get('/categories', { config, schema: categories }, answer(CATEGORIES))
  app.get('/types', { config, schema: types }, answer(TYPES))
}

async function answerListing(
  parts: ListingRouteParts,
  { kind, path, member }: Listing,
  request: FastifyRequest,
  reply: FastifyReply
): Promise<object> {
  const query = request.query as ListingQuery
  const { listed, more } = await list(parts, kind, query, parts.rules.viewerOf(request.principal))
  const links = {
    self: request.prefix + request.url,
    ...(more !== undefined && { next: nextLink(request.prefix + path, query, more) })
  }
  reply.header('daybook-head', parts.log.head).header('cache-control', 'private, no-cache')
  return { [member]: listed.map((one) => showListed(kind, one)), links }
}

async function list(
  parts: ListingRouteParts,
  kind: Family,
  query: ListingQuery,
  viewer: Viewer | undefined
): Promise<{ listed: Listed[]; more: string | undefined }> {
  if (!parts.postings.keeps(kind)) {
    throw new DaybookError(
      'index-switched-off',
      'The server was started with --run-projections=none, so it has no index for this listing.'
    )
  }
  const limit = query.limit ?? 100
  // Many names may be filtered out, so this reads at least 100 names from the index at once.
  const size = Math.max(limit, 100)
  const scan =
    kind === family.stream
      ? new StreamScan(parts, viewer, query.system ?? false)
      : new CountingScan(parts, kind, viewer)
  const listed: Listed[] = []
  let { after } = query
  for (;;) {
    const page = await parts.postings.list(kind, { prefix: query.prefix ?? '', after, limit: size })
    for (const one of page) {
      const shown = await scan.at(one)
      after = one.name
      if (shown !== undefined) listed.push(shown)
      if (listed.length === limit || scan.budgetExhausted) return { listed, more: after }
    }
    if (page.length < size) return { listed, more: undefined }
  }
}

/** A name, with the count and time that the viewer may know. */
interface Listed {
  readonly name: string
  readonly count?: number
  readonly updated?: number
}

/**
 * Omits deleted streams, streams that the viewer may not read, and system streams unless they are requested. Checks at
 * most `scan_events_max` streams per response.
 */
class StreamScan {
  #left = limits.scan_events_max
  readonly #parts: ListingRouteParts
  readonly #viewer: Viewer | undefined
  readonly #system: boolean

  constructor(parts: ListingRouteParts, viewer: Viewer | undefined, system: boolean) {
    this.#parts = parts
    this.#viewer = viewer
    this.#system = system
  }

  get budgetExhausted(): boolean {
    return this.#left <= 0
  }

  async at({ name, head }: ListedHead): Promise<Listed | undefined> {
    this.#left--
    const { states } = this.#parts
    if (isSystemStream(name) && !this.#system) return undefined
    const state = states.concerns(name) ? await states.of(name) : undefined
    if (state?.tombstone || state?.metadata.deleted) return undefined
    if (this.#viewer !== undefined && !(await this.#viewer.mayRead(name))) return undefined
    return { name, count: head.count, updated: head.updated }
  }
}

/**
 * Lists a category or type if the viewer may read any of its events. For a viewer who may not read all user streams, it
 * checks at most `scan_events_max` events per response, and returns a count only if it has checked every event.
 */
class CountingScan {
  readonly #parts: ListingRouteParts
  readonly #kind: Family
  readonly #viewer: Viewer | undefined
  #left = limits.scan_events_max

  constructor(parts: ListingRouteParts, kind: Family, viewer: Viewer | undefined) {
    this.#parts = parts
    this.#kind = kind
    this.#viewer = viewer?.seesAllUserStreams ? undefined : viewer
  }

  get budgetExhausted(): boolean {
    return this.#left <= 0
  }

  async at({ name, head }: ListedHead): Promise<Listed | undefined> {
    if (this.#viewer === undefined) return { name, count: head.count, updated: head.updated }
    let count = 0
    let updated = 0
    let checked = 0
    const range = { first: 0, last: head.count - 1 }
    const walk = { kind: this.#kind, head, range, order: 'asc', chunk: SCAN_CHUNK } as const
    for await (const records of this.#parts.log.readAhead(walkList(this.#parts.postings, walk))) {
      for (const { created } of await this.#viewer.visible(records)) {
        count++
        updated = created
      }
      checked += records.length
      this.#left -= records.length
      if (this.budgetExhausted && checked < head.count) return count > 0 ? { name } : undefined
    }
    return count > 0 ? { name, count, updated } : undefined
  }
}

function showListed(kind: Family, { name, count, updated }: Listed): object {
  const instant = updated === undefined ? undefined : new Date(updated).toISOString()
  return kind === family.stream
    ? { stream: name, head: (count as number) - 1, updated: instant }
    : { name, events: count, updated: instant }
}

function nextLink(path: string, { prefix, limit, system }: ListingQuery, after: string): string {
  const parameters = new URLSearchParams()
  if (prefix !== undefined) parameters.set('prefix', prefix)
  parameters.set('after', after)
  if (limit !== undefined) parameters.set('limit', String(limit))
  if (system !== undefined) parameters.set('system', String(system))
  return `${path}?${parameters}`
}
