/** /streams, /categories, /types: what is in here. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { CategoryList, ListingQuery, StreamList, TypeList } from '../schemas/listings.js'
import { problemResponses } from '../schemas/problem.js'
import { ref } from '../schemas/ref.js'
import { DaybookError } from '../src/errors.js'
import { type Family, family } from '../src/log/format.js'
import type { ListedHead } from '../src/log/postings.js'
import type { Store } from '../src/store.js'
import { isSystemStream } from '../src/streams/names.js'

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
    if (kind === family.stream) app.get(`${path}/`, { schema: { hide: true, querystring: ListingQuery } }, answer)

    async function answer(request: FastifyRequest, reply: FastifyReply): Promise<object> {
      const query = request.query as ListingQuery
      const listed = await list(store, kind, query)
      const limit = query.limit ?? 100
      const last = listed[listed.length - 1]
      const links = {
        self: request.url,
        ...(listed.length === limit && last !== undefined && { next: nextLink(path, query, last.name) })
      }
      reply.header('daybook-head', store.log.head).header('cache-control', 'private, no-cache')
      return { [member]: listed.map((one) => describe(kind, one)), links }
    }
  }
}

async function list(store: Store, kind: Family, query: ListingQuery): Promise<ListedHead[]> {
  if (!store.postings.keeps(kind)) {
    throw new DaybookError('index-switched-off', 'The server runs with --run-projections=none and keeps no such list.')
  }
  const limit = query.limit ?? 100
  const found: ListedHead[] = []
  let { after } = query
  while (found.length < limit) {
    const more = await store.postings.list(kind, { prefix: query.prefix ?? '', after, limit })
    for (const one of more) {
      if (found.length < limit && (await isShown(store, kind, one.name, query.system ?? false))) found.push(one)
    }
    if (more.length < limit) break
    after = more[more.length - 1]?.name
  }
  return found
}

/** Deleted streams are not there; system streams when they are asked for. */
async function isShown({ states }: Store, kind: Family, name: string, system: boolean): Promise<boolean> {
  if (kind !== family.stream) return true
  if (isSystemStream(name) && !system) return false
  const state = states.concerns(name) ? await states.of(name) : undefined
  return state === undefined || !(state.tombstone || state.metadata.deleted)
}

function describe(kind: Family, { name, head }: ListedHead): object {
  const updated = new Date(head.updated).toISOString()
  return kind === family.stream
    ? { stream: name, head: head.count - 1, updated }
    : { name, events: head.count, updated }
}

function nextLink(path: string, { prefix, limit, system }: ListingQuery, after: string): string {
  const parameters = new URLSearchParams()
  if (prefix !== undefined) parameters.set('prefix', prefix)
  parameters.set('after', after)
  if (limit !== undefined) parameters.set('limit', String(limit))
  if (system !== undefined) parameters.set('system', String(system))
  return `${path}?${parameters}`
}
