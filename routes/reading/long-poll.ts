/** Reads that wait for a position of the log, or for an event (native contract §2). */
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

/** The parts of the store that waiting reads use. */
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

/** Sets `Preference-Applied` if the request has `Prefer: wait=`. */
export function confirmWait({ headers }: FastifyRequest, reply: FastifyReply, seconds: number): void {
  if (PREFERRED.test(String(headers.prefer ?? ''))) reply.header('preference-applied', `wait=${seconds}`)
}

/** Returns the seconds that a request may wait: `wait`, or else `Prefer: wait=`; 0 without both. */
export function secondsToWait({ wait }: WaitQuery, { headers }: Pick<FastifyRequest, 'headers'>): number {
  const preferred = PREFERRED.exec(String(headers.prefer ?? ''))?.[1]
  return Math.min(wait ?? Number(preferred ?? 0), limits.wait_seconds_max)
}

/**
 * Waits until the log has reached `atLeast`, for at most the time that secondsToWait returns.
 * @param headers headers with `Prefer: wait=`, if it is not the request's own
 * @throws `not-there-yet` if the log does not reach it in time
 */
export async function awaitPosition(
  parts: WaitParts,
  query: WaitQuery,
  request: FastifyRequest,
  headers = request.headers
): Promise<void> {
  const { log } = parts
  if (query.atLeast === undefined || query.atLeast <= log.publishedHead) return
  const seconds = secondsToWait(query, { headers })
  if (seconds > 0) await untilReached(parts, request, query.atLeast, seconds)
  if (query.atLeast <= log.publishedHead) return
  throw new DaybookError(
    'not-there-yet',
    `The log has reached position ${log.publishedHead}, not yet ${query.atLeast}; retry, or send a longer "wait".`,
    {
      head: log.publishedHead === -1 ? null : log.publishedHead,
      atLeast: query.atLeast,
      retry: true
    }
  )
}

/** Waits until a position can be read, or until one of the events that end `until`. */
export async function untilReached(
  parts: WaitParts,
  request: FastifyRequest,
  position: number,
  seconds: number
): Promise<void> {
  if (position <= parts.log.publishedHead) return
  const { promise, cancel } = parts.log.reached(position)
  await until(parts, request, seconds, promise)
  cancel()
}

/** A read that waits for events, and the conditions that end its wait. */
export interface LongPoll {
  readonly request: FastifyRequest
  readonly seconds: number
  /** The source and the filter of the read. */
  readonly liveQuery: LiveQuery
  /** Reads, and returns true if there is no event to respond with yet. */
  readonly isEmpty: () => Promise<boolean>
  /** Returns true if a commit ends the wait. Default: if it contains an event that matches and is visible. */
  readonly endsWith?: (page: Span) => boolean
  /** Keeps waiting even if the stream is deleted meanwhile, or the index stream is switched off. */
  readonly patient?: boolean
}

/**
 * Waits until a read that finds no event may find one. Commits that do not affect its source cost nothing.
 * @throws as Tails.follow, unless the read is patient
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
    leave() // otherwise the next follower would get the failed tail again
    if (patient) isEmpty().then((empty) => empty || found(), found)
    else found()
  }
  leave = await follow(parts, liveQuery, { offered: (page) => endsWith(page) && found(), failed }, patient)
  try {
    // Events that were committed before `follow` are not offered to the listener.
    if (await isEmpty()) await until(parts, request, seconds, event)
  } finally {
    leave()
  }
}

function bringsEvents({ events }: Span): boolean {
  return events.length > 0
}

/** Follows a live query. @returns a function that ends it */
async function follow(
  { tails }: WaitParts,
  liveQuery: LiveQuery,
  listener: TailListener,
  patient: boolean
): Promise<() => void> {
  try {
    return (await tails.follow(liveQuery, listener)).leave
  } catch (error) {
    if (patient && isDaybookError(error) && WITHOUT_EVENTS.has(error.code)) return () => {}
    throw error
  }
}

/** Errors of sources that get no more events. */
const WITHOUT_EVENTS = new Set<string>(['stream-deleted', 'index-switched-off'])

/** Resolves when the promise resolves, the time is over, the client disconnects or the server stops. */
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
