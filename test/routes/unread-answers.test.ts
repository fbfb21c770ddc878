/** An answer that its client does not read counts against the memory budget, but not for ever. */
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { limits } from '../../src/limits.js'
import { append, listen } from '../helpers/app.js'
import { movedClock } from '../helpers/clock.js'
import { eventually } from '../helpers/live-events.js'

const ATOM = 'application/vnd.eventstore.atom+json'
const EVENT_BYTES = 3 * 1024 * 1024
const EVENTS = 8

/** Opens a store with large events. `ask` sends a request and reads nothing. */
async function openUnread(t: Test) {
  const clock = movedClock()
  const { app, store, url } = await listen(t, { clock })
  for (let i = 0; i < EVENTS; i++) await append(app, 'large', { type: 'T', data: 'x'.repeat(EVENT_BYTES) })
  const ask = (path: string, accept: string): Socket => {
    const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1' })
    socket.pause()
    socket.on('error', () => {})
    t.teardown(() => socket.destroy())
    socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: ${accept}\r\n\r\n`)
    return socket
  }
  const held = () => store.memory.reads.used + store.memory.largeReads.used
  return { app, store, url, clock, ask, held }
}

for (const [form, path, accept] of [
  ['a page', '/streams/large', 'application/json'],
  ['NDJSON', '/streams/large', 'application/x-ndjson'],
  ['a feed', '/streams/large?embed=body', ATOM]
] as const) {
  t.test(`${form} that is not read is counted, and its connection is closed in the end`, async (t) => {
    const { clock, ask, held } = await openUnread(t)
    const sockets = Array.from({ length: 2 }, () => ask(path, accept))
    await eventually('the bytes are held', () => held() >= 2 * EVENT_BYTES)
    let cut = 0
    for (const socket of sockets) {
      socket.on('close', () => cut++)
    }
    t.equal(cut, 0, 'not before drain_ms')
    await eventually('the bytes are released', () => {
      clock.ahead += 1_000
      return held() === 0
    })
    for (const socket of sockets) socket.resume()
    await eventually('the connections are closed', () => cut === 2)
  })
}

t.test('a client that reads its answer slowly is not closed', async (t) => {
  const { clock, ask, held } = await openUnread(t)
  const socket = ask('/streams/large?limit=2', 'application/json')
  let bytesRead = 0
  let closed = false
  socket.on('close', () => {
    closed = true
  })
  await eventually('the bytes are held', () => held() > 0)
  socket.on('data', (chunk) => {
    bytesRead += chunk.length
    socket.pause()
  })
  while (bytesRead < 2 * EVENT_BYTES) {
    const before = bytesRead
    socket.resume()
    await eventually('more has come', () => bytesRead > before || closed)
    if (closed) break
    // Much less than drain_ms in each step, but far more than that in all of them.
    clock.ahead += limits.drain_ms / 100
  }
  t.notOk(closed, 'the connection stays open')
  t.ok(bytesRead >= 2 * EVENT_BYTES)
})

t.test('a client that reads no data is disconnected sooner while other requests wait for memory', async (t) => {
  const { app, store, clock, ask, held } = await openUnread(t)
  const sockets = Array.from({ length: 8 }, () => ask('/streams/large', 'application/json'))
  await eventually('the unread answers hold the memory', () => store.memory.largeReads.waiting > 0)
  const answer = app.inject({ url: '/streams/large?limit=2' })
  t.equal((await app.inject({ url: '/livez' })).statusCode, 200)
  const small = await append(app, 'small', { type: 'T' })
  t.equal(small.statusCode, 201, 'small requests are served')
  t.equal((await app.inject({ url: '/streams/small/0' })).statusCode, 200)
  const begun = clock.ahead
  let answered = false
  answer.then(() => {
    answered = true
  })
  await eventually('the waiting request is answered', () => {
    clock.ahead += 100
    return answered
  })
  t.equal((await answer).statusCode, 200)
  t.ok(clock.ahead - begun < limits.memory_wait_ms, 'before its own time-out')
  for (const socket of sockets) socket.destroy()
  await eventually('all memory is released', () => held() === 0)
  t.equal(store.memory.largeReads.waiting, 0)
})
