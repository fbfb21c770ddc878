/** Hostile input causes no 5xx and no crash; every refusal is a problem, and the log has only accepted events. */
import { isDeepStrictEqual } from 'node:util'
import { gzipSync } from 'node:zlib'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import type { Store } from '../../src/store/store.js'
import { checkDirectory } from '../../src/verify/check-directory.js'
import { append, openApp } from '../helpers/app.js'
import { EXPRESSIONS, hostileRequest } from '../helpers/hostile.js'
import { type HostileRequest, mutateBytes } from '../helpers/hostile-pieces.js'
import {
  brokenGuarantee,
  decode,
  describeRequest,
  injectHostile,
  noProblem,
  notJson,
  pathOf
} from '../helpers/promises.js'
import { type Random, seeded } from '../helpers/random.js'
import { listenRaw, type RawAnswer } from '../helpers/raw.js'
import { scaled } from '../helpers/scale.js'

const REQUESTS = scaled(12_000)
const RAW_REQUESTS = scaled(400)
const PROBES = 100
const FAILURES_SHOWN = 20

t.test(`${REQUESTS} hostile requests damage no data and do not slow the server down`, async (t) => {
  const random = seeded(t)
  const { app, store, directory } = await openApp(t)
  await goodRequests(t, app) // warm up: the first requests compile code
  const before = await goodRequests(t, app)

  let failures = 0
  const kinds = new Map<string, { refused: number; accepted: number }>()
  for (let i = 0; i < REQUESTS; i++) {
    const request = hostileRequest(random)
    const head = store.log.head
    const answer = await injectHostile(app, request)
    const wrong =
      brokenGuarantee(request, answer, store, head) ??
      (await wrongInLog(request, answer, app, head + 1, store.log.head))
    if (wrong !== undefined) {
      t.fail(`request ${i}: ${wrong}`, { request: describeRequest(request), answer: shownAnswer(answer) })
      if (++failures === FAILURES_SHOWN) return t.fail('too many failures: the remaining requests are skipped')
    }
    const count = kinds.get(request.kind) ?? { refused: 0, accepted: 0 }
    count[answer.statusCode >= 400 ? 'refused' : 'accepted']++
    kinds.set(request.kind, count)
  }
  for (const [kind, { refused, accepted }] of kinds) {
    t.comment(`${kind}: ${refused} refused, ${accepted} accepted`)
    t.ok(refused > 10, `${kind}: some requests are hostile enough to be refused`)
  }

  const after = await goodRequests(t, app)
  t.comment(`an ordinary append and read: ${before.toFixed(2)} ms before, ${after.toFixed(2)} ms after`)
  t.ok(after < 5 * before + 2, 'the server is not slower than before')
  t.equal(store.writer.queued, 0, 'the append queue is empty')
  await everyEventIsReadable(t, app, store)
  await app.close()
  t.same((await checkDirectory(directory)).disagreements, [], 'log and index agree')
})

t.test('ordinary appends among hostile requests are written once and in order', async (t) => {
  const random = seeded(t)
  const { app, store, directory } = await openApp(t)
  const clients = Array.from({ length: 8 }, async (_, client) => {
    for (let i = 0; i < 50; i++) {
      const answer = await append(
        app,
        `client-${client}`,
        { type: 'Good', data: i },
        i === 0 ? { 'if-none-match': '*' } : { 'if-match': `"${i - 1}"` }
      )
      if (answer.statusCode !== 201) t.fail(`client ${client}, append ${i}: ${answer.body}`)
    }
  })
  const others = Array.from({ length: 8 }, async () => {
    for (let i = 0; i < 150; i++) {
      const request = hostileRequest(random)
      const { statusCode } = await injectHostile(app, request)
      if (statusCode >= 500 && statusCode !== 501) t.fail(`${statusCode}`, { request: describeRequest(request) })
    }
  })
  await Promise.all([...clients, ...others])
  for (const client of clients.keys()) {
    const { events } = (await app.inject(`/streams/client-${client}`)).json()
    t.same(
      events.map(({ data }: { data: number }) => data),
      Array.from({ length: 50 }, (_, i) => i),
      `client ${client} finds its events only`
    )
  }
  await everyEventIsReadable(t, app, store)
  await app.close()
  t.same((await checkDirectory(directory)).disagreements, [], 'log and index agree')
})

