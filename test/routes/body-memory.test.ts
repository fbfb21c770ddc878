/** The request bodies that are held at one time stay within their share of the memory budget. */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { limits } from '../../src/limits.js'
import type { MemoryShare } from '../../src/memory/memory-share.js'
import { type Clock, systemClock } from '../../src/time/clock.js'
import { listen } from '../helpers/app.js'
import { movedClock } from '../helpers/clock.js'
import { send } from '../helpers/http.js'

const MEGABYTE = 1024 * 1024
/** The smallest budget; request bodies get 12 MiB of it. */
const memoryBytes = limits.memory_bytes_min

/** Records the highest use of a share. */
function watchPeak(share: MemoryShare): { bytes: number } {
  const peak = { bytes: 0 }
  const claim = share.claim.bind(share)
  share.claim = (bytes) => {
    const claimed = claim(bytes)
    peak.bytes = Math.max(peak.bytes, share.used)
    return claimed
  }
  return peak
}

/** Waits until a condition holds. If it never does, the test times out. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await setTimeout(2)
}

/** Sends the headers and the first bytes of an append. */
function beginAppend(t: Test, url: string, headers: string, bytes: number): Socket & { text: string } {
  const { port, hostname } = new URL(url)
  const socket = connect(Number(port), hostname) as Socket & { text: string }
  socket.text = ''
  socket.on('data', (chunk) => (socket.text += chunk))
  socket.on('error', () => {})
  t.teardown(() => socket.destroy())
  socket.write(
    `POST /streams/s HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nEvent-Type: T\r\n${headers}\r\n\r\n`
  )
  if (bytes > 0) socket.write(Buffer.alloc(bytes, 0x61))
  return socket
}

const contentLength = (length: number) => `Content-Length: ${length}`

t.test('a body waits unread until there is memory for it, and is then accepted', async (t) => {
  const { app, url, store } = await listen(t, { memoryBytes })
  const peers: Socket[] = []
  app.server.on('connection', (socket) => peers.push(socket))
  const { bodies } = store.memory
  const length = limits.event_bytes_max
  const first = [1, 2, 3].map(() => beginAppend(t, url, contentLength(length), length - 1))
  await until(() => bodies.used === 3 * length && peers.every(({ bytesRead }) => bytesRead > length - 1))
  const late = beginAppend(t, url, contentLength(length), length)
  await until(() => bodies.waiting === 1)
  // Bytes that came before these 20 round trips would have been read by now.
  for (let i = 0; i < 20; i++) await send(`${url}/ping`)
  const read = peers[3]?.bytesRead ?? 0
  t.ok(read < 512 * 1024, `${read} of ${length} bytes were read while the body waited`)
  t.equal(late.text, '')
  first[0]?.write('a')
  await until(() => / 201 /.test(late.text))
  for (const socket of first.slice(1)) socket.write('a')
  await until(() => first.every(({ text }) => / 201 /.test(text)))
  await until(() => bodies.used === 0)
  t.equal(store.log.head, 3)
})

t.test('a body that gets no memory in time is refused with 503 overloaded', async (t) => {
  const clock: Clock = { ...systemClock, after: (ms, callback) => systemClock.after(Math.min(ms, 50), callback) }
  const { url, store } = await listen(t, { memoryBytes, clock })
  const { bodies } = store.memory
  beginAppend(t, url, contentLength(30 * MEGABYTE), 10)
  await until(() => bodies.used > 0)
  const late = await send(`${url}/streams/s`, { method: 'POST', headers: { 'content-type': 'text/plain', 'event-type': 'T' } }, Buffer.alloc(MEGABYTE)) // biome-ignore format: one line
  t.match(late, { status: 503, headers: { 'retry-after': '1', connection: 'close' } })
  t.match(JSON.parse(late.text), { code: 'overloaded', written: false, retry: true })
  const small = await send(`${url}/streams/s`, { method: 'POST', headers: { 'content-type': 'text/plain', 'event-type': 'T' } }, Buffer.alloc(limits.memory_small_bytes)) // biome-ignore format: one line
  t.equal(small.status, 201, 'a small body needs no memory of the share')
})

