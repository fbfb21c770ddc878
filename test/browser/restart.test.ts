/** Event stream clients, and the EventSource of a real browser, across server kills and slow starts. */
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { append, listen } from '../helpers/app.js'
import { openPage, skip } from '../helpers/browser.js'
import {
  type FollowingClient,
  type ReceivedMessages,
  withBrowser,
  withEventSource,
  withEventSourceClient,
  withFetchEventSource
} from '../helpers/event-sources.js'
import { post } from '../helpers/returning-server.js'
import { SlowServer } from '../helpers/slow-server.js'

const PATH = '/streams/s?from=0&heartbeat=1'

t.test('event stream clients receive every event once and in order across a kill and a slow start', async (t) => {
  const server = new SlowServer(t)
  await server.listen()
  await server.open()
  await post(server.url, 's', [{ type: 'T' }, { type: 'T' }])
  const url = server.url + PATH
  const clients: FollowingClient[] = [
    withEventSource(t, url),
    withEventSourceClient(t, url),
    await withFetchEventSource(t, url)
  ]
  if (skip) t.comment(`without the EventSource of a browser: ${skip}`)
  else clients.push(await withBrowser((await openPage(t, `${server.url}/streams/elsewhere`)).page, PATH))
  await untilAll(clients, 'the first events', hasNumber(1))
  // Kill the server during appends, so that it is unknown which events were sent. The second start takes longer than
  // the server holds early requests.
  for (const [times, code] of [
    [1, undefined],
    [50, 'starting'],
    [1, undefined]
  ] as const) {
    const before = await Promise.all(clients.map(async (client) => (await client.received()).numbers.length))
    const appending = appendUntilGone(server.url)
    await untilAll(clients, 'one of the appended events', hasNumber(Math.max(...before)))
    await server.kill()
    await appending
    await server.listen(times)
    if (code === undefined) await server.asked(PATH, clients.length)
    else await untilAll(clients, `the message "closing ${code}"`, ({ named }) => named.includes(`closing ${code}`))
    await server.open()
    await post(server.url, 's', { type: 'After' })
    const head = Number((await fetch(`${server.url}/streams/s`, { method: 'HEAD' })).headers.get('daybook-head'))
    await untilAll(clients, `event ${head}`, hasNumber(head))
    const all = Array.from({ length: head + 1 }, (_, i) => i)
    for (const client of clients) {
      const { numbers, thrown, gaveUp } = await client.received()
      t.same({ numbers, thrown, gaveUp }, { numbers: all, thrown: [], gaveUp: false }, client.name)
    }
  }
})

t.test('a connection that breaks in the middle of an event makes no client lose that event', async (t) => {
  const { app, url } = await listen(t)
  await append(app, 's', [{ type: 'T' }, { type: 'T', data: 'x'.repeat(100_000) }, { type: 'T' }])
  const { address, cuts } = await cuttingProxy(t, url, 50_000)
  const clients = [
    withEventSource(t, address + PATH),
    withEventSourceClient(t, address + PATH),
    await withFetchEventSource(t, address + PATH)
  ]
  await untilAll(clients, 'the last event', hasNumber(2))
  for (const client of clients) t.match(await client.received(), { numbers: [0, 1, 2], thrown: [] }, client.name)
  t.equal(cuts(), clients.length, 'every connection was cut')
})

/** Starts a proxy that cuts each response to a request without `Last-Event-ID` after a number of bytes. */
async function cuttingProxy(t: Test, target: string, bytes: number) {
  let cuts = 0
  const proxy = createServer((asked, response) => {
    const sent = request(target + asked.url, { headers: asked.headers, agent: false }, (answer) => {
      response.writeHead(answer.statusCode as number, answer.headers)
      if (asked.headers['last-event-id'] !== undefined) return answer.pipe(response)
      let left = bytes
      answer.on('data', (chunk: Buffer) => {
        if (left <= 0) return
        left -= chunk.length
        if (left > 0) return response.write(chunk)
        cuts++
        response.write(chunk.subarray(0, chunk.length + left), () => {
          response.destroy()
          answer.destroy()
        })
      })
    })
    sent.on('error', () => {}) // the proxy cut the response
    response.on('close', () => sent.destroy())
    sent.end()
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.teardown(() => {
    proxy.closeAllConnections()
    proxy.close()
  })
  return { address: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, cuts: () => cuts }
}

function hasNumber(least: number): (kept: ReceivedMessages) => boolean {
  return ({ numbers }) => (numbers.at(-1) ?? -1) >= least
}

/** Waits until a condition holds for each client, for up to 60 s. */
async function untilAll(
  clients: readonly FollowingClient[],
  what: string,
  isSo: (kept: ReceivedMessages) => boolean
): Promise<void> {
  const end = Date.now() + 60_000
  for (const client of clients) {
    for (let kept = await client.received(); !isSo(kept); kept = await client.received()) {
      if (Date.now() > end) throw new Error(`${client.name} did not reach: ${what}; ${JSON.stringify(kept)}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

/** Appends events one by one until the server is unreachable. */
async function appendUntilGone(url: string): Promise<void> {
  try {
    for (;;) await post(url, 's', { type: 'T' })
  } catch {
    // the server was killed
  }
}
