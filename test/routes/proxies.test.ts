/** Through real proxies: with the configurations of docs/behind-a-proxy.md, and with default settings. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { get, type IncomingMessage, request } from 'node:http'
import { createGunzip } from 'node:zlib'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { append, listen } from '../helpers/app.js'
import { skip as noBrowser, openPage, shownWith, untilLive } from '../helpers/browser.js'
import { projectFile } from '../helpers/project.js'
import { skipHaproxy, skipNginx, startHaproxy, startNginx } from '../helpers/proxies.js'
import { post } from '../helpers/returning-server.js'

const document = readFileSync(projectFile('docs/behind-a-proxy.md'), 'utf8')
const ATOM = 'application/vnd.eventstore.atom+json'

/** Returns a configuration of the document with these ports. */
function documentedConfiguration(kind: 'nginx' | 'haproxy', port: number, server: string): string {
  const [, text = ''] = new RegExp(`\`\`\`${kind}\\n([\\s\\S]*?)\`\`\``).exec(document) ?? []
  return text.replaceAll('8080', String(port)).replaceAll('127.0.0.1:2113', server)
}

interface Behind {
  /** The address of the server as clients of the proxy see it. */
  readonly url: string
  readonly passesUpgrade: boolean
  readonly largeBodies: boolean
}

t.test('with nginx configured as documented, all features work under a prefix', { skip: skipNginx }, async (t) => {
  const { url: own } = await listen(t, { trustProxy: true })
  const url = await startNginx(t, (port) => documentedConfiguration('nginx', port, new URL(own).host))
  await checkEverything(t, { url: `${url}/es`, passesUpgrade: true, largeBodies: true })
  await checkAddresses(t, `${url}/es`)
  const { headers } = await fetch(`${url}/es/streams/s/`, { redirect: 'manual' })
  t.equal(headers.get('location'), `${url}/es/streams/s`)
})

t.test('with HAProxy configured as documented, all features work under a prefix', { skip: skipHaproxy }, async (t) => {
  const { url: own } = await listen(t, { trustProxy: true })
  const url = await startHaproxy(t, (port) => documentedConfiguration('haproxy', port, new URL(own).host))
  await checkEverything(t, { url: `${url}/es`, passesUpgrade: true, largeBodies: true })
  await checkAddresses(t, `${url}/es`)
})

t.test(
  'with the default settings of nginx, all features work except WebSockets and large bodies',
  { skip: skipNginx },
  async (t) => {
    const { url: own } = await listen(t)
    const url = await startNginx(
      t,
      (port) => `gzip on; gzip_types *; gzip_proxied any; gzip_min_length 1;
      server { listen ${port}; location / { proxy_pass ${own}; } }`
    )
    await checkEverything(t, { url, passesUpgrade: false, largeBodies: false })
    await checkLinks(t, url)
  }
)

t.test('with the default settings of HAProxy, all features work', { skip: skipHaproxy }, async (t) => {
  const { url: own } = await listen(t)
  const url = await startHaproxy(
    t,
    (port) => `defaults
  mode http
  option httplog
  option dontlognull
  timeout connect 5000
  timeout client 50000
  timeout server 50000
frontend web
  bind :${port}
  default_backend daybook
backend daybook
  server one ${new URL(own).host}`
  )
  await checkEverything(t, { url, passesUpgrade: true, largeBodies: true })
  await checkLinks(t, url)
})

t.test(
  'the browser page shows and follows events behind nginx, with and without upgrades and buffering',
  { skip: skipNginx || noBrowser },
  async (t) => {
    const { app, url: own } = await listen(t, { trustProxy: true })
    const { host } = new URL(own)
    await append(app, 'a/b', { type: 'T' })
    const rows: [what: string, path: string, http: (port: number) => string][] = [
      ['as documented', '/es', (port) => documentedConfiguration('nginx', port, host)],
      [
        'without an upgrade, under a path that no header names',
        '/x/events',
        (port) => `server { listen ${port}; location /x/events/ { proxy_pass ${own}/; } }`
      ],
      [
        'with every response buffered',
        '',
        (port) => `server { listen ${port}; location / { proxy_pass ${own}; proxy_ignore_headers X-Accel-Buffering; } }`
      ]
    ]
    for (const [i, [what, path, http]] of rows.entries()) {
      const stream = `page-${i}`
      await append(app, stream, [{ type: 'T' }, { type: 'T' }])
      const url = await startNginx(t, http)
      const { page } = await openPage(t, `${url}${path}/streams/${stream}`)
      t.same(await shownWith(page, 0), [1, 0], what)
      await untilLive(page)
      await append(app, stream, { type: 'T' })
      t.same(await shownWith(page, 2), [2, 1, 0], `${what}: live events`)
      await page.locator('#events > li:first-child a.place').click()
      await page.locator('a.previous').click()
      t.same(await shownWith(page, 1), [1], `${what}: an event, and the previous one`)
      await page.locator('h1 a').click()
      await page.locator('#streams a').first().waitFor()
      t.equal(new URL(page.url()).pathname, `${path}/`, what)
      await page.getByLabel('stream begins with').fill('page')
      await page.keyboard.press('Enter')
      await page.waitForURL(`${url}${path}/events?stream.prefix=page`)
    }
  }
)

