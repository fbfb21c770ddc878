/** /consumers: who reads under a name, from which place on, and everybody else who reads live (native contract §7). */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import {
  Acknowledged,
  Acknowledgement,
  ConsumerDefinition as ConsumerBody,
  ConsumerList,
  ConsumerName,
  ConsumerReset,
  type LiveSubscription,
  Consumer as ShownConsumer
} from '../../schemas/consumers.js'
import { problemResponses } from '../../schemas/problem.js'
import { ConsumerQuery, manyEvents, overWebSocket } from '../../schemas/read.js'
import { ref } from '../../schemas/ref.js'
import { isOperator } from '../../src/access/permissions.js'
import type { Consumer, ConsumerDefinition } from '../../src/consumers/consumer.js'
import { limits } from '../../src/limits.js'
import type { Store } from '../../src/store/store.js'
import { askingOf, checkConsumer, checkReadable, checkScopeFor, owns } from '../auth/rechecks.js'
import { checkSameOrigin } from '../http/same-origin.js'
import type { Live } from '../live/live.js'
import type { LiveAsked } from '../live/plan.js'
import { liveSocket } from '../live/websocket.js'
import { awaitEvents, confirmWait, secondsToWait } from '../reading/long-poll.js'
import { checkNamedLog, readUpTo } from '../reading/named-log.js'
import { mediaTypes, readFormat } from '../wire/media-types.js'
import { parseBounds, parseCursor } from '../wire/reading/bounds.js'
import { limitOf, reachesEnd, renderPage } from '../wire/reading/page.js'
import { followingOf, hasFilter, toReadRequest } from '../wire/reading/read-request.js'
import { bodyOf } from '../wire/writing/body.js'
import { parseAcknowledgement, parseDefinition, parseReset, parseSource } from '../wire/writing/consumer-body.js'
import { lags, linksOf, showConsumer, showSubscription } from './consumer-view.js'

const shown = { 'application/json': { schema: ref(ShownConsumer) } }

