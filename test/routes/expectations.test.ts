/**
 * `Expect: 100-continue`: the server asks for a body unless it already knows that it refuses it. Clients see the
 * refusal.
 */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { makeCertificate } from '../../src/commands/serve/certificate.js'
import { limits } from '../../src/limits.js'
import { append, listen } from '../helpers/app.js'
import { skipWithout } from '../helpers/executables.js'
import { eventually } from '../helpers/live-events.js'
import { admin, bearer, makeToken, makeUser, setRules } from '../helpers/people.js'
import { listenRaw } from '../helpers/raw.js'

const LOAD = { connections: 1000, connectionsPerAddress: 0, requestsPerSecond: 0, requestsInFlight: 1000 }
const JSON_TYPE = 'Content-Type: application/json'
const EVENT = '{"type":"T"}'

/** Returns the headers of a request that waits for 100 Continue. */
function expectingContinue(call: string, ...headers: readonly string[]): string {
  const all = [`${call} HTTP/1.1`, 'Host: localhost', 'Accept: */*', 'Expect: 100-continue', ...headers]
  if (!headers.some((header) => /^(Content-Length|Transfer-Encoding)/.test(header))) all.push('Content-Length: 12')
  return `${all.join('\r\n')}\r\n\r\n`
}

t.test('a request that can be accepted gets one 100 Continue, and its connection stays open', async (t) => {
  const { connect, store } = await listenRaw(t)
  const socket = connect()
  for (const [call, ...headers] of [
    ['POST /streams/s', JSON_TYPE],
    ['POST /streams/s', JSON_TYPE, 'Content-Length: 70000'],
    ['POST /streams/s', JSON_TYPE, 'Transfer-Encoding: chunked'],
    ['POST /events', 'Content-Type: application/x-ndjson', 'Content-Length: 26']
  ] satisfies [string, ...string[]][]) {
    const each = connect()
    each.write(expectingContinue(call, ...headers))
    const text = await each.until(/\r\n\r\n/)
    t.equal(text, 'HTTP/1.1 100 Continue\r\n\r\n', `${call} ${headers}`)
    each.destroy()
  }
  socket.write(expectingContinue('POST /streams/s', JSON_TYPE))
  await socket.until(/100 Continue\r\n\r\n$/)
  socket.write(EVENT)
  await socket.until(/201 Created[\s\S]*}/)
  socket.write(
    expectingContinue('POST /streams/s', JSON_TYPE).replace('HTTP/1.1\r\n', 'HTTP/1.1\r\nConnection: close\r\n')
  )
  await socket.until(/100 Continue[\s\S]*100 Continue\r\n\r\n$/)
  socket.write(EVENT)
  t.equal((await socket.closed).match(/100 Continue/g)?.length, 2)
  t.equal(store.log.head, 1)
})

t.test('a request that will be refused gets its error without 100 Continue', async (t) => {
  const { app, store, raw, connect } = await listenRaw(t, { insecure: false, load: { ...LOAD, requestsInFlight: 2 } })
  const ann = await makeUser(store, 'ann')
  await append(app, 's', { type: 'T' }, admin)
  await setRules(app, 's', { write: 'bob', metadataWrite: 'bob' })
  const { text } = await makeToken(store, 'ann', { read: ['*'] })
  const by = ({ authorization }: { authorization: string }) => `Authorization: ${authorization}`
  for (const [status, call, ...headers] of [
    [401, 'POST /streams/s', JSON_TYPE],
    [401, 'POST /events', JSON_TYPE],
    [401, 'POST /streams/s', JSON_TYPE, by({ authorization: 'Basic eHg6eXk=' })],
    [403, 'POST /streams/s', JSON_TYPE, by(ann)],
    [403, 'PUT /streams/s/metadata', JSON_TYPE, by(ann)],
    [403, 'POST /events', JSON_TYPE, by(bearer(text))],
    [404, 'POST /nowhere', JSON_TYPE, by(ann)],
    [405, 'PATCH /streams/s', JSON_TYPE, by(ann)],
    [405, 'PROPFIND /streams/s', JSON_TYPE, by(ann)],
    [413, 'POST /streams/a', JSON_TYPE, by(ann), `Content-Length: ${limits.body_bytes_max + 1}`],
    [413, 'PUT /streams/a/metadata', JSON_TYPE, by(ann), `Content-Length: ${limits.metadata_bytes_max + 1}`],
    [413, 'POST /tokens', JSON_TYPE, by(ann), `Content-Length: ${limits.small_body_bytes_max + 1}`],
    [415, 'POST /streams/a', 'Content-Type: application/x-www-form-urlencoded', by(ann)],
    [415, 'POST /streams/a', 'Content-Type: text/plain', by(ann), `Content-Length: ${limits.body_bytes_max}`],
    [415, 'POST /streams/a', JSON_TYPE, 'Content-Encoding: lzma', by(ann)],
    [415, 'POST /streams/a', 'Content-Type: application/vnd.eventstore.nonsense+json', 'ES-EventType: T', by(ann)],
    [415, 'PUT /streams/a/metadata', 'Content-Type: text/plain', by(ann)],
    [415, 'POST /events', 'Content-Type: text/plain', by(ann)],
    [417, 'POST /streams/a', JSON_TYPE, by(ann), 'Expect: tea'],
    [421, 'POST https://localhost/streams/a', JSON_TYPE, by(ann)]
  ] satisfies [number, string, ...string[]][]) {
    // The server closes the connection, because it cannot know whether the body follows.
    const answer = await raw(expectingContinue(call, ...headers))
    t.equal(answer.status, status, `${call} ${headers}`)
    t.match(answer.headers.connection, /close/, `${call} ${headers}`)
  }
  // As many requests are in flight as the limit allows.
  const polls = [connect(), connect()]
  const page = store.reader.page.bind(store.reader)
  let release = () => {}
  const released = new Promise<void>((resolve) => (release = resolve))
  let held = 0
  store.reader.page = async (...all) => {
    held++
    await released
    return page(...all)
  }
  polls.forEach((socket, at) => {
    socket.write(`GET /events?from=${at} HTTP/1.1\r\nHost: localhost\r\n${by(ann)}\r\n\r\n`)
  })
  await eventually('both requests are in flight', () => held === 2)
  t.equal((await raw(expectingContinue('POST /streams/a', JSON_TYPE, by(ann)))).status, 503)
  release()
  for (const socket of polls) await socket.until(/200 OK/)
})

