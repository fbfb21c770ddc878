/** Consumers on the wire (native contract §7): bodies in, what they read, and how they are shown. */
import {
  Acknowledgement,
  type ConsumerDefinition as Asked,
  ConsumerDefinition as ConsumerDefinitionSchema,
  ConsumerReset
} from '../../../schemas/consumers.js'
import { EventsSource, type ReadQuery, StreamSource } from '../../../schemas/read.js'
import { CONSUMER_DEFAULTS, type ConsumerDefinition } from '../../../src/consumers/consumer-definition.js'
import { DaybookError } from '../../../src/errors.js'
import { limits } from '../../../src/limits.js'
import type { Address } from '../../../src/reading/sources.js'
import { secondsOf } from '../../../src/time/duration.js'
import { compileQuery, compileShape, explain } from '../problems/shape.js'
import { addressOf as writtenAddress } from '../reading/page.js'
import { addressOf, pathOf } from '../reading/read-request.js'
import { objectOf } from './body.js'

const checkDefinition = compileShape<Asked>(ConsumerDefinitionSchema)
const checkAcknowledgement = compileShape<Acknowledgement>(Acknowledgement)
const checkReset = compileShape<ConsumerReset>(ConsumerReset)
const sourceQueries = { log: compileQuery(EventsSource), stream: compileQuery(StreamSource) }

/** What a consumer reads. */
export interface ConsumerSource {
  readonly address: Address
  /** Its filters. */
  readonly query: ReadQuery
}

/** @throws `bad-parameter` */
export function checkConsumerName(name: string): string {
  const fits = name.length > 0 && name.length <= limits.consumer_name_chars_max
  if (fits && name.isWellFormed() && !/[\u0000-\u001f\u007f-\u009f]/.test(name)) return name
  throw new DaybookError(
    'bad-parameter',
    `A consumer's name has 1 to ${limits.consumer_name_chars_max} characters, none of them a control character.`,
    { parameter: 'name' }
  )
}

/** What PUT asks for. @throws `malformed-json`, `invalid-body`, and as parseSource */
export function parseDefinition(name: string, body: Buffer): Omit<ConsumerDefinition, 'start' | 'generation'> {
  const { source, from = 'start', ...settings } = checkDefinition(objectOf(body), refused)
  if (settings.expiresAfter !== undefined && secondsOf(settings.expiresAfter) === 0n) {
    throw refused('"expiresAfter" is longer than nothing.', { pointer: '/expiresAfter' })
  }
  const { address, query } = parseSource(source)
  return {
    name: checkConsumerName(name),
    source: writtenAddress(pathOf(address), query),
    from,
    settings: { ...CONSUMER_DEFAULTS, ...settings }
  }
}

/** @throws `malformed-json`, `invalid-body` */
export function parseAcknowledgement(body: Buffer): Acknowledgement {
  return checkAcknowledgement(objectOf(body), refused)
}

/** @throws `malformed-json`, `invalid-body` */
export function parseReset(body: Buffer): ConsumerReset {
  return checkReset(objectOf(body), refused)
}

/**
 * The address that a consumer reads, and its filters. Where to begin and how it is sent is said elsewhere.
 * @throws `invalid-body`, `bad-stream-name`
 */
export function parseSource(source: string): ConsumerSource {
  const [path = '', text = ''] = source.split(/\?(.*)/s)
  const stream = /^\/streams\/([^/]+)$/.exec(path)?.[1]
  if (path !== '/events' && stream === undefined) {
    throw refused('"source" is /events or /streams/{stream}, and filters after a "?".', { pointer: '/source' })
  }
  const query = queryOf(text)
  const check = stream === undefined ? sourceQueries.log : sourceQueries.stream
  if (!check(query)) {
    const [error] = check.errors ?? []
    const known = Object.keys((stream === undefined ? EventsSource : StreamSource).properties)
    throw refused(`"source": ${error ? explain(error, known) : 'is wrong'}`, { pointer: '/source' })
  }
  return {
    address: stream === undefined ? { stream: undefined } : addressOf(decoded(stream)),
    query: query as ReadQuery
  }
}

/** A query as Fastify reads it: a name that stands twice has a list. */
function queryOf(text: string): Record<string, string | string[]> {
  const query: Record<string, string | string[]> = {}
  const parameters = new URLSearchParams(text)
  for (const name of new Set(parameters.keys())) {
    const values = parameters.getAll(name)
    query[name] = values.length === 1 ? (values[0] as string) : values
  }
  return query
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    throw refused('"source" is percent-encoded UTF-8.', { pointer: '/source' })
  }
}

function refused(why: string, where: { pointer?: string } = {}): DaybookError {
  return new DaybookError('invalid-body', why, where)
}