export function consumerRoutes(app: FastifyInstance, store: Store, live: Live): void {
  const consumerOf = (request: FastifyRequest) => store.consumers.get((request.params as { name: string }).name)
  // Whether one is there is for those who may know.
  const owned = (changes: boolean) => ({
    bodyMax: limits.small_body_bytes_max,
    access: (request: FastifyRequest) => {
      const consumer = store.consumers.find((request.params as { name: string }).name)
      return consumer === undefined ? ('reader' as const) : { consumer, changes }
    }
  })
  const [used, changed] = [owned(false), owned(true)]
  const tags = ['consumers']
  const params = ConsumerName
  store.metrics.gaugeBy('daybook_consumer_lag_events', 'Events a named consumer is behind', 'consumer', () =>
    lags(store, ({ events }) => events)
  )
  store.metrics.gaugeBy('daybook_consumer_lag_seconds', 'Seconds a named consumer is behind', 'consumer', () =>
    lags(store, ({ seconds }) => seconds)
  )

  app.get(
    '/consumers',
    {
      config: { access: 'reader' },
      schema: {
        operationId: 'listConsumers',
        summary: 'Named consumers, and who reads live without a name',
        tags,
        response: { 200: { description: 'By name.', content: { 'application/json': { schema: ref(ConsumerList) } } } }
      }
    },
    async (request, reply) => {
      const subscriptions: LiveSubscription[] = []
      const { principal } = request
      const operator = isOperator(principal)
      for (const subscription of store.subscriptions.all()) {
        // Whose addresses and filters they are is for those who run the server, and among strangers no secret.
        const shown = operator || (store.rules.settings.anonymous && subscription.login === undefined)
        if (shown && subscription.isAnonymous) subscriptions.push(await showSubscription(subscription))
      }
      const consumers = []
      const readsAny = principal.scope === undefined || principal.scope.read.length > 0
      for (const consumer of store.consumers.all()) {
        if (operator || (readsAny && owns(principal, consumer, store)))
          consumers.push(await showConsumer(store, consumer))
      }
      reply.header('cache-control', 'private, no-store')
      return { consumers, subscriptions }
    }
  )

  app.get(
    '/consumers/:name',
    {
      config: used,
      schema: {
        operationId: 'getConsumer',
        summary: 'State, place and lag of a consumer',
        tags,
        params,
        response: { 200: { description: 'The consumer.', content: shown }, ...problemResponses(404) }
      }
    },
    async (request, reply) => {
      reply.header('cache-control', 'private, no-store')
      return showConsumer(store, consumerOf(request))
    }
  )

  app.put(
    '/consumers/:name',
    {
      config: changed,
      schema: {
        operationId: 'putConsumer',
        summary: 'Make a consumer',
        tags,
        params,
        body: { content: { 'application/json': { schema: ref(ConsumerBody) } } },
        response: {
          200: { description: 'It is there, and the same.', content: shown },
          201: { description: 'Made; its place is on disk.', content: shown },
          ...problemResponses(400, 409, 503, 507)
        }
      }
    },
    async (request, reply) => {
      const { name } = request.params as { name: string }
      const wanted = parseDefinition(name, await bodyOf(request))
      // What cannot be read is refused before it is made.
      const { address, request: read } = followingOfSource(store, request, wanted.source)
      await checkReadable(store, request.principal, address)
      await checkScopeFor(store, request.principal, address, true)
      const { lower } = parseBounds({ from: wanted.from }, store.clock.now())
      const start = async () => {
        const source = await store.sources.toFollow(address)
        await checkNamedLog(store, request, source, { lower, upper: undefined })
        return (await store.sources.resolve(source, { ...read, lower })).first - 1
      }
      const { consumer, made } = await store.consumers.define({ ...wanted, ...ownerOf(request) }, start)
      if (!made) await checkConsumer(store, request.principal, consumer, true)
      reply.code(made ? 201 : 200)
      if (made) reply.header('location', linksOf(name).self)
      return showConsumer(store, consumer)
    }
  )

  app.delete(
    '/consumers/:name',
    {
      config: changed,
      schema: {
        operationId: 'deleteConsumer',
        summary: 'Forget a consumer and its place',
        tags,
        params,
        response: { 204: { type: 'null', description: 'Forgotten.' }, ...problemResponses(404, 503, 507) }
      }
    },
    async (request, reply) => {
      await store.consumers.remove(consumerOf(request).name)
      return reply.code(204).send()
    }
  )

  app.route({
    method: 'GET',
    url: '/consumers/:name/events',
    ...liveSocket(live, (request) => askedAs(consumerOf(request), request.query as ConsumerQuery), used.access),
    schema: {
      operationId: 'readAsConsumer',
      summary: 'Events after the place of a consumer',
      description: overWebSocket,
      tags,
      params,
      querystring: ConsumerQuery,
      response: {
        200: { description: 'A page, a line for each event, or events as they come.', content: manyEvents },
        ...problemResponses(400, 403, 404, 406, 409, 410)
      }
    },
    handler: async (request, reply) => {
      const consumer = consumerOf(request)
      const query = request.query as ConsumerQuery
      const format = readFormat(request.headers, query.format, query.live)
      reply.header('vary', 'Accept, Accept-Encoding, Prefer')
      if (format === 'page') {
        checkSameOrigin(request, live.allowOrigins, 'read for a consumer')
        return answerPage(store, consumer, request, reply)
      }
      const asked = askedAs(consumer, format === 'ndjson' ? { live: false, ...query } : query)
      return live.answer(request, reply, asked, format)
    }
  })

  app.post(
    '/consumers/:name/ack',
    {
      config: used,
      schema: {
        operationId: 'acknowledge',
        summary: 'Everything up to a cursor was dealt with',
        tags,
        params,
        body: { content: { 'application/json': { schema: ref(Acknowledgement) } } },
        response: {
          200: { description: 'On disk.', content: { 'application/json': { schema: ref(Acknowledged) } } },
          ...problemResponses(400, 404, 409)
        }
      }
    },
    async (request) => {
      const consumer = consumerOf(request)
      const { cursor, generation } = parseAcknowledgement(await bodyOf(request))
      const { address } = parseSource(consumer.definition.source)
      const source = await store.sources.toFollow(address)
      const done = parseCursor('cursor', String(cursor))
      await checkNamedLog(store, request, source, readUpTo(done))
      await consumer.acknowledge(done, generation, source.head)
      return { cursor: String(consumer.cursor), generation: consumer.generation }
    }
  )

  app.post(
    '/consumers/:name/reset',
    {
      config: changed,
      schema: {
        operationId: 'resetConsumer',
        summary: 'Let a consumer go on elsewhere, in a new generation',
        tags,
        params,
        body: { content: { 'application/json': { schema: ref(ConsumerReset) } } },
        response: { 200: { description: 'On disk.', content: shown }, ...problemResponses(400, 404, 409) }
      }
    },
    async (request) => {
      const consumer = consumerOf(request)
      const { to } = parseReset(await bodyOf(request))
      await consumer.reset(await placeOf(store, request, consumer, String(to)))
      return showConsumer(store, consumer)
    }
  )
}