t.test('requests that are expensive to process are refused', async (t) => {
  const { app, store, directory } = await openApp(t)
  for (let i = 0; i < 500; i++) await append(app, `s-${i}`, { type: `T${'a'.repeat(i % 200)}` })
  const head = store.log.head
  for (const expression of EXPRESSIONS) {
    for (const parameter of ['type.regex', 'stream.regex']) {
      const many = Array(100)
        .fill(`${parameter}=${encodeURIComponent(expression)}`)
        .join('&')
      const answer = await app.inject(`/events?${many}`)
      const request: HostileRequest = { kind: 'expression', method: 'GET', url: `/events?${many}`, headers: {} }
      t.equal(brokenGuarantee(request, answer, store, head), undefined, `${expression.slice(0, 40)} as ${parameter}`)
    }
  }
  const space = gzipSync(Buffer.alloc(256 * 1024 * 1024, 0x20), { level: 9 })
  const lines = gzipSync(Buffer.alloc(64 * 1024 * 1024, 0x0a), { level: 9 })
  const bombs: [string, string, Buffer][] = [
    ['/streams/s', 'application/json', space],
    ['/streams/s', 'application/x-ndjson', lines],
    ['/events', 'application/json', space],
    ['/events?batch=1', 'application/x-ndjson', space]
  ]
  for (const [url, type, payload] of bombs) {
    const headers = { 'content-type': type, 'content-encoding': 'gzip' }
    const answer = await app.inject({ method: 'POST', url, headers, payload })
    const problem = JSON.parse(answer.body.trimEnd().split('\n').at(-1) as string)
    t.match(problem.problem ?? problem, { status: 413 }, `a gzip bomb as ${type} to ${url}`)
  }
  t.equal(store.log.head, head, 'nothing is written')
  t.equal((await append(app, 's', { type: 'T' })).statusCode, 201, 'an ordinary append is accepted')
  await app.close()
  t.same((await checkDirectory(directory)).disagreements, [], 'log and index agree')
})

t.test(`${RAW_REQUESTS} malformed requests over a socket cause no crash and no 5xx`, async (t) => {
  const random = seeded(t)
  const { raw, connect, app, store, directory } = await listenRaw(t)
  const statuses = new Map<number, number>()
  let accepted = 0
  for (let i = 0; i < RAW_REQUESTS; i++) {
    const { bytes, whole } = rawRequest(random)
    const describe = `exchange ${i}: ${JSON.stringify(bytes.toString('latin1').slice(0, 300))}`
    if (!whole) {
      // The server waits for the rest of the request, which the client never sends.
      const socket = connect()
      socket.write(bytes)
      socket.destroy()
      continue
    }
    const answer = await raw(bytes)
    statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
    if (answer.status === 201) accepted++
    const wrong = wrongAnswer(answer)
    if (wrong !== undefined) t.fail(`${describe}: ${wrong}`, { answer: answer.text.slice(0, 500) })
  }
  t.comment(`statuses: ${[...statuses].map(([status, count]) => `${status} × ${count}`).join(', ')}`)
  t.ok((statuses.get(400) ?? 0) > RAW_REQUESTS / 8, 'some requests are hostile enough to be refused')
  const good = 'POST /streams/s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 12\r\n'
  t.equal((await raw(`${good}Connection: close\r\n\r\n{"type":"T"}`)).status, 201, 'an ordinary append is accepted')
  t.ok(store.log.head + 1 >= accepted + 1, 'all accepted events are in the log')
  await everyEventIsReadable(t, app, store)
  await app.close()
  t.same((await checkDirectory(directory)).disagreements, [], 'log and index agree')
})

// ------------------------------------------------------------------------------------------------ promises

/** Compares the log with the request, when the body is plain JSON and all its events were accepted. */
async function wrongInLog(
  { method, headers, url, payload }: HostileRequest,
  answer: LightMyRequestResponse,
  app: FastifyInstance,
  from: number,
  to: number
): Promise<string | undefined> {
  const plain = Object.keys(headers).join() === 'content-type'
  const type = headers['content-type']?.split(';')[0]?.trim().toLowerCase() as string
  if (from > to || !plain || payload === undefined || method !== 'POST' || !READABLE.test(type)) return undefined
  const read = (await app.inject(`/events?from=${from}&to=${to}&limit=4096&system=true&truncated=true`)).body
  const wrong = notJson(read)
  if (wrong !== undefined) return wrong
  // An append that revives a deleted stream also writes metadata, which the client did not send.
  const events = JSON.parse(read).events.filter((event: { type: string }) => event.type !== '$metadata')
  const sent = sentEvents(type, payload.toString(), events.length)
  if (sent.length !== events.length || answer.body.includes('"replayed":1')) return undefined
  for (const [i, event] of sent.entries()) {
    const found = events[i]
    const same =
      found.stream === (event.stream ?? decode(pathOf(url).split('/')[2] as string)) &&
      ['type', 'occurred', 'data', 'metadata'].every((name) => isDeepStrictEqual(found[name], event[name])) &&
      isDeepStrictEqual(found.tags ?? [], event.tags ?? []) &&
      (event.id === undefined || bareId(found.id) === bareId(event.id))
    if (!same && event.contentType === undefined)
      return `the stored event differs from the sent one: ${JSON.stringify(found)}`
  }
  return undefined
}