/** Checks appends, pages, and live reads over all transports. */
async function checkEverything(t: Test, { url, passesUpgrade, largeBodies }: Behind): Promise<void> {
  await post(
    url,
    's',
    Array.from({ length: 5 }, () => ({ type: 'T' }))
  )
  const live: [what: string, path: string, headers: Record<string, string>][] = [
    ['lines', '/streams/s?live=true', {}],
    ['an event stream', '/streams/s?from=0', { accept: 'text/event-stream' }],
    ['lines, compressed', '/streams/s?live=true', { 'accept-encoding': 'gzip' }],
    ['an event stream, compressed', '/streams/s?from=0', { accept: 'text/event-stream', 'accept-encoding': 'gzip' }]
  ]
  for (const [what, path, headers] of live) {
    const marker = `M-${what.length}`
    const answer = await answerTo(url + path, headers)
    const reader = readerOf(answer)
    await reader.until('"type":"T"')
    await post(url, 's', { type: marker })
    await reader.until(`"type":"${marker}"`)
    answer.destroy()
    t.pass(`${what}: each event comes as soon as it is written`)
  }
  await followsOverWebSocket(t, url, passesUpgrade)
  const large = { type: 'Large', data: 'x'.repeat(3 << 20) }
  const { status } = await fetch(`${url}/streams/large`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(large)
  })
  t.equal(status, largeBodies ? 201 : 413, 'a large body')
  const lines = await fetch(`${url}/events?format=ndjson&trailer=true`)
  t.match((await lines.text()).trim().split('\n').at(-1), /^{"end":/, 'the export has its trailer')
  t.equal((await streamedWrite(url)).trim().split('\n').length, 2, 'a receipt for each batch of a streamed write')
  t.equal((await fetch(`${url}/streams/s?wait=1&from=end`)).status, 200)
  const tagged = await fetch(`${url}/streams/s`)
  const again = await fetch(`${url}/streams/s`, { headers: { 'if-none-match': tagged.headers.get('etag') as string } })
  t.equal(again.status, 304)
}

async function followsOverWebSocket(t: Test, url: string, passesUpgrade: boolean): Promise<void> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/streams/s?from=0`, 'daybook.v1')
  if (!passesUpgrade) {
    const [, answer] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage]
    t.equal(answer.statusCode, 426)
    t.match(await readerOf(answer).until('}'), /"code":"upgrade-lost".*proxy removed/)
    return
  }
  const frames: string[] = []
  socket.on('message', (data) => frames.push(String(data)))
  while (!frames.some((frame) => frame.includes('caughtUp'))) await once(socket, 'message')
  await post(url, 's', { type: 'OverSocket' })
  while (!frames.at(-1)?.includes('"OverSocket"')) await once(socket, 'message')
  socket.terminate()
  t.pass('events come over WebSocket')
}

/** Follows the links of pages in both orders. */
async function checkLinks(t: Test, url: string): Promise<void> {
  const { origin } = new URL(url)
  for (const [first, name] of [
    ['/streams/s?limit=2', 'next'],
    ['/events?order=desc&limit=3', 'next'],
    ['/streams?limit=1', 'next'],
    ['/', 'events']
  ] as const) {
    // biome-ignore format: a table
    let path: string | undefined = `${url}${first}`
    for (let pages = 0; path !== undefined && pages < 3; pages++) {
      const answer: Response = await fetch(path)
      t.equal(answer.status, 200, path)
      const { links } = (await answer.json()) as { links: Record<string, string | undefined> }
      path = links[name] && origin + links[name]
    }
  }
}

/** Does what checkLinks does, and follows absolute addresses, which the server knows only from its proxy. */
async function checkAddresses(t: Test, url: string): Promise<void> {
  await checkLinks(t, url)
  const sent = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"type":"T"}' }
  const made = await fetch(`${url}/streams/a%2Fb`, sent)
  t.equal((await fetch(new URL(made.headers.get('location') as string, url))).status, 200, 'Location')
  const missing = (await (await fetch(`${url}/streams/none`)).json()) as { type: string }
  t.equal((await fetch(new URL(missing.type, url))).status, 200, 'the page of a problem')
  const answer = await fetch(`${url}/streams/a%2Fb`, { headers: { accept: ATOM } })
  const feed = (await answer.json()) as { links: { uri: string }[] }
  t.ok(feed.links.length > 0, 'the feed has links')
  for (const { uri } of feed.links) t.equal((await fetch(uri, { headers: { accept: ATOM } })).status, 200, uri)
  t.match(await (await fetch(`${url}/streams/a%2Fb`)).json(), { stream: 'a/b' }, 'a slash in a name')
}

function answerTo(url: string, headers: Record<string, string>): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => get(url, { headers, agent: false }, resolve).on('error', reject))
}

/** Returns a reader of the body, inflated. */
function readerOf(answer: IncomingMessage) {
  const plain = answer.headers['content-encoding'] === 'gzip' ? answer.pipe(createGunzip()) : answer
  answer.on('error', () => {})
  plain.on('error', () => {})
  let text = ''
  plain.on('data', (chunk) => (text += chunk))
  return {
    until: async (words: string) => {
      while (!text.includes(words)) await once(plain, 'data')
      return text
    }
  }
}

/** Sends a streamed write of two batches. */
function streamedWrite(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/x-ndjson' }
    const sent = request(`${url}/events?batch=1`, { method: 'POST', headers, agent: false }, (answer) => {
      let text = ''
      answer.on('data', (chunk) => (text += chunk)).on('end', () => resolve(text))
    })
    sent.on('error', reject)
    sent.write('{"stream":"w","type":"T"}\n')
    sent.end('{"stream":"w","type":"T"}\n')
  })
}