t.test('a client beyond its request rate gets 429 without 100 Continue', async (t) => {
  const { raw } = await listenRaw(t, { load: { ...LOAD, requestsPerSecond: 1 } })
  let answer = await raw(expectingContinue('POST /nowhere', JSON_TYPE))
  while (answer.status === 404) answer = await raw(expectingContinue('POST /nowhere', JSON_TYPE))
  t.equal(answer.status, 429)
})

t.test('a large body gets 100 Continue as soon as there is memory for it', async (t) => {
  const { store, connect } = await listenRaw(t, { memoryBytes: limits.memory_bytes_min })
  const { bodies } = store.memory
  const bytes = Math.floor(bodies.bytes * 0.75)
  const first = connect()
  first.write(expectingContinue('POST /streams/s', JSON_TYPE, `Content-Length: ${bytes}`))
  await first.until(/100 Continue/)
  const second = connect()
  let text = ''
  second.until(/./).then((came) => (text = came))
  second.write(expectingContinue('POST /streams/s', JSON_TYPE, `Content-Length: ${bytes}`))
  await eventually('the second body waits', () => bodies.waiting === 1)
  t.equal(text, '')
  first.destroy()
  await second.until(/100 Continue/)
  second.destroy()
})

t.test('HTTP/1.0 requests and requests without a body are answered as if they had no Expect header', async (t) => {
  const { raw, connect } = await listenRaw(t)
  const old = await raw(
    `POST /streams/s HTTP/1.0\r\nExpect: 100-continue\r\n${JSON_TYPE}\r\nContent-Length: 12\r\n\r\n${EVENT}`
  )
  t.match(old.text, /^HTTP\/1\.1 201 /)
  const socket = connect()
  const get = 'GET /ping HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n'
  socket.write(get)
  await socket.until(/200 OK[\s\S]*}/)
  socket.write(get)
  await socket.until(/200 OK[\s\S]*200 OK[\s\S]*}/)
  socket.destroy()
})

/** Options that skip a test if a program is not installed. */
const without = (program: string) => ({ skip: skipWithout(program) })
const run = promisify(execFile)

t.test('curl gets a refusal without sending its file', without('curl'), async (t) => {
  const directory = t.testdir({ plain: {}, tls: {} })
  const file = join(directory, 'large')
  writeFileSync(file, Buffer.alloc(40 * 1024 * 1024, 0x20))
  const tls = await makeCertificate(Date.now())
  for (const [name, options] of Object.entries({ plain: {}, tls: { tls } })) {
    const { url } = await listen(t, { insecure: false, directory: join(directory, name), ...options })
    for (const [status, args] of [
      ['401', []],
      ['401', ['-u', 'ann:wrong']],
      ['413', ['-u', 'admin:changeit']]
    ] satisfies [string, string[]][]) {
      const shown = '%{http_code} %{size_upload}'
      const { stdout } = await run('curl', ['-sk', '-o', '/dev/null', '-w', shown, '-H', 'Expect: 100-continue', '--expect100-timeout', '60', '--json', `@${file}`, ...args, `${url}/streams/s`]) // biome-ignore format: one line
      t.equal(stdout, `${status} 0`, `${url} ${args}`)
    }
  }
})

const PYTHON = `
import sys, urllib.request, urllib.error
url, size = sys.argv[1], int(sys.argv[2])
headers = {'Content-Type': 'application/octet-stream', 'Event-Type': 'T'}
for i in range(4):
    try:
        urllib.request.urlopen(urllib.request.Request(url, data=bytes(size), headers=headers))
        print('taken')
    except urllib.error.HTTPError as error:
        print(error.code, error.headers['Content-Type'], len(error.read()) > 0)
`

t.test('Python, which sends its whole body before it reads, sees each refusal', without('python3'), async (t) => {
  const directory = t.testdir({ open: {}, closed: {} })
  const open = await listen(t, { directory: join(directory, 'open') })
  const closed = await listen(t, { directory: join(directory, 'closed'), insecure: false, anonymous: false })
  for (const [url, status] of [
    [`${open.url}/streams/x`, 413],
    [`${open.url}/nowhere`, 404],
    [`${closed.url}/streams/x`, 401]
  ] as const) {
    const { stdout } = await run('python3', ['-c', PYTHON, url, String(limits.body_bytes_max + 1)])
    const lines = stdout.trim().split('\n')
    t.equal(lines.length, 4)
    for (const line of lines) t.match(line, new RegExp(`^${status} `), url)
  }
})