t.test('a client that disconnects releases the memory of its body, or its place in the queue', async (t) => {
  const { url, store } = await listen(t, { memoryBytes })
  const { bodies } = store.memory
  const first = beginAppend(t, url, contentLength(10 * MEGABYTE), MEGABYTE)
  await until(() => bodies.used === 10 * MEGABYTE)
  const waiting = beginAppend(t, url, contentLength(5 * MEGABYTE), 10)
  await until(() => bodies.waiting === 1)
  waiting.destroy()
  await until(() => bodies.waiting === 0)
  first.destroy()
  await until(() => bodies.used === 0)
  t.equal(store.log.head, -1)
})

t.test('a body of unknown length is free while it is small, then claims the size limit of its route', async (t) => {
  const { url, store } = await listen(t)
  const { bodies } = store.memory
  const socket = beginAppend(t, url, 'Transfer-Encoding: chunked', 0)
  const chunk = (bytes: number) => socket.write(`${bytes.toString(16)}\r\n${'a'.repeat(bytes)}\r\n`)
  chunk(limits.memory_small_bytes)
  for (let i = 0; i < 20; i++) await send(`${url}/ping`)
  t.equal(bodies.used, 0)
  chunk(1)
  await until(() => bodies.used === limits.body_bytes_max)
  socket.write('0\r\n\r\n')
  await until(() => / 201 /.test(socket.text))
  await until(() => bodies.used === 0)
  const { text } = await send(`${url}/streams/s/0`)
  t.equal(/a{1000,}/.exec(text)?.[0].length, limits.memory_small_bytes + 1, 'the event is whole')
})

t.test('a compressed body claims the size limit of its route while it is inflated', async (t) => {
  const { url, store } = await listen(t)
  const { bodies } = store.memory
  const peak = watchPeak(bodies)
  const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' }
  const small = gzipSync(`{"type":"T","data":"${'a'.repeat(3 * MEGABYTE)}"}`)
  t.ok(small.length < limits.memory_small_bytes)
  t.equal((await send(`${url}/streams/s`, { method: 'POST', headers }, small)).status, 201)
  t.equal(peak.bytes, limits.body_bytes_max)
  await until(() => bodies.used === 0)
  const noise = Buffer.from(Array.from({ length: 3000 }, () => randomUUID()).join(''))
  const large = gzipSync(`{"type":"T","data":"${noise}"}`, { level: 0 })
  t.equal((await send(`${url}/streams/s`, { method: 'POST', headers }, large)).status, 201)
  t.equal(peak.bytes, limits.body_bytes_max + large.length, 'the compressed and the inflated body at the same time')
  await until(() => bodies.used === 0)
  const broken = await send(`${url}/streams/s`, { method: 'POST', headers }, Buffer.alloc(MEGABYTE))
  t.equal(broken.status, 400)
  await until(() => bodies.used === 0)
})

