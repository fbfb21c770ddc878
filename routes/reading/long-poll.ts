/** Reads that wait: until the log has reached a position, or until there is an event (native contract §2). */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { DaybookError, isDaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import type { Log } from '../../src/log/log.js'
import type { Span } from '../../src/reading/event-read.js'
import type { LiveQuery } from '../../src/subscriptions/live-query.js'
import type { Subscriptions } from '../../src/subscriptions/subscriptions.js'
import type { TailListener } from '../../src/subscriptions/tail.js'
import type { Tails } from '../../src/subscriptions/tails.js'
import type { Clock } from '../../src/time/clock.js'
import { onceGone } from '../http/connections/client-gone.js'
import { leaveFlight } from '../http/load/requests-in-flight.js'

const PREFERRED = /(?:^|[,\s])wait=(\d{1,4})/

/** What waits use of the store. */
export interface WaitParts {
  readonly log: Log
  readonly tails: Tails
  readonly subscriptions: Subscriptions
  readonly clock: Clock
}

interface WaitQuery {
  readonly atLeast?: number | undefined
  readonly wait?: number | undefined
}

/** Says in the answer that `Prefer: wait=` is followed. */
export function confirmWait({ headers }: FastifyRequest, reply: FastifyReply, seconds: number): void {
  if (PREFERRED.test(String(headers.prefer ?? ''))) reply.header('preference-applied', `wait=${seconds}`)
}

/** How long a request is ready to wait, seconds: `wait`, or `Prefer: wait=`. */
export function secondsToWait({ wait }: WaitQuery, { headers }: Pick<FastifyRequest, 'headers'>): number {
  const preferred = PREFERRED.exec(String(headers.prefer ?? ''))?.[1]
  return Math.min(wait ?? Number(preferred ?? 0), limits.wait_seconds_max)
}

/**
 * Waits until the log has reached `atLeast`.
 * @param headers may say how long
 * @throws `not-there-yet` when it did not in time
 */
export async function awaitPosition(
  parts: WaitParts,
  query: WaitQuery,
  request: FastifyRequest,
  headers = request.headers
): Promise<void> {
  const { log } = parts
  if (query.atLeast === undefined || query.atLeast <= log.announced) return
  const seconds = secondsToWait(query, { headers })
  if (seconds > 0) await untilReached(parts, request, query.atLeast, seconds)
  if (query.atLeast <= log.announced) return
  throw new DaybookError('not-there-yet', `The log is at ${log.head}, not yet at ${query.atLeast}.`, {
    head: log.head === -1 ? null : log.head,
    atLeast: query.atLeast,
    retry: true
  })
}

/** Waits until a position can be read, or as long as `until` says. */
export async function untilReached(
  parts: WaitParts,
  request: FastifyRequest,
  position: number,
  seconds: number
): Promise<void> {
  if (position <= parts.log.announced) return
  const { promise, cancel } = parts.log.reached(position)
  await until(parts, request, seconds, promise)
  cancel()
}

/** A read that waits for more, and what ends its wait. */
export interface LongPoll {
  readonly request: FastifyRequest
  readonly seconds: number
  /** What is read. */
  readonly liveQuery: LiveQuery
  /** Reads, and says whether there is nothing to answer with yet. */
  readonly isEmpty: () => Promise<boolean>
  /** True when what was committed ends the wait; usually an event that is shown to the reader. */
  readonly endsWith?: (page: Span) => boolean
  /** Wait to the end also for a stream that ends meanwhile, or for a list that is not kept. */
  readonly patient?: boolean
}

/**
 * When a read finds nothing, waits until there may be something. Commits that do not concern what is read cost nothing.
 * @throws as Tails.follow, unless it is patient
 */
export async function awaitEvents(parts: WaitParts, poll: LongPoll): Promise<void> {
  const { request, seconds, liveQuery, isEmpty, endsWith = bringsEvents, patient = false } = poll
  if (!(await isEmpty())) return
  let found = () => {}
  const event = new Promise<void>((resolve) => {
    found = resolve
  })
  let leave = () => {}
  const failed = () => {
    leave() // a tail that has failed is left, so that the next who follows gets a new one
    if (patient) isEmpty().then((empty) => empty || found(), found)
    else found()
  }
  leave = await follow(parts, liveQuery, { offered: (page) => endsWith(page) && found(), failed }, patient)
  try {
    // What was committed before it followed is not offered.
    if (await isEmpty()) await until(parts, request, seconds, event)
  } finally {
    leave()
  }
}

function bringsEvents({ events }: Span): boolean {
  return events.length > 0
}

/** @returns what ends it */
async function follow(
  { tails }: WaitParts,
  liveQuery: LiveQuery,
  listener: TailListener,
  patient: boolean
): Promise<() => void> {
  try {
    return (await tails.follow(liveQuery, listener)).leave
  } catch (error) {
    if (patient && isDaybookError(error) && NOT_FOLLOWED.has(error.code)) return () => {}
    throw error
  }
}

/** Why nothing can come. */
const NOT_FOLLOWED = new Set<string>(['stream-deleted', 'index-switched-off'])

/** Resolves when something happened, when the time is over, when the client has gone, or when the server stops. */
async function until(
  parts: WaitParts,
  request: FastifyRequest,
  seconds: number,
  happened: Promise<void>
): Promise<void> {
  const { ending } = parts.subscriptions
  const { socket } = request.raw
  if (ending.aborted || socket.destroyed) return
  let end = () => {}
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })
  const flight = leaveFlight(request)
  const cancel = parts.clock.after(seconds * 1000, end)
  const stop = onceGone(socket, parts.clock, end)
  ending.addEventListener('abort', end)
  await Promise.race([happened, ended])
  if (!socket.destroyed) flight?.add(request)
  cancel()
  stop()
  ending.removeEventListener('abort', end)
}