const READABLE = /^application\/(json|vnd\.eventstore\.events\+json|x-ndjson|ndjson|jsonl)$/

function bareId(id: unknown): string {
  return String(id).replaceAll('-', '').toLowerCase()
}

function sentEvents(type: string, body: string, count: number): Record<string, unknown>[] {
  if (type === 'application/json') {
    const document = JSON.parse(body)
    return [document.events ?? document].flat()
  }
  if (type === 'application/vnd.eventstore.events+json') {
    return JSON.parse(body).map((event: Record<string, unknown>) => {
      // In the dialect, member names are case-insensitive.
      const members = Object.fromEntries(Object.entries(event).map(([name, value]) => [name.toLowerCase(), value]))
      const { eventid, eventtype, data, metadata } = members
      return { id: eventid, type: String(eventtype), data: asStored(data), metadata: asStored(metadata) }
    })
  }
  const lines = body.split('\n').filter((line) => line.trim() !== '')
  return lines.slice(0, count).map((line) => JSON.parse(line))
}

/** Converts data as the dialect does: null becomes absent, and text with a JSON document becomes that document. */
function asStored(value: unknown): unknown {
  if (typeof value !== 'string' || !/^\s*[{[]/.test(value)) return value ?? undefined
  return notJson(value) === undefined ? JSON.parse(value) : value
}

/** Returns the fault of a response over a socket: it must exist, be no 5xx, and be a problem if it is a refusal. */
function wrongAnswer({ status, headers, body, text }: RawAnswer): string | undefined {
  if (status === 0) return text === '' ? 'no answer' : 'the answer is not HTTP'
  if (status >= 500 && status !== 501) return `${status}`
  return status >= 400 ? noProblem(status, headers['content-type'] ?? '', body) : undefined
}

/** Sends ordinary appends and reads. @returns the median time of one pair, milliseconds */
async function goodRequests(t: Test, app: FastifyInstance): Promise<number> {
  const times: number[] = []
  for (let i = 0; i < PROBES; i++) {
    const started = performance.now()
    const appended = await append(app, 'good', { type: 'Good', data: { i } })
    const { head } = appended.json()
    const read = await app.inject(`/streams/good?from=${head}`)
    times.push(performance.now() - started)
    if (appended.statusCode !== 201) t.fail(`an ordinary append got ${appended.statusCode}: ${appended.body}`)
    else if (read.json().events?.[0]?.data.i !== i) t.fail(`the appended event cannot be read: ${read.body}`)
  }
  times.sort((one, other) => one - other)
  return times[PROBES >> 1] as number
}

/** Checks that every position of the log is one line of JSON with the required members of an event. */
async function everyEventIsReadable(t: Test, app: FastifyInstance, store: Store): Promise<void> {
  const { body } = await app.inject('/events?format=ndjson&system=true&truncated=true')
  const lines = body.trimEnd().split('\n')
  t.equal(lines.length, store.log.head + 1, 'every event of the log is one line')
  const bad = lines.filter((line, position) => {
    if (notJson(line) !== undefined) return true
    const event = JSON.parse(line)
    return event.position !== position || !event.id || !event.type || !event.stream || !(event.number >= 0)
  })
  t.same(bad.slice(0, 3), [], 'each line is an event')
  const keys = new Set(
    lines.map((line) => JSON.parse(notJson(line) === undefined ? line : '{}')).map((e) => `${e.number} ${e.stream}`)
  )
  t.equal(keys.size, lines.length, 'no number of a stream is used twice')
  t.equal(
    Object.keys({}).length + Object.keys(Object.prototype).length,
    0,
    'data has not added members to the prototype of objects'
  )
}

// ------------------------------------------------------------------------------------------------ raw requests

const BODY = '{"type":"T","data":{"a":1}}'

/** Returns a random malformed request. `whole` is false for an incomplete one, which gets no response. */
function rawRequest(random: Random): { bytes: Buffer; whole: boolean } {
  const line = random.pick([
    'GET / HTTP/1.1', 'GET /events HTTP/1.1', 'GET /streams/s HTTP/1.1', 'POST /streams/s HTTP/1.1', 'POST /events?batch=2 HTTP/1.1'
  ]) // biome-ignore format: a table
  const kind = random.int(0, 6)
  if (kind === 0) return { bytes: Buffer.from(random.pick(NO_REQUESTS), 'latin1'), whole: true }
  if (kind === 1) {
    const bad = random.pick(BAD_HEADERS)
    return {
      bytes: Buffer.from(`${line}\r\nHost: localhost\r\nAccept: */*\r\n${bad}\r\nConnection: close\r\n\r\n`, 'latin1'),
      whole: true
    }
  }
  if (kind === 2) {
    const path = random.pick(BAD_PATHS)
    return {
      bytes: Buffer.from(
        `GET ${path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nConnection: close\r\n\r\n`,
        'latin1'
      ),
      whole: true
    }
  }
  const url = random.pick(['/streams/s', '/events', '/events?batch=1'])
  const type = random.pick(['application/json', 'application/x-ndjson'])
  const start = `POST ${url} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nContent-Type: ${type}\r\nConnection: close\r\n`
  if (kind === 3) {
    const good = Buffer.from(url === '/streams/s' ? BODY : '{"events":[{"stream":"s","type":"T"}]}')
    const body = random.chance(0.3) ? good : mutateBytes(random, good)
    return { bytes: Buffer.concat([Buffer.from(`${start}Content-Length: ${body.length}\r\n\r\n`), body]), whole: true }
  }
  if (kind === 4) {
    // A body shorter than its length, an incomplete chunk, or incomplete headers.
    const lacking = random.pick([
      `Content-Length: 999\r\n\r\n${BODY}`,
      `Transfer-Encoding: chunked\r\n\r\nff\r\n${BODY}`,
      'X: y'
    ])
    return { bytes: Buffer.from(start + lacking), whole: false }
  }
  if (kind === 5)
    return {
      bytes: Buffer.from(`${start}Transfer-Encoding: chunked\r\n\r\n${random.pick(BAD_CHUNKS)}`, 'latin1'),
      whole: true
    }
  return {
    bytes: Buffer.from(
      `${random.pick(BAD_METHODS)} /streams/s HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nConnection: close\r\n\r\n`,
      'latin1'
    ),
    whole: true
  }
}

const NO_REQUESTS = [
  'GARBAGE\r\n\r\n',
  '\u0000\u0001\u0002\u0003\r\n\r\n',
  '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003', // a TLS greeting
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'GET / HTTP/9.9\r\n\r\n',
  'GET / HTTP/1.1 x\r\n\r\n',
  'GET http:// HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nConnection: close\r\n\r\n',
  'GET\r\n\r\n',
  `${'A'.repeat(20_000)}`,
  '{"type":"T"}\r\n\r\n',
  '\r\n\r\n\r\nX\r\n\r\n'
]

const BAD_HEADERS = [
  ': no name',
  'no colon',
  'a b: c',
  'X: \u0000',
  'X: \u0001\u007f',
  ' X: folded',
  'X : y',
  'Content-Length: -1',
  'Content-Length: 1e3',
  'Content-Length: 0x10',
  'Content-Length: 99999999999999999999999999',
  'Content-Length: 1, 2',
  'Content-Length: 1\r\nContent-Length: 2',
  'Content-Length: 5\r\nTransfer-Encoding: chunked',
  'Transfer-Encoding: x',
  'Transfer-Encoding: chunked, x',
  'Host: other',
  `X: ${'y'.repeat(20_000)}`,
  Array.from({ length: 3000 }, (_, i) => `X${i}: y`).join('\r\n'),
  'Expect: a-pony',
  'Upgrade: websocket\r\nConnection: Upgrade',
  'If-None-Match: "0"\r\nIf-None-Match: "1"',
  'Accept: a\r\nAccept: b'
]

const BAD_PATHS = [
  'events',
  '*',
  '//',
  '///events',
  '/events//',
  '/streams/%',
  '/streams/%zz',
  '/streams/%00',
  '/streams/\u00e9',
  '/streams/a#b',
  '/streams/../../etc/passwd',
  '/streams/..%2f..%2fetc',
  '/\\..\\..',
  'http://evil.example/events',
  '/events?%',
  '/events?&&&=&',
  '/events?a=%zz',
  `/streams/${'x'.repeat(13_000)}`,
  `/streams/${'x'.repeat(20_000)}`,
  '/streams/$all/%2e%2e',
  '/streams/a;b=c',
  '/streams/a?b?c'
]

const BAD_CHUNKS = [
  'zz\r\n',
  '-1\r\n\r\n',
  'fffffffffffffffffff\r\n',
  '5\r\nabcdefgh\r\n',
  '5;x="\u0000\r\nabcde\r\n',
  '\r\n',
  '0\r\nX: \u0001\r\n\r\n'
]

const BAD_METHODS = [
  'get',
  'G ET',
  'BREW',
  'TRACE',
  'PROPFIND',
  'SEARCH',
  'LINK',
  'G\u0000T',
  'M-SEARCH',
  'PURGE',
  'QUERY'
]

function shownAnswer({ statusCode, headers, body }: LightMyRequestResponse): object {
  return { statusCode, type: headers['content-type'], body: body.slice(0, 500) }
}
