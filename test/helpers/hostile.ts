/**
 * Invalid requests: valid ones with one thing broken, and others that were never valid. Some of them are harmless by
 * chance, and are accepted.
 */
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import {
  appendToDelete,
  dialectAppend,
  dialectRead,
  hostileDelete,
  matchConditions,
  metadataWrite,
  xmlBomb
} from './hostile-dialect.js'
import {
  bytesOf,
  CURSORS,
  goodEvent,
  goodStream,
  HEADER_VALUES,
  type HostileRequest,
  headerText,
  hostileText,
  hostileValue,
  json,
  list,
  MEMBERS,
  mutateBytes,
  NAMES_OF_OBJECTS,
  type RequestParts,
  streamUrl,
  urlText,
  wellFormed
} from './hostile-pieces.js'
import type { Random } from './random.js'

/** Returns a request of a random kind. */
export function hostileRequest(random: Random): HostileRequest {
  const roll = random.next()
  for (const [share, kind] of KINDS) if (roll < share) return { kind: kind.name, ...kind(random) }
  throw new Error('the last share must be 1')
}

/** Generators of requests, each with the cumulative share up to which it is used. */
const KINDS: [number, (random: Random) => RequestParts][] = [
  [0.14, mutatedJson],
  [0.22, wrongMembers],
  [0.3, hostileHeaders],
  [0.44, hostileQuery],
  [0.49, hostileName],
  [0.53, hostileMethod],
  [0.58, brokenLines],
  [0.62, severalStreams],
  [0.65, encoded],
  [0.67, deepOrWide],
  [0.77, dialectRead],
  [0.84, dialectAppend],
  [0.86, xmlBomb],
  [0.9, metadataWrite],
  [0.93, hostileDelete],
  [0.95, appendToDelete],
  [1, matchConditions]
]

// ------------------------------------------------------------------------------------------------ kinds

/** A valid body in which bytes were removed, repeated, flipped or inserted. */
function mutatedJson(random: Random): RequestParts {
  const several = random.chance(0.3)
  const good = several
    ? { events: list(random, 1, 3, () => ({ stream: goodStream(random), ...goodEvent(random) })) }
    : random.chance(0.3)
      ? list(random, 1, 4, () => goodEvent(random))
      : goodEvent(random)
  const payload = mutateBytes(random, Buffer.from(JSON.stringify(good)))
  return { method: 'POST', url: several ? '/events' : streamUrl(random), headers: json(), payload }
}

/** A valid event with members of a wrong type, missing members, or unknown ones. */
function wrongMembers(random: Random): RequestParts {
  const event: Record<string, unknown> = goodEvent(random)
  for (let i = random.int(1, 3); i > 0; i--) {
    const name = random.pick([...MEMBERS, ...NAMES_OF_OBJECTS, hostileText(random)])
    if (random.chance(0.15)) delete event[name]
    else Object.defineProperty(event, name, { value: hostileValue(random, 0), enumerable: true, configurable: true })
  }
  const body = random.chance(0.2) ? [goodEvent(random), event, goodEvent(random)] : event
  const dialect = random.chance(0.15)
  if (!dialect) return { method: 'POST', url: streamUrl(random), headers: json(), payload: bytesOf(body) }
  const { id, type, data } = event as { id?: unknown; type?: unknown; data?: unknown }
  const payload = bytesOf([{ eventId: id, eventType: type, data, metadata: hostileValue(random, 0) }])
  return {
    method: 'POST',
    url: streamUrl(random),
    headers: { 'content-type': 'application/vnd.eventstore.events+json' },
    payload
  }
}

function hostileHeaders(random: Random): RequestParts {
  const headers: Record<string, string> = json()
  for (let i = random.int(1, 3); i > 0; i--) {
    const name = random.pick(HEADERS)
    headers[name] = random.chance(0.6) ? random.pick(HEADER_VALUES) : headerText(random)
  }
  const reading = random.chance(0.25)
  if (reading) delete headers['content-type']
  return reading
    ? { method: random.pick(['GET', 'HEAD'] as const), url: random.pick(READS), headers }
    : { method: 'POST', url: streamUrl(random), headers, payload: bytesOf(goodEvent(random)) }
}

