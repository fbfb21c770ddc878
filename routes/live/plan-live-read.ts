/** Plans a live read. All refusals happen here, before the connection is accepted. */
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

/** The parts of the store that live reads use. */
export interface LiveParts extends ContextParts, WaitParts {
  readonly reader: Reader
  readonly sources: Sources
  readonly consumers: Consumers
}

/** The source and the query of a live read. */
export interface LiveTarget {
  readonly address: Address
  readonly query: ReadQuery
}

/** The caller of a live read. */
export interface LiveCaller {
  /** The request with the account, the origin and the connection of the caller. */
  readonly request: FastifyRequest
  /** Headers of the live read itself (`Daybook-Log`, `Prefer: wait`); empty for a `subscribe` frame. */
  readonly headers: FastifyRequest['headers']
  /** Whether the client can send `credit` frames. */
  readonly grants: boolean
}

/** An accepted live read. */
export interface LivePlan {
  readonly query: ReadQuery
  readonly liveQuery: LiveQuery
  readonly options: SubscriptionOptions
  /** Last number or position of the source; -1 if it is empty. */
  readonly head: number
  readonly attachment: ConsumerAttachment | undefined
  /** The first message to the client, the same on every transport. */
  readonly subscribed: Subscribed
}

/**
 * Returns the plan of a live read: makes all checks, then attaches to the consumer, if there is one.
 * @param origins origins whose web pages may read for a consumer
 * @param resumed where a broken live read resumes
 * @throws `origin-refused`, `stream-deleted`, `not-there-yet`, `overloaded`, `consumer-not-found`, `consumer-exists`,
 *   `consumer-in-use`, and the errors of toReadRequest, Sources.resolve and checkNamedLog
 */
export async function planLive(
  { parts, origins }: { readonly parts: LiveParts; readonly origins: Origins },
  { request, headers, grants }: LiveCaller,
  { address, query }: LiveTarget,
  resumed?: Bound | undefined
): Promise<LivePlan> {
  const { clock, sources } = parts
  if (query.order === 'desc') {
    throw new DaybookError('bad-parameter', 'A live read has no end, so "order=desc" is not allowed.', {
      parameter: 'order'
    })
  }
  checkNoRecord(query)
  await checkReadable(parts, request.principal, address)
  const liveQuery = liveQueryOf(address, query, readContextOf(parts, request))
  const { lower, upper, cursor } = parseBounds(query, clock.now())
  const consumer = consumerOf(parts, query, liveQuery)
  if (consumer !== undefined) await checkConsumer(parts, request.principal, consumer, false)
  // Reading for a consumer changes its state, so it is checked like a write.
  if (consumer !== undefined) origins.check(request, 'read for a consumer')
  parts.subscriptions.checkRoom()
  parts.tails.checkRoom(liveQuery)
  await awaitPosition(parts, query, request, headers)
  if (query.atLeast !== undefined) await checkReadable(parts, request.principal, address)
  const source = await parts.reader.visible.toFollow(address, liveQuery.request.viewer)
  const position: Bound | undefined = consumer && { kind: 'cursor', value: consumer.cursor, included: false }
  const begin = position ?? resumed ?? lower
  // The position of a consumer is not resolved: it holds even if the caller may see no event of the source any more.
  const from = position === undefined ? begin : undefined
  // The cursor in the address counts only if the read is not resumed from Last-Event-ID, which is newer.
  const bounds = { lower: from, cursor: begin === lower ? cursor : undefined, order: 'asc' } as const
  await checkNamedLog(parts, { headers, query }, source, { ...bounds, upper })
  const { first } = await sources.resolve(source, { ...bounds, upper: undefined })
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

/** Returns the live read of a consumer's source, for this consumer. */
export function targetOfConsumer({ name, definition }: Consumer, query: ConsumerQuery): LiveTarget {
  const { address, query: filters } = parseSource(definition.source)
  return { address, query: { ...filters, ...query, consumer: name } }
}

/** The begin of a live read, for its first message. @param next the first cursor to read */
function beginning({ stream, head }: Source, next: number) {
  return { stream, from: String(next), cursor: String(next - 1), head: head < 0 ? null : head }
}

/** The flow-control settings of a consumer, as options of its subscription. */
function paceOf({ definition: { settings } }: Consumer) {
  return { window: settings.bufferSize, liveBuffer: settings.liveBufferSize, readBatch: settings.readBatchSize }
}

/** Returns the consumer of a live read. @throws `consumer-not-found`, `consumer-exists`, `bad-parameter` */
function consumerOf(
  { consumers }: LiveParts,
  { consumer, from, after, cursor, takeover }: ReadQuery,
  { source }: LiveQuery
): Consumer | undefined {
  if (consumer === undefined) {
    if (takeover === undefined) return undefined
    throw new DaybookError('bad-parameter', '"takeover" requires "consumer".', { parameter: 'takeover' })
  }
  const found = consumers.get(consumer)
  if (found.definition.source !== source) {
    throw new DaybookError(
      'consumer-exists',
      `The consumer "${consumer}" reads ${found.definition.source}, not ${source}.`,
      {
        consumer,
        differs: ['source']
      }
    )
  }
  const [parameter] = Object.entries({ from, after, cursor }).find(([, value]) => value !== undefined) ?? []
  if (parameter === undefined) return found
  throw new DaybookError('bad-parameter', `A consumer continues from its own position: leave "${parameter}" out.`, {
    parameter
  })
}

/** The end of a live read, from its upper bound. @param last the cursor at which it ends without a bound */
function endOf(upper: Bound | undefined, last: number): { last?: number; until?: number } {
  if (upper?.kind === 'instant') return { last, until: upper.included ? upper.value : upper.value - 1 }
  if (upper?.kind === 'cursor') return { last: Math.min(last, upper.included ? upper.value : upper.value - 1) }
  return { last }
}