/** The cursor that a reset asks for: what comes after it is read again. @throws `bad-cursor`, `cursor-beyond-head`, `log-changed` */
async function placeOf(store: Store, request: FastifyRequest, consumer: Consumer, to: string): Promise<number> {
  const isCursor = /^(-1|\d+)$/.test(to)
  const { lower } = parseBounds(isCursor ? { after: to } : { from: to }, store.clock.now())
  const source = await store.sources.toFollow(parseSource(consumer.definition.source).address)
  await checkNamedLog(store, request, source, { lower, upper: undefined })
  const { first } = await store.sources.resolve(source, { lower, upper: undefined, order: 'asc' })
  return first - 1
}

/** A live read of what a consumer reads, under its name. */
function askedAs({ name, definition }: Consumer, query: ConsumerQuery): LiveAsked {
  const { address, query: filters } = parseSource(definition.source)
  return { address, query: { ...filters, ...query, consumer: name } }
}

function followingOfSource(store: Store, request: FastifyRequest, text: string) {
  const { address, query } = parseSource(text)
  return followingOf(address, query, askingOf(store, request))
}

/** Whose a consumer is that somebody makes. */
function ownerOf({ principal }: FastifyRequest): Pick<ConsumerDefinition, 'owner' | 'ownerSince'> {
  const { by, login, since } = principal
  return by === 'insecure' || login === undefined ? {} : { owner: login, ownerSince: since }
}

/** A page after the place. It moves nothing: an acknowledgement does. @throws `consumer-in-use` */
async function answerPage(
  store: Store,
  consumer: Consumer,
  request: FastifyRequest,
  reply: FastifyReply
): Promise<FastifyReply> {
  const { reader, sources, metrics } = store
  const asked = request.query as ConsumerQuery
  const { address, query } = parseSource(consumer.definition.source)
  await checkReadable(store, request.principal, address)
  // Who takes the name and reads page by page needs no connection for it.
  if (asked.takeover) (await consumer.attach(true)).release()
  consumer.checkFree()
  const lower = { kind: 'cursor', value: consumer.cursor, included: false } as const
  const read = { ...toReadRequest(query, askingOf(store, request)), lower }
  const pageOf = async () => {
    const source = await sources.toFollow(address)
    return { source, page: await reader.page(source, read, await sources.resolve(source, read), limitOf(asked)) }
  }
  const seconds = secondsToWait(asked, request)
  if (seconds > 0) {
    confirmWait(request, reply, seconds)
    const following = followingOfSource(store, request, consumer.definition.source)
    const isEmpty = async () => {
      const { page } = await pageOf()
      return page.events.length === 0 && reachesEnd(page)
    }
    await awaitEvents(store, { request, seconds, following, isEmpty })
  }
  // Rules may have changed while it waited.
  if (seconds > 0) await checkReadable(store, request.principal, address)
  const { source, page } = await pageOf()
  consumer.given(page.covered.last)
  consumer.touch()
  metrics.read(page.events.length)
  const { name, generation } = consumer
  const links = { ...linksOf(name), self: request.url }
  const text = renderPage(source, query, page, links, hasFilter(query))
  reply.header('cache-control', 'private, no-store').header('content-type', mediaTypes.page)
  reply.header('daybook-head', source.head).header('daybook-log', store.log.id).header('daybook-generation', generation)
  const start = Buffer.from(`{"consumer":${JSON.stringify({ name, generation })},`)
  return reply.send(Buffer.concat([start, Buffer.from(text.slice(1), 'latin1')]))
}
