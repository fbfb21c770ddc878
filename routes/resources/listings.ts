/** /streams, /categories, /types: what is in here. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { CategoryList, ListingQuery, StreamList, TypeList } from '../../schemas/listings.js'
import { problemResponses } from '../../schemas/problem.js'
import { ref } from '../../schemas/ref.js'
import type { Viewer } from '../../src/access/viewer.js'
import { DaybookError } from '../../src/errors.js'
import type { ListedHead } from '../../src/index/posting.js'
import { limits } from '../../src/limits.js'
import { type Family, family } from '../../src/log/format.js'
import { SCAN_CHUNK } from '../../src/log/records/read-ahead.js'
import { walkList } from '../../src/reading/walk.js'
import type { Store } from '../../src/store/store.js'
import { isSystemStream } from '../../src/streams/names.js'

export function listingRoutes(app: FastifyInstance, store: Store): void {
  const kinds = [
    { kind: family.stream, path: '/streams', member: 'streams', operationId: 'listStreams', shape: StreamList },
    {
      kind: family.category,
      path: '/categories',
      member: 'categories',
      operationId: 'listCategories',
      shape: CategoryList
    },
    { kind: family.type, path: '/types', member: 'types', operationId: 'listTypes', shape: TypeList }
  ] as const
  for (const { kind, path, member, operationId, shape } of kinds) {
    app.get(
      path,
      {
        config: { access: 'reader' },
        schema: {
          operationId,
          summary: `The ${member} in the store, by name`,
          tags: ['listings'],
          querystring: ListingQuery,
          response: {
            200: { description: 'Names in UTF-8 order.', content: { 'application/json': { schema: ref(shape) } } },
            ...problemResponses(400, 409)
          }
        }
      },
      answer
    )
    // Whoever writes the slash means the list.
    if (kind === family.stream)
      app.get(`${path}/`, { config: { access: 'reader' }, schema: { hide: true, querystring: ListingQuery } }, answer)

    async function answer(request: FastifyRequest, reply: FastifyReply): Promise<object> {
      const query = request.query as ListingQuery
      const { listed, more } = await list(store, kind, query, store.rules.viewerOf(request.principal))
      const links = {
        self: request.url,
        ...(more !== undefined && { next: nextLink(path, query, more) })
      }
      reply.header('daybook-head', store.log.head).header('cache-control', 'private, no-cache')
      return { [member]: listed.map((one) => describe(kind, one)), links }
    }
  }
}

async function list(
  store: Store,
  kind: Family,
  query: ListingQuery,
  viewer: Viewer | undefined
): Promise<{ listed: Listed[]; more: string | undefined }> {
  if (!store.postings.keeps(kind)) {
    throw new DaybookError('index-switched-off', 'The server runs with --run-projections=none and keeps no such list.')
  }
  const limit = query.limit ?? 100
  // Of many that are left out few are shown.
  const size = Math.max(limit, 100)
  const look =
    kind === family.stream ? new StreamLook(store, viewer, query.system ?? false) : new ListLook(store, kind, viewer)
  const listed: Listed[] = []
  let { after } = query
  for (;;) {
    const page = await store.postings.list(kind, { prefix: query.prefix ?? '', after, limit: size })
    for (const one of page) {
      const shown = await look.at(one)
      after = one.name
      if (shown !== undefined) listed.push(shown)
      if (listed.length === limit || look.tired) return { listed, more: after }
    }
    if (page.length < size) return { listed, more: undefined }
  }
}

/** A name, and what may be told of it. */
interface Listed {
  readonly name: string
  readonly count?: number
  readonly updated?: number
}

/**
 * Deleted streams are not there, nor are those that one may not read; system streams when they are asked for. A bounded
 * number is looked at for one answer.
 */
class StreamLook {
  #left = limits.scan_events_max
  readonly #store: Store
  readonly #viewer: Viewer | undefined
  readonly #system: boolean

  constructor(store: Store, viewer: Viewer | undefined, system: boolean) {
    this.#store = store
    this.#viewer = viewer
    this.#system = system
  }

  get tired(): boolean {
    return this.#left <= 0
  }

  async at({ name, head }: ListedHead): Promise<Listed | undefined> {
    this.#left--
    const { states } = this.#store
    if (isSystemStream(name) && !this.#system) return undefined
    const state = states.concerns(name) ? await states.of(name) : undefined
    if (state?.tombstone || state?.metadata.deleted) return undefined
    if (this.#viewer !== undefined && !(await this.#viewer.mayRead(name))) return undefined
    return { name, count: head.count, updated: head.updated }
  }
}

/**
 * Categories and types are there when one may read any of their events. Where events may be kept from who asks, a
 * bounded number of them is looked at, and numbers are told only when all were.
 */
class ListLook {
  readonly #store: Store
  readonly #kind: Family
  readonly #viewer: Viewer | undefined
  #left = limits.scan_events_max

  constructor(store: Store, kind: Family, viewer: Viewer | undefined) {
    this.#store = store
    this.#kind = kind
    this.#viewer = viewer?.seesAllUserStreams ? undefined : viewer
  }

  get tired(): boolean {
    return this.#left <= 0
  }

  async at({ name, head }: ListedHead): Promise<Listed | undefined> {
    if (this.#viewer === undefined) return { name, count: head.count, updated: head.updated }
    let count = 0
    let updated = 0
    let looked = 0
    const range = { first: 0, last: head.count - 1 }
    const walk = { kind: this.#kind, head, range, order: 'asc', chunk: SCAN_CHUNK } as const
    for await (const positions of walkList(this.#store.postings, walk)) {
      for (const { created } of await this.#viewer.visible(await this.#store.log.readMany(positions))) {
        count++
        updated = created
      }
      looked += positions.length
      this.#left -= positions.length
      if (this.tired && looked < head.count) return count > 0 ? { name } : undefined
    }
    return count > 0 ? { name, count, updated } : undefined
  }
}

function describe(kind: Family, { name, count, updated }: Listed): object {
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
