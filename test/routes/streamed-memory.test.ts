/** The memory that a streamed write holds, and for how long it does. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { limits } from '../../src/limits.js'
import { LINE_BYTES_MAX, LineSplitter } from '../../src/ndjson.js'
import { type Clock, systemClock } from '../../src/time/clock.js'
import { listen } from '../helpers/app.js'
import { movedClock } from '../helpers/clock.js'
import { send } from '../helpers/http.js'

const NDJSON = { 'content-type': 'application/x-ndjson' }

interface Write extends Socket {
  text: string
}

/** Begins a streamed write with a chunked body. */
function beginWrite(t: Test, url: string, query = ''): Write {
  const { port, hostname } = new URL(url)
  const socket = connect(Number(port), hostname) as Write
  socket.text = ''
  socket.on('data', (chunk) => (socket.text += chunk))
  socket.on('error', () => {})
  t.teardown(() => socket.destroy())
  socket.write(`POST /events${query} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n`) // biome-ignore format: one line
  return socket
}

function sendChunk(socket: Socket, text: string): boolean {
  return socket.write(`${text.length.toString(16)}\r\n${text}\r\n`)
}

const line = (bytes: number, stream = 's') => `{"stream":"${stream}","type":"T","data":"${'x'.repeat(bytes)}"}\n`

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await setImmediate()
}

/** A clock whose timers fire only when the test calls `ring`. */
function heldClock(): Clock & { ring(ms: number): void } {
  const timers = new Set<{ ms: number; callback: () => void }>()
  return {
    ...systemClock,
    after(ms, callback) {
      const timer = { ms, callback }
      timers.add(timer)
      return () => timers.delete(timer)
    },
    ring(ms) {
      for (const timer of [...timers]) {
        if (timer.ms !== ms) continue
        timers.delete(timer)
        timer.callback()
      }
    }
  }
}

t.test('600 events of 400 KiB in one stream are written in batches of bounded bytes', async (t) => {
  const { url, store } = await listen(t)
  const { bodies } = store.memory
  const sizes: number[] = []
  let held = 0
  const append = store.writer.append.bind(store.writer)
  store.writer.append = (request) => {
    sizes.push(request.events.reduce((sum, { record }) => sum + record.bytes.length, 0))
    held = Math.max(held, bodies.used)
    return append(request)
  }
  const socket = beginWrite(t, url, '?batch=4096')
  const one = line(400 * 1024)
  for (let i = 0; i < 600; i++) if (!sendChunk(socket, one)) await once(socket, 'drain')
  socket.write('0\r\n\r\n')
  await until(() => /\r\n0\r\n\r\n$/.test(socket.text))
  t.notMatch(socket.text, /problem/)
  t.equal(store.log.head, 599)
  t.ok(Math.max(...sizes) < limits.commit_bytes_max + 500 * 1024, `the largest batch has ${Math.max(...sizes)} bytes`)
  t.ok(held >= limits.commit_bytes_max, 'the memory of a batch is counted')
  t.ok(held <= limits.commit_bytes_max + LINE_BYTES_MAX, `${held} bytes were held at most`)
  t.equal(bodies.used, 0)
})

t.test('unfinished lines of many connections together stay within their share', async (t) => {
  const { app, url, store } = await listen(t, { memoryBytes: limits.memory_bytes_min })
  const { bodies } = store.memory
  const peers: Socket[] = []
  app.server.on('connection', (socket) => peers.push(socket))
  const writes = Array.from({ length: 20 }, () => beginWrite(t, url))
  for (const write of writes) sendChunk(write, line(4 * 1024 * 1024).slice(0, -100))
  await until(() => bodies.waiting === 19)
  t.equal(bodies.used, LINE_BYTES_MAX)
  for (let i = 0; i < 20; i++) await send(`${url}/ping`)
  const read = peers.map(({ bytesRead }) => bytesRead).filter((bytes) => bytes > 1024 * 1024)
  t.ok(read.length <= 1, `${read.length} of them were read`)
  for (const write of writes) write.destroy()
  await until(() => bodies.used === 0 && bodies.waiting === 0)
})

