/** Planning a live read: every refusal comes from here, before the connection is accepted. */
import type { FastifyRequest } from 'fastify'
import type { Subscribed } from '../../schemas/frames.js'
import type { ConsumerQuery, ReadQuery } from '../../schemas/read.js'
import type { Consumer } from '../../src/consumers/consumer.js'
import type { ConsumerAttachment } from '../../src/consumers/consumer-attachment.js'
import type { Consumers } from '../../src/consumers/consumers.js'
import { DaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import type { Bound } from '../../src/reading/event-read.js'
import type { Reader } from '../../src/reading/reader.js'
import type { Source } from '../../src/reading/source.js'
import type { Address, Sources } from '../../src/reading/sources.js'
import type { LiveQuery } from '../../src/subscriptions/live-query.js'
import type { SubscriptionOptions } from '../../src/subscriptions/subscription.js'
import { type ContextParts, checkConsumer, checkReadable, readContextOf, rightOf } from '../auth/caller-rights.js'
import type { Origins } from '../http/same-origin.js'
import { awaitPosition, type WaitParts } from '../reading/long-poll.js'
import { checkNamedLog } from '../reading/named-log.js'
import { parseBounds } from '../wire/reading/cursor-bounds.js'
import { checkNoRecord, liveQueryOf } from '../wire/reading/read-request.js'
import { parseSource } from '../wire/writing/consumer-body.js'

/** What live reads are made of. */
export interface LiveParts extends ContextParts, WaitParts {
  readonly reader: Reader
  readonly sources: Sources
  readonly consumers: Consumers
}

/** What a request asks to read live. */
export interface LiveAsked {
  readonly address: Address
  readonly query: ReadQuery
}

/** Who asks, and what counts beside the query. */
export interface LiveCaller {
  /** The request whose account, origin and connection these are. */
  readonly request: FastifyRequest
  /** Those of the live read itself: they may name the log of its cursors, and say how long to wait. */
  readonly headers: FastifyRequest['headers']
  /** The client can grant more credit. */
  readonly grants: boolean
}

/** A live read that was accepted. */
export interface LivePlan {
  readonly query: ReadQuery
  readonly liveQuery: LiveQuery
  readonly options: SubscriptionOptions
  /** Last number or position of the source, -1 when there is none. */
  readonly head: number
  readonly attachment: ConsumerAttachment | undefined
  /** What the reader is told first of all, the same on every transport. */
  readonly subscribed: Subscribed
}

/**
 * Checks everything that can be refused, then attaches to the consumer that is named.
 * @param origins whose pages may read for a consumer
 * @param resumed where an event stream goes on that broke
 * @throws `origin-refused`, the refusals of toReadRequest, Reader.resolve and checkNamedLog, `stream-deleted`, `not-there-yet`, `overloaded`,
 * `consumer-not-found`, `consumer-in-use`
 */
export async function planLive(
  { parts, origins }: { readonly parts: LiveParts; readonly origins: Origins },
  { request, headers, grants }: LiveCaller,
  { address, query }: LiveAsked,
  resumed?: Bound | undefined
): Promise<LivePlan> {
  const { clock, sources } = parts
  if (query.order === 'desc') {
    throw new DaybookError('bad-parameter', '"order=desc" has an end; a live read has none.', { parameter: 'order' })
  }
  checkNoRecord(query)
  await checkReadable(parts, request.principal, address)
  const liveQuery = liveQueryOf(address, query, readContextOf(parts, request))
  const { lower, upper, cursor } = parseBounds(query, clock.now())
  const consumer = consumerOf(parts, query, liveQuery)
  if (consumer !== undefined) await checkConsumer(parts, request.principal, consumer, false)
  // Reading for a consumer moves its place.
  if (consumer !== undefined) origins.check(request, 'read for a consumer')
  parts.subscriptions.checkRoom()
  parts.tails.checkRoom(liveQuery)
  await awaitPosition(parts, query, request, headers)
  if (query.atLeast !== undefined) await checkReadable(parts, request.principal, address)
  const source = await parts.reader.visible.toFollow(address, liveQuery.request.viewer)
  const place: Bound | undefined = consumer && { kind: 'cursor', value: consumer.cursor, included: false }
  const begin = place ?? resumed ?? lower
  // The place of a consumer counts, also when its source shows nothing to its reader any more.
  const from = place === undefined ? begin : undefined
  // One that goes on where it broke is past the cursor of its address.
  const asked = { lower: from, cursor: begin === lower ? cursor : undefined, order: 'asc' } as const
  await checkNamedLog(parts, { headers, query }, source, { ...asked, upper })
  const { first } = await sources.resolve(source, { ...asked, upper: undefined })
  const attachment = await consumer?.attach(query.takeover ?? false)
  const last = query.live === false ? source.head : Infinity
  const options: SubscriptionOptions = {
    right: rightOf(parts, request.principal, address),
    next: attachment === undefined ? first : attachment.start + 1,
    ...endOf(upper, last),
    limit: query.limit,
    credit: grants ? query.credit : undefined,
    statistics: query.statistics,
    checkpointEvery: query.checkpointEvery,
    heartbeat: query.heartbeat ?? limits.heartbeat_seconds_default,
    ...(consumer && paceOf(consumer))
  }
  const subscribed = { ...beginning(source, options.next), log: parts.log.id, consumer: attachment?.named }
  return { query, liveQuery, options, head: source.head, attachment, subscribed }
}

/** A live read of what a consumer reads, under its name. */
export function askedAs({ name, definition }: Consumer, query: ConsumerQuery): LiveAsked {
  const { address, query: filters } = parseSource(definition.source)
  return { address, query: { ...filters, ...query, consumer: name } }
}

/** Where a live read begins, as its client is told. @param next the first cursor to consider */
function beginning({ stream, head }: Source, next: number) {
  return { stream, from: String(next), cursor: String(next - 1), head: head < 0 ? null : head }
}

/** How far a consumer lets its reader run ahead. */
function paceOf({ definition: { settings } }: Consumer) {
  return { window: settings.bufferSize, liveBuffer: settings.liveBufferSize, readBatch: settings.readBatchSize }
}

/** The consumer that a live read names. @throws `consumer-not-found`, `consumer-exists`, `bad-parameter` */
function consumerOf(
  { consumers }: LiveParts,
  { consumer, from, after, cursor, takeover }: ReadQuery,
  { source }: LiveQuery
): Consumer | undefined {
  if (consumer === undefined) {
    if (takeover === undefined) return undefined
    throw new DaybookError('bad-parameter', '"takeover" goes with "consumer".', { parameter: 'takeover' })
  }
  const found = consumers.get(consumer)
  if (found.definition.source !== source) {
    throw new DaybookError('consumer-exists', `"${consumer}" reads ${found.definition.source}, not ${source}.`, {
      consumer,
      differs: ['source']
    })
  }
  const [parameter] = Object.entries({ from, after, cursor }).find(([, value]) => value !== undefined) ?? []
  if (parameter === undefined) return found
  throw new DaybookError('bad-parameter', `A consumer goes on from its own place: leave "${parameter}" out.`, {
    parameter
  })
}

/** Where a live read ends. @param last the cursor where it does anyway */
function endOf(upper: Bound | undefined, last: number): { last?: number; until?: number } {
  if (upper?.kind === 'instant') return { last, until: upper.included ? upper.value : upper.value - 1 }
  if (upper?.kind === 'cursor') return { last: Math.min(last, upper.included ? upper.value : upper.value - 1) }
  return { last }
}