/** Reads with absurd, repeated or unknown parameters. */
function hostileQuery(random: Random): RequestParts {
  const most = random.pick([1, 2, 4])
  const parameters = list(random, 1, most, () => {
    const name = random.chance(0.95) ? random.pick(Object.keys(PARAMETERS)) : hostileText(random)
    const plausible = Object.hasOwn(PARAMETERS, name) ? PARAMETERS[name] : undefined
    const roll = random.next()
    // No random value for `wait`: the request would wait that long.
    const value =
      plausible !== undefined && (roll < 0.8 || name === 'wait')
        ? random.pick(plausible)
        : roll < 0.9
          ? random.pick(PARAMETER_VALUES)
          : hostileText(random)
    const spelled = random.chance(0.9) ? encodeURIComponent(wellFormed(value)) : urlText(value)
    return `${encodeURIComponent(wellFormed(name))}${random.chance(0.02) ? '[]' : ''}=${spelled}`
  })
  if (random.chance(0.03)) parameters.push(...Array<string>(random.int(50, 300)).fill(parameters[0] as string))
  return {
    method: random.chance(0.95) ? 'GET' : 'HEAD',
    url: `${random.pick(READS)}?${parameters.join('&')}`,
    headers: {}
  }
}

function hostileName(random: Random): RequestParts {
  const name = random.chance(0.5)
    ? encodeURIComponent(wellFormed(hostileText(random)))
    : random.pick([
        '%',
        '%2',
        '%zz',
        '%00',
        '%0a',
        '%c0%ae',
        '%ed%a0%80',
        '%E0%A4%A',
        '%2e%2e',
        '%ff',
        '.%2f..',
        '%24%24'
      ])
  const rest = random.chance(0.4) ? `/${urlText(random.pick([...CURSORS, hostileText(random)]))}` : ''
  const url = `/${random.pick(['streams', 'streams', 'events', 'problems'])}/${name}${rest}`
  if (random.chance(0.5)) return { method: 'GET', url, headers: {} }
  return { method: 'POST', url, headers: json(), payload: bytesOf(goodEvent(random)) }
}

