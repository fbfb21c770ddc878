/** When the server refuses requests as overloaded, and when it does not. */
import { spawn } from 'node:child_process'
import { request } from 'node:http'
import type { Socket } from 'node:net'
import { availableParallelism } from 'node:os'
import t, { type Test } from 'tap'
import type { LoadOptions } from '../../routes/http/load/rate-limits.js'
import type { Clock } from '../../src/time/clock.js'
import { append, listen } from '../helpers/app.js'
import { serve } from '../helpers/cli.js'
import { send } from '../helpers/http.js'
import { fastClock, LiveBlocks } from '../helpers/live-clients.js'
import { eventually } from '../helpers/live-events.js'
import { listenRaw } from '../helpers/raw.js'

const LOAD = { connections: 1000, connectionsPerAddress: 0, requestsPerSecond: 0, requestsInFlight: 2 }
const ANY = { headers: { accept: '*/*' } }

/** Opens a server whose pages wait until the test releases them. */
async function listenHeld(t: Test, load: LoadOptions = LOAD, clock?: Clock) {
  const opened = await listen(t, { load, clock })
  const { reader } = opened.store
  await append(opened.app, 's', { type: 'T' })
  const page = reader.page.bind(reader)
  let held = 0
  let release = () => {}
  const released = new Promise<void>((resolve) => (release = resolve))
  reader.page = async (...all) => {
    held++
    await released
    return page(...all)
  }
  const ask = (path = '/streams/s?from=0') => send(opened.url + path, ANY)
  return {
    ...opened,
    ask,
    release: () => release(),
    untilHeld: (count: number) => eventually('pages', () => held >= count)
  }
}

t.test('requests beyond the in-flight limit are refused until others have been answered', async (t) => {
  const { ask, untilHeld, release } = await listenHeld(t)
  const admitted = [ask('/streams/s?from=0&limit=1'), ask('/streams/s?from=0&limit=2')]
  await untilHeld(2)
  const refused = await ask('/streams/s?from=0&limit=3')
  t.match(JSON.parse(refused.text), { status: 503, code: 'overloaded', limit: 2, retry: true })
  t.equal(refused.headers['retry-after'], '1')
  for (const probe of ['/livez', '/readyz', '/ping', '/health/live']) {
    t.ok((await ask(probe)).status < 300, `${probe} is answered`)
  }
  release()
  for (const one of await Promise.all(admitted)) t.equal(one.status, 200)
  for (let i = 0; i < 10; i++) t.equal((await ask()).status, 200, 'requests are accepted again')
})

for (const [how, leave] of [
  ['has closed its connection', (socket: Socket | null) => socket?.destroy()],
  ['was reset', (socket: Socket | null) => socket?.resetAndDestroy()]
] satisfies [string, (socket: Socket | null) => void][]) {
  t.test(`a request whose client ${how} frees its slot`, async (t) => {
    const { url, ask, untilHeld } = await listenHeld(t, LOAD, fastClock(20))
    const leaving = [1, 2].map((limit) => request(`${url}/streams/s?from=0&limit=${limit}`, { agent: false, ...ANY }))
    for (const one of leaving) {
      one.on('error', () => {})
      one.end()
    }
    await untilHeld(2)
    t.equal((await ask('/types')).status, 503)
    for (const { socket } of leaving) leave(socket)
    let status = 503
    while (status === 503) ({ status } = await ask('/types'))
    t.equal(status, 200)
  })
}