t.test('a stalled line ends the write, and the lines before it are written', async (t) => {
  const clock = heldClock()
  const { app, url, store } = await listen(t, { clock })
  const socket = beginWrite(t, url)
  sendChunk(socket, `${line(10)}${line(200 * 1024).slice(0, -10)}`)
  await until(() => store.memory.bodies.used > 0)
  while (!/problem/.test(socket.text)) {
    clock.ring(limits.request_timeout_ms)
    await setImmediate()
  }
  t.match(socket.text, /"receipt":\{"lines":1,[\s\S]*"problem":\{[^\n]*"code":"request-timeout"/)
  await until(() => store.memory.bodies.used === 0)
  await once(socket, 'close')
  await new Promise<void>((resolve) => {
    const look = () => app.server.getConnections((_, count) => (count === 0 ? resolve() : setImmediate().then(look)))
    look()
  })
})

t.test('an idle write stays open, and its unfinished batch is written', async (t) => {
  const clock = heldClock()
  const { app, url, store } = await listen(t, { clock })
  const accepted = once(app.server, 'connection') as Promise<[Socket]>
  const socket = beginWrite(t, url, '?batch=4096')
  const [peer] = await accepted
  sendChunk(socket, line(10))
  sendChunk(socket, line(50 * 1024).repeat(3))
  await until(() => peer.bytesRead > 150 * 1024 && store.memory.bodies.used > 0)
  while (!/receipt/.test(socket.text)) {
    clock.ring(limits.request_timeout_ms)
    await setImmediate()
  }
  t.match(socket.text, /"receipt":\{"lines":4,"appended":4,/)
  t.equal(store.memory.bodies.used, 0)
  sendChunk(socket, line(10))
  for (let i = 0; i < 20; i++) {
    clock.ring(limits.request_timeout_ms)
    await send(`${url}/ping`)
  }
  t.notMatch(socket.text, /problem/, 'a write that holds no memory may be idle')
  sendChunk(socket, line(10))
  socket.write('0\r\n\r\n')
  await until(() => /"lines":6,"appended":2,/.test(socket.text))
})

t.test('a write whose receipts are not read is closed', async (t) => {
  const clock = heldClock()
  const { app, url, store } = await listen(t, { clock })
  const accepted = once(app.server, 'connection') as Promise<[Socket]>
  const socket = beginWrite(t, url, '?batch=1')
  const [peer] = await accepted
  const closed = once(peer, 'close')
  peer.cork() // as if the client read nothing
  const id = '{"stream":"s","type":"T","id":"00000000-0000-4000-8000-000000000001"}\n'
  sendChunk(socket, id.repeat(2000))
  while (!peer.destroyed) {
    clock.ring(limits.drain_ms)
    await setImmediate()
  }
  await closed
  await until(() => store.memory.bodies.used === 0)
  t.equal(store.log.head, 0)
})

t.test('a write that gets no more memory for its batch commits what it has', async (t) => {
  const { url, store } = await listen(t, { memoryBytes: limits.memory_bytes_min })
  const { bodies } = store.memory
  const other = await bodies.take(bodies.bytes)
  const socket = beginWrite(t, url, '?batch=4096')
  sendChunk(socket, line(1000).repeat(1000))
  socket.write('0\r\n\r\n')
  await until(() => /\r\n0\r\n\r\n$/.test(socket.text))
  t.notMatch(socket.text, /problem/)
  t.equal(store.log.head, 999)
  t.ok((socket.text.match(/receipt/g) ?? []).length > 5, 'in several batches')
  other.release()
})

t.test('blank lines take little memory, are counted, and are limited', async (t) => {
  const { url } = await listen(t)
  const gzip = { ...NDJSON, 'content-encoding': 'gzip' }
  const event = '{"stream":"s","type":"T"}\n'
  for (const [blank, lines] of [
    ['\n', 40_000_000],
    [' \r\n', 10_000_000],
    [`${' '.repeat(70)}\n`, 100_000]
  ] as const) {
    const body = gzipSync(Buffer.concat([Buffer.from(event), Buffer.alloc(lines * blank.length, blank), Buffer.from(event)])) // biome-ignore format: one line
    const { text } = await send(`${url}/events`, { method: 'POST', headers: gzip }, body)
    t.match(JSON.parse(text), { receipt: { lines: lines + 2, appended: 2 } })
  }
  const endless = gzipSync(Buffer.alloc(limits.blank_bytes_max + 1, '\n'))
  const { text } = await send(`${url}/events`, { method: 'POST', headers: gzip }, endless)
  t.match(JSON.parse(text), { problem: { code: 'invalid-body', limit: limits.blank_bytes_max } })
  const batch = gzipSync(
    Buffer.concat([Buffer.alloc(30_000_000, '\n'), Buffer.from(event.replace('"stream":"s",', ''))])
  )
  t.equal((await send(`${url}/streams/s`, { method: 'POST', headers: gzip }, batch)).status, 201)
})

t.test('lines are split in the same way wherever the chunks of a body end', async (t) => {
  const text = '\n\n a\nbb \r\n\r\n  \n\tccc\n \n\n dd\n   '
  const whole = [[3, ' a'], [4, 'bb \r'], [7, '\tccc'], [10, ' dd']] // biome-ignore format: a table
  for (let size = 1; size <= text.length; size++) {
    const splitter = new LineSplitter()
    const found: unknown[] = []
    for (let at = 0; at < text.length; at += size) {
      for (const { number, bytes } of splitter.push(Buffer.from(text.slice(at, at + size)))) {
        found.push([number, bytes.toString()])
      }
    }
    t.equal(splitter.end(), undefined)
    t.strictSame(found, whole, `chunks of ${size} bytes`)
  }
  const splitter = new LineSplitter()
  const long = Buffer.from(`${'x'.repeat(200_000)}`)
  for (const byte of long) for (const _ of splitter.push(Buffer.of(byte))) t.fail()
  t.equal(splitter.pending, long.length)
  t.strictSame(splitter.end(), { number: 1, bytes: long })
})

t.test('a line that only grows by a byte now and then ends the write, too', async (t) => {
  const clock = movedClock()
  const { url, store } = await listen(t, { clock })
  const { bodies } = store.memory
  const socket = beginWrite(t, url)
  sendChunk(socket, `${line(10)}${line(200 * 1024).slice(0, -10)}`)
  await until(() => bodies.used > 0)
  for (let bytes = 0; bytes < 20; bytes++) {
    clock.ahead += limits.request_timeout_ms / 4
    sendChunk(socket, 'x')
    await send(`${url}/ping`)
  }
  await until(() => bodies.used === 0)
  await until(() => /problem/.test(socket.text))
  t.match(socket.text, /request-timeout/)
  t.equal(store.log.head, 0, 'the line before it is written')
})