function hostileMethod(random: Random): RequestParts {
  const method = random.pick(['HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'POST'] as const)
  const url = random.pick([
    ...READS,
    '/',
    '/info',
    '/ping',
    '/metrics',
    '/readyz',
    '/openapi.yaml',
    '/streams/',
    '/favicon.ico'
  ])
  const headers = random.chance(0.5) ? json() : { 'content-type': random.pick(HEADER_VALUES) }
  return random.chance(0.6)
    ? { method, url, headers, payload: mutateBytes(random, bytesOf(goodEvent(random))) }
    : { method, url, headers: {} }
}

/** NDJSON with invalid lines, as one batch or as a streamed write. */
function brokenLines(random: Random): RequestParts {
  const streamed = random.chance(0.6)
  const lines = list(random, 1, 6, () => {
    const event = streamed ? { stream: goodStream(random), ...goodEvent(random) } : goodEvent(random)
    if (random.chance(0.3)) Object.assign(event, { [random.pick(PRINTED)]: hostileValue(random, 0) })
    const line = bytesOf(event)
    return random.chance(0.4) ? mutateBytes(random, line) : line
  })
  const ends = random.pick(['\n', '\r\n', '\n\n', '', ' \n'])
  const payload = Buffer.concat(lines.flatMap((line) => [line, Buffer.from(ends)]))
  const headers = { 'content-type': random.pick(['application/x-ndjson', 'application/ndjson', 'application/jsonl']) }
  const url = streamed ? `/events?batch=${random.pick([1, 2, 500, 4096])}` : streamUrl(random)
  return { method: 'POST', url, headers, payload }
}

/** POST /events with conditions, some of them invalid. */
function severalStreams(random: Random): RequestParts {
  const condition = () => {
    if (random.chance(0.1)) return hostileValue(random, 0)
    if (random.chance(0.05)) return { failIfEventsMatch: hostileValue(random, 0), after: random.pick(HEADS) }
    const stream = random.chance(0.9) ? goodStream(random) : hostileText(random)
    return { stream, head: random.chance(0.6) ? 'exists' : random.pick(HEADS) }
  }
  const body: Record<string, unknown> = {
    events: random.chance(0.9)
      ? list(random, 0, 3, () => ({
          stream: random.chance(0.9) ? goodStream(random) : hostileText(random),
          ...goodEvent(random)
        }))
      : hostileValue(random, 0),
    ...(random.chance(0.7) && {
      conditions: random.chance(0.9) ? list(random, 1, 3, condition) : hostileValue(random, 0)
    })
  }
  if (random.chance(0.1)) body[hostileText(random)] = 1
  return { method: 'POST', url: '/events', headers: json(), payload: bytesOf(body) }
}

/** Bodies that are compressed, that claim to be, or that are compressed badly. */
function encoded(random: Random): RequestParts {
  const plain = bytesOf(goodEvent(random))
  const packed = random.pick([gzipSync, deflateSync, brotliCompressSync])(plain)
  const payload = random.pick([packed, plain, mutateBytes(random, packed), packed.subarray(0, packed.length >> 1)])
  const encoding = random.pick([
    'gzip',
    'deflate',
    'br',
    'x-gzip',
    'identity',
    'zstd',
    'gzip, gzip',
    'constructor',
    ' GZIP '
  ])
  const streamed = random.chance(0.3)
  const url = streamed ? '/events' : streamUrl(random)
  const headers = {
    'content-type': streamed ? 'application/x-ndjson' : 'application/json',
    'content-encoding': encoding
  }
  return { method: 'POST', url, headers, payload }
}

/** Bodies with too much of something: nesting, members, elements or digits. */
function deepOrWide(random: Random): RequestParts {
  const n = random.pick([511, 512, 513, 5000, 50_000])
  const value = random.pick([
    () => '['.repeat(n),
    () => `${'['.repeat(n)}${']'.repeat(n)}`,
    () => `${'{"a":'.repeat(n)}1${'}'.repeat(n)}`,
    () => `[${Array(n).fill('{}').join()}]`,
    () => `{${Array.from({ length: Math.min(n, 5000) }, (_, i) => `"m${i}":0`).join()}}`,
    () => '9'.repeat(n),
    () => `1e${'9'.repeat(n)}`,
    () => `"${'\\u0000'.repeat(n)}"`,
    () => `"${'\\'.repeat(n)}"`
  ])()
  const member = random.pick(['data', 'metadata', 'tags', 'type', 'id', 'occurred', '__proto__'])
  const payload = random.chance(0.8)
    ? Buffer.from(`{"type":"T","${member}":${value}}`)
    : Buffer.from(`{"events":[{"stream":"wide","type":"T"}],"conditions":${value}}`)
  return { method: 'POST', url: random.chance(0.7) ? streamUrl(random) : '/events', headers: json(), payload }
}

// ------------------------------------------------------------------------------------------------ tables

const PRINTED = ['number', 'position', 'cursor', 'created', 'link', 'contentType', 'dataText', 'dataBase64']

const HEADS = [0, -1, 1.5, 1e300, 2 ** 53, 'none', 'exists', 'any', '0', null, [], {}, true]

const READS = [
  '/events',
  '/events/0',
  '/streams',
  '/streams/s-1',
  '/streams/s-1/0',
  '/streams/never',
  '/streams/$all',
  '/streams/$ce-s',
  '/streams/$et-T',
  '/categories',
  '/types'
]

const BOUNDS = ['0', '3', '-1', '1000000', '-15m', '2026-11-23', '2020-01-01T00:00:00Z', '2026-11-23T10:15:30 01:00']

const SWITCH = ['true', 'false']

/** Every parameter, with plausible values. */
const PARAMETERS: Record<string, readonly string[]> = {
  from: [...BOUNDS, 'start', 'end'],
  after: BOUNDS,
  to: BOUNDS,
  before: BOUNDS,
  order: ['asc', 'desc'],
  limit: ['1', '7', '4096'],
  type: ['T', 'größe', 'never'],
  'type.prefix': ['', 'T', 'Item'],
  'type.regex': ['^Item', '.', 'é|ö', '(?i)t'],
  'type.not': ['T'],
  stream: ['s-1', 's-2', 'never', '$all'],
  'stream.prefix': ['s-', ''],
  'stream.regex': ['s-[0-5]', '^$'],
  'stream.not': ['s-1'],
  category: ['s', '', 'never'],
  tag: ['customer:ann', 't:1'],
  'occurred.from': ['2026-01-01', '-15m'],
  'occurred.to': ['2026-12-01', '-1w'],
  where: ['data.a = 1'],
  system: SWITCH,
  resolveLinks: SWITCH,
  atLeast: ['0', '5', '9007199254740991'],
  wait: ['0', '0.001', '-1', '61', 'NaN', ''],
  format: ['page', 'ndjson', 'event', 'sse', 'atom'],
  live: SWITCH,
  heartbeat: ['0', '15'],
  credit: ['0', '5'],
  checkpointEvery: ['1', '0'],
  statistics: ['1'],
  events: ['typed'],
  takeover: SWITCH,
  trailer: SWITCH,
  consumer: ['c'],
  prefix: ['s', '', '$'],
  batch: ['1'],
  embed: ['body']
}

/** Regular expressions that are costly for a backtracking or careless engine. */
export const EXPRESSIONS = [
  '(a+)+$',
  '(a|aa)+$',
  '(.*)*x',
  '^(([a-z])+.)+[A-Z]([a-z])+$',
  '(x+x+)+y',
  '(?=a)',
  '(a)\\1',
  '(?<n>a)\\k<n>',
  'a{1000}',
  '(a{1000}){1000}',
  '((a{50}){50}){50}',
  '(((((a?){20}){20}){20}){20})',
  '\\p{L}{100}',
  '\\p{Nonsense}',
  '[\\d-\\w]',
  '[z-a]',
  '[',
  '(',
  '*',
  '\\',
  '\\Q',
  '(?i)(?s)(?m).*',
  `${'(a|'.repeat(300)}b${')'.repeat(300)}`,
  '('.repeat(900),
  'a?'.repeat(100) + 'a'.repeat(100),
  'é'.repeat(999),
  '.'.repeat(1001)
]

const PARAMETER_VALUES = [
  ...CURSORS,
  ...EXPRESSIONS,
  'true', 'false', 'TRUE', 'yes', '1', '4096', '4097', '-0', '+1', '1.0', '1_000', 'Infinity', 'null', 'undefined',
  'asc', 'desc', 'ASC', 'page', 'ndjson', 'event', 'sse', 'atom', 's', 's-1', 'T',
  '-15m', '-1s', '-999999999w', '-9999999999w', '-1y', '-1.5h', '2026-11-23', '2026-02-31', '2026-13-01', '0000-01-01',
  '9999-12-31T23:59:59.999999999Z', '2026-11-23T10:15:30 01:00', '2026-11-23T10:15:30+99:99', '2026-11-23T24:00:00Z',
  '2026-06-30T23:59:60Z', '+275760-09-13', 'yesterday', 'data.a = 1', "' OR 1=1 --", '%', '%%%', '{}', '[]', '[object Object]'
] // biome-ignore format: a table

const HEADERS = [
  'if-match', 'if-none-match', 'idempotency-key', 'content-type', 'accept', 'accept-encoding', 'content-encoding', 'prefer',
  'event-type', 'event-id', 'event-metadata', 'es-expectedversion', 'es-eventtype', 'es-eventid', 'kurrent-expectedversion',
  'kurrent-eventtype', 'kurrent-eventid', 'origin', 'host', 'request-id', 'x-request-id', 'x-forwarded-for', 'x-forwarded-host',
  'range', 'last-event-id', 'upgrade', 'access-control-request-method', 'x-http-method-override', 'cookie', 'authorization',
  'traceparent', '__proto__', 'constructor'
] // biome-ignore format: a table