t.test('waiting reads, live readers and refused requests take no in-flight slot', async (t) => {
  const { app, url, ask } = await listenHeldOpen(t)
  const live = await Promise.all([0, 1, 2].map(() => LiveBlocks.open(t, `${url}/streams/s?from=0`)))
  for (const one of live) await one.untilEvents(1)
  let requests = 0
  app.server.on('request', () => requests++)
  const polls: ReturnType<typeof ask>[] = []
  for (const _ of [1, 2, 3]) {
    const before = requests
    polls.push(ask('/streams/s?after=0&wait=60'))
    await eventually('the request has come', () => requests > before)
    // The request is in flight until it starts to wait.
    while ((await ask('/events?limit=1')).status === 503);
  }
  for (let i = 0; i < 5; i++) {
    t.equal((await ask('/events?limit=1')).status, 200)
    t.equal((await ask('/streams/s?typ=T')).status, 400)
  }
  await append(app, 's', { type: 'T' })
  for (const poll of await Promise.all(polls)) t.match(poll, { status: 200, text: /"number":1/ })
})

async function listenHeldOpen(t: Test) {
  const opened = await listen(t, { load: { ...LOAD, requestsInFlight: 1 } })
  await append(opened.app, 's', { type: 'T' })
  return { ...opened, ask: (path: string) => send(opened.url + path, ANY) }
}

t.test('pipelined requests on one connection count as one, and each is answered', async (t) => {
  const { raw } = await listenRaw(t, { load: { ...LOAD, requestsInFlight: 1 } })
  const one = 'GET /events HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n'
  const last = 'GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
  const { text } = await raw(one.repeat(50) + last)
  const statuses = [...text.matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => status)
  t.same(statuses, Array(51).fill('200'))
})

t.test('an idle server refuses no request while other processes use all processor time', async (t) => {
  const burners = Array.from({ length: availableParallelism() * 3 }, () =>
    spawn(process.execPath, ['-e', 'const { ppid } = process; while (process.ppid === ppid);'], { stdio: 'ignore' })
  )
  t.teardown(() => burners.map((burner) => burner.kill('SIGKILL')))
  const { child, url } = await serve(['serve', '--db', t.testdir({}), '--port', '0'])
  t.teardown(() => child.kill('SIGKILL'))
  while ((await send(`${url}/readyz`)).status !== 200);
  // Checks the first moments of the server, and more than its first second.
  for (const end = Date.now() + 2000; Date.now() < end; ) {
    const { status } = await send(`${url}/streams`, ANY)
    if (status !== 200) t.fail(`refused with ${status}`)
  }
  t.pass('nothing was refused')
})

t.test('pipelined requests take no slot, and are not handled once their connection is closed', async (t) => {
  const { app, store, connect, raw } = await listenRaw(t, { load: LOAD })
  await append(app, 's', { type: 'T' })
  let peer: Socket | undefined
  app.server.once('connection', (one) => (peer = one))
  let requests = 0
  app.server.on('request', () => requests++)
  const socket = connect()
  const body = '{"type":"T"}'
  const write = `POST /streams/s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  socket.write(`GET /streams/s?after=0&wait=60 HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n${write.repeat(10)}`)
  await eventually('all requests have come', () => requests === 11)
  const next = await raw('GET /types HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nConnection: close\r\n\r\n')
  t.equal(next.status, 200)
  peer?.resetAndDestroy()
  await socket.closed
  t.equal((await append(app, 'other', { type: 'T' })).statusCode, 201)
  t.equal(store.log.head, 1, 'none of the pipelined writes was made')
})

t.test('a live read ends with its connection, and live reads that are pipelined behind it do not begin', async (t) => {
  const { app, store, connect } = await listenRaw(t)
  await append(app, 's', { type: 'T' })
  let requests = 0
  app.server.on('request', () => requests++)
  const socket = connect()
  for (const accept of ['application/x-ndjson', 'text/event-stream', 'application/x-ndjson']) {
    socket.write(`GET /streams/s?live=true HTTP/1.1\r\nHost: x\r\nAccept: ${accept}\r\n\r\n`)
  }
  await eventually('all requests have come', () => requests === 3)
  await socket.until(/"type":"T"/)
  t.equal(store.subscriptions.size, 1)
  socket.destroy()
  await eventually('no subscription is left', () => store.subscriptions.size === 0)
})