const data = 'x'.repeat(MEGABYTE)
const id = randomUUID()
const atomEvents = JSON.stringify([{ eventId: id, eventType: 'T', data: { a: data } }])
for (const [call, headers, body] of [
  ['POST /streams/s', { 'content-type': 'application/json' }, `[{"type":"T","data":"${data}"}]`],
  ['POST /streams/s', { 'content-type': 'application/x-ndjson' }, `{"type":"T","data":"${data}"}\n`],
  ['POST /streams/s', { 'content-type': 'application/octet-stream', 'event-type': 'T' }, data],
  ['POST /events', { 'content-type': 'application/json' }, `{"events":[{"stream":"s","type":"T","data":"${data}"}]}`],
  ['POST /streams/s', { 'content-type': 'application/vnd.eventstore.events+json' }, atomEvents],
  [
    'POST /streams/s',
    { 'content-type': 'application/vnd.eventstore.events+xml' },
    `<e><event><eventId>${id}</eventId><eventType>T</eventType><data><a>${data}</a></data></event></e>`
  ],
  [`POST /streams/s/incoming/${id}`, { 'content-type': 'application/json', 'es-eventtype': 'T' }, `{"a":"${data}"}`],
  [
    'POST /streams/s/metadata',
    { 'content-type': 'application/vnd.eventstore.events+json' },
    atomEvents.replace('"T"', '"$metadata"')
  ]
] satisfies [string, Record<string, string>, string][]) {
  // biome-ignore format: a table
  t.test(`${call} with ${headers['content-type']} holds the memory of its body until it is answered`, async (t) => {
    const { url, store } = await listen(t)
    const { bodies } = store.memory
    const peak = watchPeak(bodies)
    const [method, path] = call.split(' ')
    const answer = await send(`${url}${path}`, { method, headers }, body)
    t.equal(answer.status, 201, answer.text)
    t.equal(peak.bytes, Buffer.byteLength(body))
    await until(() => bodies.used === 0)
    const malformed = await send(`${url}${path}`, { method, headers: { ...headers, 'content-encoding': 'gzip' } }, body)
    t.equal(malformed.status, 400)
    await until(() => bodies.used === 0)
  })
}

t.test('thirty bodies that stop one byte short stay within their share', async (t) => {
  const { app, url, store } = await listen(t, { memoryBytes })
  const peers: Socket[] = []
  app.server.on('connection', (socket) => peers.push(socket))
  const { bodies } = store.memory
  const length = limits.event_bytes_max
  const clients = Array.from({ length: 30 }, () => beginAppend(t, url, contentLength(length), length - 1))
  await until(() => bodies.waiting === 27 && bodies.used === 3 * length)
  for (let i = 0; i < 20; i++) await send(`${url}/ping`)
  const read = peers.reduce((sum, { bytesRead }) => sum + bytesRead, 0)
  t.ok(read <= bodies.bytes + 30 * 256 * 1024, `${read} bytes were read`)
  for (const client of clients) client.destroy()
  await until(() => bodies.used === 0 && bodies.waiting === 0)
})

t.test('a stalled body is ended with 408 while other bodies wait for its memory', async (t) => {
  const clock = movedClock()
  const { url, store } = await listen(t, { memoryBytes, clock })
  const { bodies } = store.memory
  const length = limits.event_bytes_max
  const stalled = Array.from({ length: 3 }, () => beginAppend(t, url, contentLength(length), length - 1))
  await until(() => bodies.used === 3 * length)
  clock.ahead += limits.drain_wanted_ms
  const answer = fetch(`${url}/streams/s`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ type: 'T', data: 'x'.repeat(length - 100) })
  })
  await until(() => bodies.waiting === 1)
  t.equal((await answer).status, 201, 'the waiting body is read')
  await until(() => stalled.some(({ text }) => /^HTTP\/1\.1 408 /.test(text)))
})

t.test('a stalled body is ended with 408 after drain_ms, even if no other body waits', async (t) => {
  const clock = movedClock()
  const { url, store } = await listen(t, { memoryBytes, clock })
  const { bodies } = store.memory
  const length = limits.event_bytes_max
  const stalled = beginAppend(t, url, contentLength(length), length - 1)
  await until(() => bodies.used === length)
  clock.ahead += limits.drain_ms
  await until(() => stalled.text !== '')
  t.match(stalled.text, /^HTTP\/1\.1 408 /)
  await until(() => bodies.used === 0)
})

t.test('a body that is refused half way releases its memory', async (t) => {
  const { url, store } = await listen(t)
  const { bodies } = store.memory
  const socket = beginAppend(t, url, 'Transfer-Encoding: chunked', 0)
  const chunk = Buffer.from(`100000\r\n${'a'.repeat(MEGABYTE)}\r\n`)
  const ended = once(socket, 'close')
  for (let i = 0; i < 40 && socket.writable; i++) socket.write(chunk)
  socket.end()
  await ended
  t.match(socket.text, /^HTTP\/1\.1 413 /)
  await until(() => bodies.used === 0)
})
