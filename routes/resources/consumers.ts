/** /consumers: named consumers, which have a durable position, and all other live reads (native contract §7). */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { LiveSubscription } from '../../schemas/consumers.js'
import { consumerOperations } from '../../schemas/operations/consumer-operations.js'
import type { ConsumerQuery } from '../../schemas/read.js'
import { isOperator } from '../../src/access/permissions.js'
import type { Consumer } from '../../src/consumers/consumer.js'
import type { ConsumerDefinition } from '../../src/consumers/consumer-definition.js'
import { limits } from '../../src/limits.js'
import type { Metrics } from '../../src/metrics.js'
import type { ReadMemory } from '../../src/reading/read-memory.js'
import type { Sources } from '../../src/reading/sources.js'
import type { Clock } from '../../src/time/clock.js'
import {
  type ContextParts,
  checkConsumer,
  checkReadable,
  checkScopeFor,
  mayUseConsumer,
  readContextOf
} from '../auth/caller-rights.js'
import { ClientGone } from '../http/connections/client-gone.js'
import type { Live } from '../live/live.js'
import { type LiveTarget, targetOfConsumer } from '../live/plan-live-read.js'
import { liveSocket } from '../live/websocket/websocket.js'
import type { Answers } from '../reading/answers.js'
import { awaitEvents, confirmWait, secondsToWait, type WaitParts } from '../reading/long-poll.js'
import { checkNamedLog, readUpTo } from '../reading/named-log.js'
import { mediaTypes, readFormat } from '../wire/media-types.js'
import { parseBounds, parseCursor } from '../wire/reading/cursor-bounds.js'
import { limitOf, reachesEnd, renderPage } from '../wire/reading/page.js'
import { checkNoLastEventId, hasFilter, liveQueryOf, toReadRequest } from '../wire/reading/read-request.js'
import { parseAcknowledgement, parseDefinition, parseReset, parseSource } from '../wire/writing/consumer-body.js'
import { bodyOf } from '../writing/received-body.js'
import {
  type ConsumerLagParts,
  type ConsumerViewParts,
  consumerLinks,
  lagRows,
  showConsumer,
  showSubscription
} from './consumer-view.js'

/** The parts of the store that the consumer routes use. Read per request: the store may still be opening. */
export interface ConsumerRouteParts extends ContextParts, WaitParts, ConsumerViewParts, ConsumerLagParts {
  readonly clock: Clock
  readonly sources: Sources
  readonly metrics: Metrics
}

export function consumerRoutes(app: FastifyInstance, parts: ConsumerRouteParts, live: Live, answers: Answers): void {
  countLags(parts)
  const consumers = new ConsumerHandlers(parts, live, answers)
  const { list, get, put, remove, read, acknowledge, reset } = consumerOperations
  const [used, changed] = [consumerConfig(parts, false), consumerConfig(parts, true)]
  const one = '/consumers/:name'
  app.get('/consumers', { config: { access: 'reader' }, schema: list }, (request, reply) =>
    consumers.list(request, reply)
  )
  app.get(one, { config: used, schema: get }, (request, reply) => consumers.get(request, reply))
  app.put(one, { config: changed, schema: put }, (request, reply) => consumers.put(request, reply))
  app.delete(one, { config: changed, schema: remove }, (request, reply) => consumers.remove(request, reply))
  app.route({
    method: 'GET',
    url: `${one}/events`,
    ...liveSocket(live, (request) => consumers.liveTarget(request), used.access),
    schema: read,
    handler: (request, reply) => consumers.read(request, reply)
  })
  app.post(`${one}/ack`, { config: used, schema: acknowledge }, (request) => consumers.acknowledge(request))
  app.post(`${one}/reset`, { config: changed, schema: reset }, (request) => consumers.reset(request))
}

function countLags(parts: ConsumerRouteParts): void {
  const { metrics } = parts
  metrics.gaugeBy(
    'daybook_consumer_lag_events',
    'Number of events by which a named consumer is behind',
    'consumer',
    () => lagRows(parts, ({ events }) => events)
  )
  metrics.gaugeBy('daybook_consumer_lag_seconds', 'Seconds by which a named consumer is behind', 'consumer', () =>
    lagRows(parts, ({ seconds }) => seconds)
  )
}

/**
 * Returns the configuration of a route that requires the right to the consumer in its path, if that consumer exists.
 * @param changes whether the route changes the consumer's definition
 */
