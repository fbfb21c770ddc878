/** Live reads behind a Node proxy that compresses every response that may be transformed, which is its default. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import compression from 'compression'
import { EventSource } from 'eventsource'
import { createProxyMiddleware } from 'http-proxy-middleware'
import t, { type Test } from 'tap'
import { DaybookError } from '../../src/errors.js'
import { append, listen } from '../helpers/app.js'
import { send } from '../helpers/http.js'
import { LiveBlocks, LiveLines } from '../helpers/live-clients.js'
import { eventually } from '../helpers/live-events.js'

const GZIP = { 'accept-encoding': 'gzip, deflate, br' }

/** @param dropsCacheControl the proxy removes `cache-control` before it decides whether to compress */
async function compressingProxy(t: Test, target: string, dropsCacheControl = false): Promise<string> {
  const compress = compression()
  const dropCacheControl = {
    proxyRes: ({ headers }: { headers: object }) => void Reflect.deleteProperty(headers, 'cache-control')
  }
  const pass = createProxyMiddleware({ target, ...(dropsCacheControl && { on: dropCacheControl }) })
  const proxy = createServer((request, response) => {
    // biome-ignore lint/suspicious/noExplicitAny: its types are those of express, which it does not need
    compress(request as any, response as any, () => void pass(request, response, () => {}))
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.teardown(() => {
    proxy.closeAllConnections()
    proxy.close()
  })
  return `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
}

t.test('a compressing proxy passes every live message on at once', async (t) => {
  const { app, url } = await listen(t)
  await append(app, 's', { type: 'T' })
  const proxy = await compressingProxy(t, url)
  const blocks = await LiveBlocks.open(t, `${proxy}/streams/s?from=0`, GZIP)
  const lines = await LiveLines.open(t, `${proxy}/streams/s?live=true`, GZIP)
  const numbers: number[] = []
  const source = new EventSource(`${proxy}/streams/s?from=0`) // its fetch asks for compression
  t.teardown(() => source.close())
  source.onmessage = ({ data }) => numbers.push(JSON.parse(data).number)
  await blocks.untilNamed('caughtUp')
  for (let count = 1; count < 5; count++) {
    await blocks.untilEvents(count)
    await lines.untilEvents(count)
    await eventually(`event ${count} at the EventSource`, () => numbers.length >= count)
    await append(app, 's', { type: 'T' }) // only after the previous event has come
  }
  for (const { response } of [blocks, lines]) {
    t.match(response.headers, { 'cache-control': 'private, no-store, no-transform', 'content-encoding': undefined })
  }
  // Without cache-control the proxy compresses the stream, and holds back even its headers until the stream ends.
  const withoutHeader = await compressingProxy(t, url, true)
  const ended = await send(`${withoutHeader}/streams/s?format=sse&live=false`, { headers: GZIP })
  t.match(ended.headers, { 'content-type': /event-stream/, 'content-encoding': /gzip|br/ })
})

t.test(
  'a compressing proxy passes on the closing message of an event stream that is refused as overloaded',
  async (t) => {
    const { store, url } = await listen(t)
    store.subscriptions.checkRoom = () => {
      throw new DaybookError('overloaded', 'full', { retry: true })
    }
    const proxy = await compressingProxy(t, url)
    const blocks = await LiveBlocks.open(t, `${proxy}/streams/s?lastEventId=3`, GZIP)
    await blocks.untilNamed('closing')
    t.match(blocks.all, [{ event: 'closing', id: '3', data: /"code":"overloaded"/, retry: /^\d+$/ }])
    t.match(blocks.response.headers, { 'cache-control': /no-transform/, 'content-encoding': undefined })
  }
)

t.test('a page may be compressed by the proxy', async (t) => {
  const { app, url } = await listen(t)
  await append(app, 's', { type: 'T', data: 'x'.repeat(10_000) })
  const proxy = await compressingProxy(t, url)
  const { status, headers } = await send(`${proxy}/streams/s`, { headers: GZIP })
  t.match({ status, headers }, { status: 200, headers: { 'content-encoding': /gzip|br/ } })
})
