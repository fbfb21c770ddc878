/** How consumers and live readers are shown: where they stand, how far behind, and why (native contract §7). */
import type { LiveSubscription, Consumer as ShownConsumer } from '../../schemas/consumers.js'
import type { Consumer } from '../../src/consumers/consumer.js'
import { type DaybookError, isDaybookError } from '../../src/errors.js'
import type { MovedPlace } from '../../src/log/format.js'
import type { Store } from '../../src/store/store.js'
import { lagOf } from '../../src/subscriptions/lag.js'
import type { Subscription } from '../../src/subscriptions/subscription.js'
import { secondsOf } from '../../src/time/duration.js'
import { parseSource } from '../wire/writing/consumer-body.js'

/** The addresses of a consumer. */
export function linksOf(name: string) {
  const self = `/consumers/${encodeURIComponent(name)}`
  return { self, events: `${self}/events`, ack: `${self}/ack`, reset: `${self}/reset` }
}

/** Somebody who reads live. */
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
    // It is ending, then, and for its own reason.
    lag: await subscription.lag().catch(() => NO_LAG)
  }
}

const NO_LAG = { events: 0, seconds: 0 }

/** What cannot be read any more (a stream that was deleted for ever) is no fault of who asks. */
function refusalOf(error: Error): DaybookError {
  if (isDaybookError(error)) return error
  throw error
}

/** A consumer, how far it is, and who reads for it. */
export async function showConsumer(store: Store, consumer: Consumer): Promise<ShownConsumer> {
  const { name, cursor, generation, definition, subscription, active, age } = consumer
  const { source, from, settings, owner } = definition
  const { moved } = consumer
  const lag = await lagOf(store, parseSource(source), cursor).catch(refusalOf)
  const standsStill = isDaybookError(lag) ? lag.message : whyItStandsStill(store, consumer, lag.events)
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
    links: linksOf(name)
  }
}

function showMoved({ from, to, reason, at }: MovedPlace) {
  return { from: String(from), to: String(to), reason, at: new Date(at).toISOString() }
}

/** The last instant that a date can have, for what lasts longer. */
const LAST_INSTANT = 8.64e15

function removedAt(active: number, expiresAfter: string): string {
  return new Date(Math.min(active + 2000 * Number(secondsOf(expiresAfter)), LAST_INSTANT)).toISOString()
}

function whyItStandsStill(store: Store, { subscription, cursor }: Consumer, lag: number): string | undefined {
  const failure = store.places.failure
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

/** The lag of every consumer, for the metrics. @param value of a lag, what is counted */
export async function lags(store: Store, value: (lag: { events: number; seconds: number }) => number) {
  const rows: [string, number][] = []
  if (store.status !== 'open') return rows
  for (const { name, cursor, definition } of store.consumers.all()) {
    const lag = await lagOf(store, parseSource(definition.source), cursor).catch(() => undefined)
    if (lag !== undefined) rows.push([name, value(lag)])
  }
  return rows
}