function consumerConfig(parts: Pick<ConsumerRouteParts, 'consumers'>, changes: boolean) {
  return {
    bodyMax: limits.small_body_bytes_max,
    access: (request: FastifyRequest) => {
      const consumer = parts.consumers.find(consumerName(request))
      return consumer === undefined ? ('reader' as const) : { consumer, changes }
    }
  }
}

function consumerName({ params }: FastifyRequest): string {
  return (params as { name: string }).name
}

class ConsumerHandlers {
  readonly #parts: ConsumerRouteParts
  readonly #live: Live
  readonly #answers: Answers

  constructor(parts: ConsumerRouteParts, live: Live, answers: Answers) {
    this.#parts = parts
    this.#live = live
    this.#answers = answers
  }

  #consumerOf(request: FastifyRequest): Consumer {
    return this.#parts.consumers.get(consumerName(request))
  }

  async list({ principal, prefix }: FastifyRequest, reply: FastifyReply): Promise<object> {
    const { subscriptions: all, consumers: named, rules } = this.#parts
    const subscriptions: LiveSubscription[] = []
    const operator = isOperator(principal)
    for (const subscription of all.all()) {
      // Operators see all live reads without a consumer. If anonymous access is on, everyone sees those of anonymous
      // clients.
      const shown = operator || (rules.settings.anonymous && subscription.login === undefined)
      if (shown && subscription.isAnonymous) subscriptions.push(await showSubscription(subscription))
    }
    const consumers = []
    const readsAny = principal.scope === undefined || principal.scope.read.length > 0
    for (const consumer of named.all()) {
      if (operator || (readsAny && mayUseConsumer(principal, consumer, this.#parts)))
        consumers.push(await showConsumer(this.#parts, consumer, { principal, prefix }))
    }
    reply.header('cache-control', 'private, no-store')
    return { consumers, subscriptions }
  }

  async get(request: FastifyRequest, reply: FastifyReply): Promise<object> {
    reply.header('cache-control', 'private, no-store')
    return showConsumer(this.#parts, this.#consumerOf(request), request)
  }

  async put(request: FastifyRequest, reply: FastifyReply): Promise<object> {
    const { clock, reader, sources, consumers } = this.#parts
    const name = consumerName(request)
    const definition = parseDefinition(name, await bodyOf(request), request.prefix)
    // A source that the caller may not read is refused before the consumer is created.
    const { address, request: read } = liveQueryOfSource(this.#parts, request, definition.source)
    await checkReadable(this.#parts, request.principal, address)
    await checkScopeFor(this.#parts, request.principal, address, true)
    const { lower } = parseBounds({ from: definition.from }, clock.now())
    const start = async () => {
      const source = await reader.visible.toFollow(address, read.viewer)
      await checkNamedLog(this.#parts, request, source, { lower, upper: undefined })
      return (await sources.resolve(source, { ...read, lower })).first - 1
    }
    const { consumer, made: created } = await consumers.define({ ...definition, ...ownerOf(request) }, start)
    if (!created) await checkConsumer(this.#parts, request.principal, consumer, true)
    reply.code(created ? 201 : 200)
    if (created) reply.header('location', consumerLinks(name, request.prefix).self)
    return showConsumer(this.#parts, consumer, request)
  }

  async remove(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    await this.#parts.consumers.remove(this.#consumerOf(request).name)
    return reply.code(204).send()
  }

  /** Returns the source and the query of a live read for a consumer. */
  liveTarget(request: FastifyRequest): LiveTarget {
    return targetOfConsumer(this.#consumerOf(request), request.query as ConsumerQuery)
  }

  async read(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const consumer = this.#consumerOf(request)
    const query = request.query as ConsumerQuery
    const format = readFormat(request.headers, query.format, query.live)
    reply.header('vary', 'Accept, Accept-Encoding, Prefer')
    if (format === 'page') {
      this.#live.origins.check(request, 'read for a consumer')
      checkNoLastEventId(query)
      return answerPage(this.#parts, this.#answers, consumer, reply)
    }
    const target = targetOfConsumer(consumer, format === 'ndjson' ? { live: false, ...query } : query)
    return this.#live.answer(request, reply, target, format)
  }

  async acknowledge(request: FastifyRequest): Promise<object> {
    const consumer = this.#consumerOf(request)
    const { cursor, generation } = parseAcknowledgement(await bodyOf(request))
    const { address } = parseSource(consumer.definition.source)
    await checkReadable(this.#parts, request.principal, address)
    const source = await this.#parts.reader.visible.toFollow(address, this.#parts.rules.viewerOf(request.principal))
    const done = parseCursor('cursor', String(cursor))
    await checkNamedLog(this.#parts, request, source, readUpTo(done))
    await consumer.acknowledge(done, generation, source.head)
    return { cursor: String(consumer.cursor), generation: consumer.generation }
  }

  async reset(request: FastifyRequest): Promise<object> {
    const consumer = this.#consumerOf(request)
    const { to } = parseReset(await bodyOf(request))
    await consumer.reset(await resetCursor(this.#parts, request, consumer, String(to)))
    return showConsumer(this.#parts, consumer, request)
  }
}

/**
 * Returns the new position of a consumer after a reset; its events follow after this cursor.
 * @throws `bad-cursor`, `cursor-beyond-head`, `log-changed`
 */
async function resetCursor(
  parts: ConsumerRouteParts,
  request: FastifyRequest,
  consumer: Consumer,
  to: string
): Promise<number> {
  const isCursor = /^(-1|\d+)$/.test(to)
  const { lower } = parseBounds(isCursor ? { after: to } : { from: to }, parts.clock.now())
  const { address } = parseSource(consumer.definition.source)
  await checkReadable(parts, request.principal, address)
  const source = await parts.reader.visible.toFollow(address, parts.rules.viewerOf(request.principal))
  await checkNamedLog(parts, request, source, { lower, upper: undefined })
  const { first } = await parts.sources.resolve(source, { lower, upper: undefined, order: 'asc' })
  return first - 1
}

function liveQueryOfSource(parts: ConsumerRouteParts, request: FastifyRequest, text: string) {
  const { address, query } = parseSource(text)
  return liveQueryOf(address, query, readContextOf(parts, request))
}

/** Returns the owner of a new consumer: the account of the caller; none without an account. */
function ownerOf({ principal }: FastifyRequest): Pick<ConsumerDefinition, 'owner' | 'ownerSince'> {
  const { by, login, since } = principal
  return by === 'insecure' || login === undefined ? {} : { owner: login, ownerSince: since }
}

/** Responds with the page after a consumer's position, and does not move the position. @throws `consumer-in-use` */
async function answerPage(
  parts: ConsumerRouteParts,
  answers: Answers,
  consumer: Consumer,
  reply: FastifyReply
): Promise<FastifyReply> {
  const { request } = reply
  const { reader, sources, metrics } = parts
  const pageQuery = request.query as ConsumerQuery
  const { address, query } = parseSource(consumer.definition.source)
  await checkReadable(parts, request.principal, address)
  // A takeover by a page ends the other connection. A page needs no attachment of its own.
  if (pageQuery.takeover) (await consumer.attach(true)).release()
  consumer.checkFree()
  const asRead = {
    ...toReadRequest(query, readContextOf(parts, request)),
    gone: new ClientGone(request, parts.clock)
  }
  const pageOf = async (limit: number, memory?: ReadMemory) => {
    const source = await reader.visible.toFollow(address, asRead.viewer)
    // The position may be after the head, if the caller may see no event of an index stream any more.
    const value = Math.min(consumer.cursor, source.head)
    const read = { ...asRead, lower: { kind: 'cursor', value, included: false } as const }
    return { source, page: await reader.page(source, read, await sources.resolve(source, read), limit, memory) }
  }
  const seconds = secondsToWait(pageQuery, request)
  if (seconds > 0) {
    confirmWait(request, reply, seconds)
    const liveQuery = liveQueryOfSource(parts, request, consumer.definition.source)
    const isEmpty = async () => {
      const { page } = await pageOf(1)
      return page.events.length === 0 && reachesEnd(page)
    }
    await awaitEvents(parts, { request, seconds, liveQuery, isEmpty })
  }
  // Access rules may have changed while the request waited.
  if (seconds > 0) await checkReadable(parts, request.principal, address)
  return answers.reading(request, async (memory) => {
    const { source, page } = await pageOf(limitOf(pageQuery), memory)
    consumer.sendsAgain(consumer.cursor)
    const { redelivery } = consumer
    consumer.touch()
    metrics.read(page.events.length)
    const { name, generation } = consumer
    const links = { ...consumerLinks(name, request.prefix), self: request.prefix + request.url }
    const text = renderPage(source, query, { ...page, redelivery }, links, hasFilter(query))
    consumer.recordSent(page.covered.last)
    reply.header('cache-control', 'private, no-store').header('content-type', mediaTypes.page)
    reply.header('daybook-head', source.head).header('daybook-log', parts.log.id)
    reply.header('daybook-generation', generation)
    const start = Buffer.from(`{"consumer":${JSON.stringify({ name, generation })},`)
    return answers.send(reply, Buffer.concat([start, Buffer.from(text.slice(1), 'latin1')]), memory)
  })
}
