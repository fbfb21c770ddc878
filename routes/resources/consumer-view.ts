/** Representations of consumers and live subscriptions: position, lag, reason for a standstill (native contract §7). */
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

/** The parts of the store that representations use. Read per request: the store may still be opening. */
export interface ConsumerViewParts extends Pick<RightsParts, 'rules'> {
  readonly reader: Reader
  readonly clock: Clock
  readonly places: Pick<Places, 'failure'>
}

/** The parts of the store that the lag metrics use. Read when metrics are collected. */
export interface ConsumerLagParts extends Pick<ConsumerViewParts, 'reader' | 'clock'> {
  /** `open` if the server accepts reads and appends. */
  readonly status: string
  readonly consumers: Consumers
}

/** Returns the addresses of a consumer. @param prefix the path under which a proxy publishes this server */
export function consumerLinks(name: string, prefix: string) {
  const self = `${prefix}/consumers/${encodeURIComponent(name)}`
  return { self, events: `${self}/events`, ack: `${self}/ack`, reset: `${self}/reset` }
}

/** Returns the representation of a live subscription. */
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
    // The lag fails only for a subscription that is ending, which reports its own error.
    lag: await subscription.lag().catch(() => NO_LAG)
  }
}

const NO_LAG = { events: 0, seconds: 0 }

/** Returns coded errors as values: a source that cannot be read (a deleted stream) must not fail the request. */
function asKnownError(error: Error): DaybookError {
  if (isDaybookError(error)) return error
  throw error
}

/**
 * Returns the lag of a consumer, counting only events that the caller may read. Operators get the full lag.
 * @throws `not-permitted`, `sign-in-required` for a stream that the caller may not read; the errors of lagOf
 */
async function lagFor(parts: ConsumerViewParts, principal: Principal, { cursor, definition }: Consumer): Promise<Lag> {
  const { address } = parseSource(definition.source)
  if (isOperator(principal)) return lagOf(parts, { address, viewer: undefined }, cursor)
  const { stream, index } = address
  if (stream !== undefined && index === undefined) await parts.rules.check(principal, 'read', stream)
  return lagOf(parts, { address, viewer: parts.rules.viewerOf(principal) }, cursor)
}

/**
 * Returns the representation of a consumer: its definition, position, lag and connection.
 * @param request the request of the caller, whose rights limit the lag that is shown
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

/** The latest time that a Date can represent, in milliseconds since the Unix epoch. */
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
  if (subscription === undefined) return 'no connection reads for this consumer'
  const { standsStill, inFlight, done } = subscription.machine
  const allWasSent = inFlight > 0 && done >= cursor + lag
  switch (allWasSent ? 'acknowledgement' : standsStill) {
    case 'acknowledgement':
      return `${inFlight} events are not acknowledged`
    case 'credit':
      return 'its client has granted no more credit'
    case 'connection':
      return 'its client accepts no data'
    default:
      return undefined
  }
}

/** Returns the lag of every consumer for the metrics. @param value selects the number to report from a lag */
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
