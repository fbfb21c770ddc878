/** A request that is refused before its body has come: the client sees the answer, and the connection ends. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { limits } from '../../src/limits.js'
import { type Clock, systemClock } from '../../src/time/clock.js'
import { append, listen } from '../helpers/app.js'
import { admin, bearer, makeToken, setRules, withAnn } from '../helpers/people.js'

/** A clock whose timers fire within 10 ms, and whose time a test moves with `later`. */
function quickClock(): Clock & { later: number } {
  const clock = {
    ...systemClock,
    later: 0,
    elapsed: () => performance.now() + clock.later,
    after: (ms: number, callback: () => void) => systemClock.after(Math.min(ms, 10), callback)
  }
  return clock
}

async function openConnections(app: FastifyInstance): Promise<number> {
  return new Promise((resolve, reject) => app.server.getConnections((error, count) => (error ? reject(error) : resolve(count)))) // biome-ignore format: one line
}

/** Opens a client that never closes its side of the connection. */
function connectHalfOpen(t: Test, url: string): Socket & { text: string } {
  const { port, hostname } = new URL(url)
  const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: true }) as Socket & { text: string }
  socket.text = ''
  socket.on('data', (chunk) => (socket.text += chunk))
  socket.on('error', () => {})
  t.teardown(() => socket.destroy())
  return socket
}

/** Returns the headers of a request and the beginning of its body. */
function requestHead(call: string, headers: string, body = ''): string {
  return `${call} HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n\r\n${body}`
}

const JSON_TYPE = 'Content-Type: application/json'
const LARGE = 40 * 1024 * 1024

for (const [what, call, headers, expected] of [
  ['too large', 'POST /streams/s', JSON_TYPE, 413],
  ['too large for a route with a small limit', 'PUT /streams/s/metadata', JSON_TYPE, 413],
  ['of an unsupported type', 'POST /events', 'Content-Type: text/plain', 415],
  ['for an unknown address', 'POST /nowhere', JSON_TYPE, 404],
  ['for an unsupported method', 'PATCH /events', JSON_TYPE, 405],
  ['with an unknown Expect header', 'POST /streams/s', `${JSON_TYPE}\r\nExpect: tea`, 417]
] as const) {
  t.test(`a client that sends a body ${what} before it reads anything sees the answer`, async (t) => {
    const { app, url } = await listen(t)
    const { port, hostname } = new URL(url)
    const socket = connect(Number(port), hostname)
    socket.pause()
    const failed = once(socket, 'error').then(([error]) => error)
    socket.write(requestHead(call, `${headers}\r\nContent-Length: ${LARGE}`))
    const sent = new Promise((resolve) => socket.write(Buffer.alloc(LARGE, 0x20), resolve))
    t.equal((await Promise.race([sent, failed])) ?? undefined, undefined, 'the whole body was read')
    let text = ''
    socket.on('data', (chunk) => (text += chunk))
    socket.resume()
    await once(socket, 'close')
    t.match(text, new RegExp(`^HTTP/1.1 ${expected} `))
    t.match(text, /\r\nconnection: close\r\n/i)
    t.equal(text.match(/HTTP\/1\.1/g)?.length, 1, 'the body is not read as further requests')
    while ((await openConnections(app)) > 0) await setImmediate()
  })
}

for (const [what, bytes] of [
  ['lacks credentials', requestHead('POST /streams/s', `${JSON_TYPE}\r\nContent-Length: ${LARGE}`)],
  [
    'lacks credentials and has a chunked body',
    requestHead('POST /streams/s', `${JSON_TYPE}\r\nTransfer-Encoding: chunked`, '1\r\n{\r\n')
  ],
  [
    'lacks credentials and has a small body',
    requestHead('POST /streams/s', `${JSON_TYPE}\r\nContent-Length: 10`, 'half')
  ],
  ['goes to an unknown address', requestHead('POST /nowhere', `${JSON_TYPE}\r\nContent-Length: ${LARGE}`)],
  ['has an unsupported method', requestHead('PATCH /events', `${JSON_TYPE}\r\nContent-Length: 10`, 'half')],
  ['is a DELETE with a body', requestHead('DELETE /ping', 'Content-Length: 10', 'half')],
  ['is a GET with a body', requestHead('GET /ping', `Content-Length: ${LARGE}`, 'half')],
  [
    'has an unknown Expect header',
    requestHead('POST /streams/s', `${JSON_TYPE}\r\nExpect: tea\r\nContent-Length: 10`, 'half')
  ],
  ['is not HTTP', 'nonsense\r\n\r\n'],
  ['has headers that do not end', 'GET /ping HTTP/1.1\r\nHost: localhost\r\nX-']
] satisfies [string, string][]) {
  t.test(
    `the server closes the connection of a request that ${what}, even if its client does nothing more`,
    async (t) => {
      const clock = quickClock()
      const { app, url } = await listen(t, { clock, insecure: false })
      const accepted = once(app.server, 'connection') as Promise<[Socket]>
      const socket = connectHalfOpen(t, url)
      socket.write(bytes)
      const [peer] = await accepted
      if (what === 'has headers that do not end') {
        // Node emits this error when the time for the headers is over.
        app.server.emit('clientError', Object.assign(new Error(), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }), peer)
      }
      while (socket.text === '') await setImmediate()
      while ((await openConnections(app)) > 0) {
        clock.later += 1_000
        await setImmediate()
      }
      t.match(socket.text, /^HTTP\/1\.1 \d{3} /)
    }
  )
}

