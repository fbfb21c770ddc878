/** Reads that wait: until the log has reached a position, or until there is an event (native contract §2). */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { DaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import type { Log } from '../../src/log/log.js'
import type { LiveQuery } from '../../src/subscriptions/live-query.js'
import type { Subscriptions } from '../../src/subscriptions/subscriptions.js'
import type { Tails } from '../../src/subscriptions/tails.js'
import type { Clock } from '../../src/time/clock.js'

const PREFERRED = /(?:^|[,\s])wait=(\d{1,4})/

/** What waits rest on. */
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

/** How long a request is ready to wait, seconds: `wait`, or `Prefer: wait=`. */
export function secondsToWait({ wait }: WaitQuery, { headers }: Pick<FastifyRequest, 'headers'>): number {
  const preferred = PREFERRED.exec(String(headers.prefer ?? ''))?.[1]
  return Math.min(wait ?? Number(preferred ?? 0), limits.wait_seconds_max)
}

/** Waits until the log has reached `atLeast`. @throws `not-there-yet` when it did not in time */
export async function awaitPosition(parts: WaitParts, query: WaitQuery, request: FastifyRequest): Promise<void> {
  const { log } = parts
  if (query.atLeast === undefined || query.atLeast <= log.announced) return
  const seconds = secondsToWait(query, request)
  if (seconds > 0) {
    const { promise, cancel } = log.reached(query.atLeast)
    await until(parts, request, seconds, promise)
    cancel()
  }
  if (query.atLeast <= log.announced) return
  throw new DaybookError('not-there-yet', `The log is at ${log.head}, not yet at ${query.atLeast}.`, {
    head: log.head === -1 ? null : log.head,
    atLeast: query.atLeast,
    retry: true
  })
}

/**
 * When a read finds nothing, waits until there may be something.
 * @param liveQuery what is read
 * @param isEmpty reads, and says whether it found nothing
 */
export async function awaitEvents(
  parts: WaitParts,
  request: FastifyRequest,
  reply: FastifyReply,
  liveQuery: LiveQuery,
  seconds: number,
  isEmpty: () => Promise<boolean>
): Promise<void> {
  if (PREFERRED.test(String(request.headers.prefer ?? ''))) reply.header('preference-applied', `wait=${seconds}`)
  if (!(await isEmpty())) return
  let found = () => {}
  const event = new Promise<void>((resolve) => {
    found = resolve
  })
  const { leave } = await parts.tails.follow(liveQuery, {
    offered: ({ events }) => events.length > 0 && found(),
    failed: () => found()
  })
  try {
    // What was committed before it followed is not offered.
    if (await isEmpty()) await until(parts, request, seconds, event)
  } finally {
    leave()
  }
}

/** Resolves when something happened, when the time is over, when the client has gone, or when the server stops. */
async function until(
  parts: WaitParts,
  request: FastifyRequest,
  seconds: number,
  happened: Promise<void>
): Promise<void> {
  const { ending } = parts.subscriptions
  if (ending.aborted) return
  const { socket } = request.raw
  let end = () => {}
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })
  const cancel = parts.clock.after(seconds * 1000, end)
  socket.once('close', end)
  ending.addEventListener('abort', end)
  await Promise.race([happened, ended])
  cancel()
  socket.off('close', end)
  ending.removeEventListener('abort', end)
}
