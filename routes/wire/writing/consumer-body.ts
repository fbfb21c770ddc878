/** Parses bodies of requests to /consumers (native contract §7), and the source of a consumer. */
import { Acknowledgement, ConsumerReset, NewConsumer } from '../../../schemas/consumers.js'
import { EventsSource, type ReadQuery, StreamSource } from '../../../schemas/read.js'
import { CONSUMER_DEFAULTS, type ConsumerDefinition } from '../../../src/consumers/consumer-definition.js'
import { DaybookError } from '../../../src/errors.js'
import { limits } from '../../../src/limits.js'
import type { Address } from '../../../src/reading/sources.js'
import { secondsOf } from '../../../src/time/duration.js'
import { compileQuery, compileShape } from '../problems/shape.js'
import { explainFault } from '../problems/shape-faults.js'
import { readUrl } from '../reading/page-links.js'
import { pathOf, streamAddress } from '../reading/read-request.js'
import { invalidBody, parseJsonObject } from './body.js'

const checkDefinition = compileShape<NewConsumer>(NewConsumer)
const checkAcknowledgement = compileShape<Acknowledgement>(Acknowledgement)
const checkReset = compileShape<ConsumerReset>(ConsumerReset)
const sourceQueries = { log: compileQuery(EventsSource), stream: compileQuery(StreamSource) }

/** The source of a consumer. */
export interface ConsumerSource {
  readonly address: Address
  /** The filters of the source. */
  readonly query: ReadQuery
}

/** Returns the name if it is a valid consumer name. @throws `bad-parameter` */
export function checkConsumerName(name: string): string {
  const fits = name.length > 0 && name.length <= limits.consumer_name_chars_max
  if (fits && name.isWellFormed() && !/[\u0000-\u001f\u007f-\u009f]/.test(name)) return name
  throw new DaybookError(
    'bad-parameter',
    `The name of a consumer must have 1 to ${limits.consumer_name_chars_max} characters and no control characters.`,
    { parameter: 'name' }
  )
}

/**
 * Parses the body of PUT /consumers/{name}.
 * @param prefix path prefix of the proxy: see parseSource
 * @throws `malformed-json`, `invalid-body`, `bad-parameter`, `bad-stream-name`
 */
export function parseDefinition(
  name: string,
  body: Buffer,
  prefix: string
): Omit<ConsumerDefinition, 'start' | 'generation'> {
  const { source, from = 'start', ...settings } = checkDefinition(parseJsonObject(body), invalidBody)
  if (settings.expiresAfter !== undefined && secondsOf(settings.expiresAfter) === 0n) {
    throw invalidBody('"expiresAfter" must be longer than 0 seconds.', { pointer: '/expiresAfter' })
  }
  const { address, query } = parseSource(source, prefix)
  const empty = Object.entries(query).find(([, values]) => Array.isArray(values) && values.includes(''))
  if (empty !== undefined) {
    throw invalidBody(`"source": "${empty[0]}" is empty: give it a value, or leave it out.`, { pointer: '/source' })
  }
  return {
    name: checkConsumerName(name),
    source: readUrl(pathOf(address), query),
    from,
    settings: { ...CONSUMER_DEFAULTS, ...settings }
  }
}

/** Parses the body of POST /consumers/{name}/ack. @throws `malformed-json`, `invalid-body` */
export function parseAcknowledgement(body: Buffer): Acknowledgement {
  return checkAcknowledgement(parseJsonObject(body), invalidBody)
}

/** Parses the body of POST /consumers/{name}/reset. @throws `malformed-json`, `invalid-body` */
export function parseReset(body: Buffer): ConsumerReset {
  return checkReset(parseJsonObject(body), invalidBody)
}

/**
 * Parses the address and the filters of a consumer's source. Start and format are not part of the source. Empty filters
 * are accepted here, because old stored consumers may have them; `parseDefinition` refuses them in new definitions.
 * @param prefix path under which a proxy publishes this server; a source copied from a response begins with it
 * @throws `invalid-body`, `bad-stream-name`
 */
export function parseSource(source: string, prefix = ''): ConsumerSource {
  const own = prefix !== '' && source.startsWith(`${prefix}/`) ? source.slice(prefix.length) : source
  const [path = '', text = ''] = own.split(/\?(.*)/s)
  const stream = /^\/streams\/([^/]+)$/.exec(path)?.[1]
  if (path !== '/events' && stream === undefined) {
    throw invalidBody('"source" must be /events or /streams/{stream}, with filters after a "?".', {
      pointer: '/source'
    })
  }
  const query = parsedQuery(text)
  const check = stream === undefined ? sourceQueries.log : sourceQueries.stream
  if (!check(query) && check.errors?.[0]?.keyword !== 'minLength') {
    const known = Object.keys((stream === undefined ? EventsSource : StreamSource).properties)
    throw invalidBody(`"source": ${explainFault(check.errors ?? [], { known, isQuery: true }).why}`, {
      pointer: '/source'
    })
  }
  return {
    address: stream === undefined ? { stream: undefined } : streamAddress(decoded(stream)),
    query: query as ReadQuery
  }
}

/** Returns the parameters of a query as Fastify parses it: the value of a repeated name is a list. */
export function parsedQuery(text: string): Record<string, string | string[]> {
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
    throw invalidBody('"source" must be percent-encoded UTF-8.', { pointer: '/source' })
  }
}
