/** How consumers and live readers are shown: their place, their lag, and why they do not move (native contract §7). */
import type { FastifyRequest } from 'fastify'
import type { ConsumerShown, LastConnection, LiveSubscription } from '../../schemas/consumers.js'
import { isOperator, type Principal } from '../../src/access/permissions.js'
import type { Consumer } from '../../src/consumers/consumer.js'
import type { Consumers } from '../../src/consumers/consumers.js'
import type { Places } from '../../src/dispatch/places.js'
import { type DaybookError, isDaybookError } from '../../src/errors.js'
import type { MovedPlace } from '../../src/log/format.js'
import type { Reader } from '../../src/reading/reader.js'
import type { EndedConnection } from '../../src/subscriptions/connection.js'
import { type Lag, lagOf } from '../../src/subscriptions/lag.js'
import type { Subscription } from '../../src/subscriptions/subscription.js'
import type { Clock } from '../../src/time/clock.js'
import { secondsOf } from '../../src/time/duration.js'
import type { RightsParts } from '../auth/caller-rights.js'
import { parseSource } from '../wire/writing/consumer-body.js'

/** What a view of a consumer is made from; read when a request is there. */
export interface ConsumerViewParts extends Pick<RightsParts, 'rules'> {
  readonly reader: Reader
  readonly clock: Clock
  readonly places: Pick<Places, 'failure'>
}

/** What the lags of all consumers are computed from; read when metrics are collected. */
export interface ConsumerLagParts extends Pick<ConsumerViewParts, 'reader' | 'clock'> {
  /** `open` when reads and appends are served. */
  readonly status: string
  readonly consumers: Consumers
}

/** The addresses of a consumer. @param prefix the path under which a proxy shows this server */
export function consumerLinks(name: string, prefix: string) {
  const self = `${prefix}/consumers/${encodeURIComponent(name)}`
  return { self, events: `${self}/events`, ack: `${self}/ack`, reset: `${self}/reset` }
}

/** A live reader. */
export async function showSubscription(subscription: Subscription): Promise<LiveSubscription> {
  const { id, connection, query, since, machine } = subscription
  const { status, done, sent, buffered, inFlight, standsStill } = machine
  const { transport, client } = connection
  return {
    id,
    transport,
    client,
    source: query.source,
    since: new Date(since).toISOString(),
    status,
    cursor: String(done),
    sent,
    buffered,
    inFlight,
    ...(standsStill !== undefined && { standsStill }),
    // The lag fails only for a subscription that is ending; that has its own error.
    lag: await subscription.lag().catch(() => NO_LAG)
  }
}

const NO_LAG = { events: 0, seconds: 0 }

/** A source that cannot be read any more (a stream that was deleted for ever) is no fault of the caller. */
function asKnownError(error: Error): DaybookError {
  if (isDaybookError(error)) return error
  throw error
}

/**
 * The lag of a consumer as a caller may know it. To operators it is told as it is, since they run the server.
 * @throws `not-permitted`, `sign-in-required` for a stream that the caller may not read, and as lagOf
 */
async function lagFor(parts: ConsumerViewParts, principal: Principal, { cursor, definition }: Consumer): Promise<Lag> {
  const { address } = parseSource(definition.source)
  if (isOperator(principal)) return lagOf(parts, { address, viewer: undefined }, cursor)
  const { stream, index } = address
  if (stream !== undefined && index === undefined) await parts.rules.check(principal, 'read', stream)
  return lagOf(parts, { address, viewer: parts.rules.viewerOf(principal) }, cursor)
}

/**
 * A consumer, its place and lag, and the connection that reads for it.
 * @param request of the caller, who is told of the source what it may know
 */
export async function showConsumer(
  parts: ConsumerViewParts,
  consumer: Consumer,
  { principal, prefix }: Pick<FastifyRequest, 'principal' | 'prefix'>
): Promise<ConsumerShown> {
  const { name, cursor, generation, definition, subscription, active, age } = consumer
  const { source, from, settings, owner } = definition
  const { moved, lastConnection } = consumer
  const lag = await lagFor(parts, principal, consumer).catch(asKnownError)
  const standsStill = isDaybookError(lag) ? lag.message : whyItStandsStill(parts, consumer, lag.events)
  return {
    name,
    ...(owner !== undefined && { owner }),
    source,
    from,
    state: subscription === undefined ? (age === 'fresh' ? 'idle' : 'expired') : 'connected',
    cursor: String(cursor),
    generation,
    lag: isDaybookError(lag) ? NO_LAG : lag,
    active: new Date(active).toISOString(),
    ...(settings.expiresAfter !== undefined && { removedAt: removedAt(active, settings.expiresAfter) }),
    ...(standsStill !== undefined && { standsStill }),
    ...(moved !== undefined && { moved: showMoved(moved) }),
    settings,
    ...(subscription && { connection: await showSubscription(subscription) }),
    ...(lastConnection && { lastConnection: showEnded(lastConnection) }),
    links: consumerLinks(name, prefix)
  }
}

function showEnded({ transport, client, since, ended, code, detail }: EndedConnection): LastConnection {
  return {
    transport,
    client,
    since: new Date(since).toISOString(),
    ended: new Date(ended).toISOString(),
    ...(code === undefined ? { by: 'client' } : { by: 'server', code }),
    detail
  }
}

function showMoved({ from, to, reason, at }: MovedPlace) {
  return { from: String(from), to: String(to), reason, at: new Date(at).toISOString() }
}

/** The last instant that a date can hold, ms. */
const LAST_INSTANT = 8.64e15

function removedAt(active: number, expiresAfter: string): string {
  return new Date(Math.min(active + 2000 * Number(secondsOf(expiresAfter)), LAST_INSTANT)).toISOString()
}

function whyItStandsStill(
  parts: ConsumerViewParts,
  { subscription, cursor }: Consumer,
  lag: number
): string | undefined {
  const failure = parts.places.failure
  if (failure !== undefined) return `checkpoints cannot be written: ${failure.message}`
  if (lag === 0) return undefined
  if (subscription === undefined) return 'nobody reads for it'
  const { standsStill, inFlight, done } = subscription.machine
  const allWasSent = inFlight > 0 && done >= cursor + lag
  switch (allWasSent ? 'acknowledgement' : standsStill) {
    case 'acknowledgement':
      return `${inFlight} events wait to be acknowledged`
    case 'credit':
      return 'its reader granted no more credit'
    case 'connection':
      return 'its connection takes nothing'
    default:
      return undefined
  }
}

/** The lag of every consumer, for the metrics. @param value the number to take of a lag */
export async function lagRows(parts: ConsumerLagParts, value: (lag: { events: number; seconds: number }) => number) {
  const rows: [string, number][] = []
  if (parts.status !== 'open') return rows
  for (const { name, cursor, definition } of parts.consumers.all()) {
    const { address } = parseSource(definition.source)
    const lag = await lagOf(parts, { address, viewer: undefined }, cursor).catch(() => undefined)
    if (lag !== undefined) rows.push([name, value(lag)])
  }
  return rows
}