t.test('a stalled body is answered with 408 in every kind of write, and the connection ends', async (t) => {
  const clock = quickClock()
  const { app, url, store } = await listen(t, { clock })
  for (const call of [
    'POST /streams/s',
    'POST /events',
    'PUT /streams/s/metadata',
    'PUT /consumers/c',
    'POST /tokens'
  ]) {
    const socket = connectHalfOpen(t, url)
    socket.write(requestHead(call, `${JSON_TYPE}\r\nContent-Length: 58`, '{"events":[{"stream":"s",'))
    while (socket.text === '') {
      clock.later += 1_000
      await setImmediate()
    }
    t.match(socket.text, /^HTTP\/1\.1 408 [\s\S]*"code":"request-timeout"/, call)
    socket.write('"type":"T"}]}                      '.padEnd(100))
    while ((await openConnections(app)) > 0) {
      clock.later += 1_000
      await setImmediate()
    }
  }
  t.equal(store.log.head, -1, 'bytes after the answer are not read')
})

t.test('a refused request with a small body keeps its connection', async (t) => {
  const { url } = await listen(t, { insecure: false, anonymous: false })
  const socket = connectHalfOpen(t, url)
  socket.write(requestHead('POST /streams/s', `${JSON_TYPE}\r\nContent-Length: 12`, '{"ty'))
  while (!/ 401 /.test(socket.text)) await setImmediate()
  socket.write(`pe":"T"}${requestHead('GET /ping', 'Connection: close')}`)
  await once(socket, 'end')
  t.match(socket.text, /^HTTP\/1\.1 401 [\s\S]*HTTP\/1\.1 200 /)
})

t.test('at most dropped_body_bytes_max of a refused body of unknown length are read', async (t) => {
  const { app, url } = await listen(t)
  const accepted = once(app.server, 'connection') as Promise<[Socket]>
  const socket = connectHalfOpen(t, url)
  socket.write(requestHead('POST /nowhere', `${JSON_TYPE}\r\nTransfer-Encoding: chunked`))
  const closed = new Promise((resolve) => socket.once('close', resolve))
  const [peer] = await accepted
  const chunk = Buffer.from(`10000\r\n${' '.repeat(65_536)}\r\n`)
  while (!socket.closed && !socket.destroyed && socket.writable) {
    if (!socket.write(chunk)) await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed])
  }
  t.ok(
    peer.bytesRead > limits.dropped_body_bytes_max / 2,
    'the server reads on, so that the client has time to see the answer'
  )
  t.ok(peer.bytesRead <= limits.dropped_body_bytes_max + 1024 * 1024, `${peer.bytesRead} bytes were read`)
})

t.test('a token that cannot write anything is refused before the body is read', async (t) => {
  const { app, url, store } = await withAnn(t)
  await append(app, 'closed', { type: 'T' }, admin)
  await setRules(app, 'closed', { write: 'bob', delete: 'bob' })
  await append(app, 'ends', { type: 'T' }, admin)
  await setRules(app, 'ends', { write: 'bob', delete: 'ann' })
  const { head: before } = store.log
  for (const [write, status] of [
    [[], 403],
    [['closed'], 403],
    [['$settings', '$user-*', '$user-ann', '$$order-1', '$$*', 'closed'], 403],
    [['order-1'], 200],
    [['closed', 'ends'], 200],
    [['closed*'], 200],
    [['$*'], 200]
  ] satisfies [string[], number][]) {
    const { text } = await makeToken(store, 'ann', { read: ['*'], write })
    for (const type of ['application/json', 'application/x-ndjson']) {
      const socket = connectHalfOpen(t, url)
      const { authorization } = bearer(text)
      socket.write(requestHead('POST /events', `Content-Type: ${type}\r\nAuthorization: ${authorization}\r\nContent-Length: ${LARGE / 2}`)) // biome-ignore format: one line
      if (status === 403) {
        while (!/"code"/.test(socket.text)) await setImmediate()
        t.match(socket.text, /^HTTP\/1\.1 403 [\s\S]*"code":"not-permitted"/, `${write} ${type}`)
      } else if (type === 'application/json') {
        while (store.memory.bodies.used === 0) await setImmediate()
        t.equal(socket.text, '', `${write}: the server waits for the body`)
        socket.destroy()
        while (store.memory.bodies.used > 0) await setImmediate()
      }
      socket.destroy()
    }
  }
  t.equal(store.log.head - before, 14, 'two events for each token that was made')
})

t.test('a redirect is sent without reading the body', async (t) => {
  const { url, store } = await listen(t)
  const socket = connectHalfOpen(t, url)
  socket.write(requestHead('POST /streams/s/', `${JSON_TYPE}\r\nContent-Length: ${LARGE / 2}`, '{'))
  while (!/\r\n\r\n/.test(socket.text)) await setImmediate()
  t.match(socket.text, /^HTTP\/1\.1 307 /)
  t.equal(store.memory.bodies.used, 0)
})
