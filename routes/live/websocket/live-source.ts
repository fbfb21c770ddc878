/** Resolves the `source` of a `subscribe` frame: the address of a live read, with the checks of its route. */
import type { FastifyRequest } from 'fastify'
import { ConsumerQuery, EventsQuery, type ReadQuery, StreamQuery } from '../../../schemas/read.js'
import type { Consumer } from '../../../src/consumers/consumer.js'
import { DaybookError } from '../../../src/errors.js'
import type { Address } from '../../../src/reading/sources.js'
import { checkConsumer, checkIsReader, checkMayRead } from '../../auth/caller-rights.js'
import { refusedQuery } from '../../wire/problems/query-faults.js'
import { compileQuery } from '../../wire/problems/shape.js'
import { streamAddress } from '../../wire/reading/read-request.js'
import { parsedQuery } from '../../wire/writing/consumer-body.js'
import { normalizeLastEventId } from '../last-event-id.js'
import { type LiveParts, type LiveTarget, targetOfConsumer } from '../plan-live-read.js'

const PATHS = /^\/(?:(events)|streams\/([^/]+)|consumers\/([^/]+)\/events)$/
const checks = {
  log: compileQuery(EventsQuery),
  stream: compileQuery(StreamQuery),
  consumer: compileQuery(ConsumerQuery)
}

/**
 * Returns the live read of a source. Checks the caller's rights before the query, in the order of a route.
 * @param request the request of the socket, with the account and the path prefix
 * @param credit credit of the `subscribe` frame; overrides that of the query
 * @throws `not-found`, `bad-stream-name`, `sign-in-required`, `not-permitted`, `consumer-not-found`, `bad-parameter`,
 *   `unknown-parameter`
 */
export async function targetOfSource(
  parts: LiveParts,
  request: FastifyRequest,
  source: string,
  credit: number | undefined
): Promise<LiveTarget> {
  const { principal, prefix } = request
  const own = prefix !== '' && source.startsWith(`${prefix}/`) ? source.slice(prefix.length) : source
  const [path = '', text = ''] = own.split(/\?(.*)/s)
  const [, log, stream, name] = PATHS.exec(path) ?? []
  const query = parsedQuery(text)
  normalizeLastEventId({ query })
  if (name !== undefined) {
    const consumer = await consumerFor(parts, request, decodedSegment(name, path))
    return targetOfConsumer(consumer, checked(query, checks.consumer, credit))
  }
  if (log === undefined && stream === undefined) throw nothingAt(path)
  const address: Address = stream === undefined ? { stream: undefined } : streamAddress(decodedSegment(stream, path))
  await checkMayRead(parts, principal, address)
  return { address, query: checked(query, stream === undefined ? checks.log : checks.stream, credit) }
}

async function consumerFor(parts: LiveParts, { principal }: FastifyRequest, name: string): Promise<Consumer> {
  const consumer = parts.consumers.find(name)
  if (consumer === undefined) checkIsReader(parts, principal)
  else await checkConsumer(parts, principal, consumer, false)
  return parts.consumers.get(name)
}

function checked(query: object, check: ReturnType<typeof compileQuery>, credit: number | undefined): ReadQuery {
  if (!check(query)) throw refusedQuery(check.errors ?? [], 'source')
  return credit === undefined ? query : { ...query, credit }
}

function decodedSegment(segment: string, path: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    throw nothingAt(path)
  }
}

function nothingAt(path: string): DaybookError {
  return new DaybookError(
    'not-found',
    `There are no live reads at ${path.slice(0, 200)}: "source" must be /events, /streams/{stream} or /consumers/{name}/events, with its query.`
  )
}
