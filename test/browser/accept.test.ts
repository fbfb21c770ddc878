/** Which requests get the HTML page, its caching and its security headers. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { append, openApp } from '../helpers/app.js'
import { injectLive } from '../helpers/endless.js'
import { projectFile } from '../helpers/project.js'

const CHROMIUM = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8'
const FIREFOX = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'
const PLACES = ['/', '/events', '/events/0', '/streams/s', '/streams/s/0', '/streams/never', '/events?typ=x']

t.test('a request that prefers HTML gets the page, at every address of events', async (t) => {
  const { app } = await openApp(t)
  await append(app, 's', { type: 'T' })
  for (const url of PLACES) {
    for (const accept of [
      CHROMIUM,
      FIREFOX,
      'text/html',
      'TEXT/HTML;q=0.4, application/json;q=0.3',
      'text/html, */*'
    ]) {
      const { statusCode, headers, body } = await app.inject({ url, headers: { accept } })
      t.equal(statusCode, 200, `${url} as ${accept}`)
      t.equal(headers['content-type'], 'text/html; charset=utf-8', `${url} as ${accept}`)
      t.equal(headers.vary?.includes('Accept'), true)
      t.match(body, /^<!doctype html>/)
    }
  }
})

t.test('a request that does not prefer HTML, or selects another form, never gets the page', async (t) => {
  const { app } = await openApp(t)
  await append(app, 's', { type: 'T' })
  const accepts = [
    undefined,
    '*/*',
    'application/json',
    'application/json, text/html',
    'application/json, text/html;q=0.9, */*;q=0.1',
    'text/html;q=0, */*',
    'text/html;q=0.5, */*',
    'text/event-stream, text/html;q=0.9',
    'text/*'
  ]
  const form = async (url: string, headers: Record<string, string>) =>
    (await injectLive(app, { url, headers })).headers['content-type']
  for (const accept of accepts) {
    for (const url of ['/', '/events', '/streams/s']) {
      const type = await form(url, accept === undefined ? {} : { accept })
      t.not(type, 'text/html; charset=utf-8', `${url} as ${accept}`)
    }
  }
  const accept = CHROMIUM
  t.match(await form('/events?format=page', { accept }), /^application\/json/)
  t.match(await form('/events?format=ndjson', { accept }), /^application\/x-ndjson/)
  t.match(await form('/streams/s?format=atom', { accept }), /^application\/atom\+xml/)
  t.notMatch(await form('/streams/s?embed=body', { accept }), /html/)
  t.notMatch(await form('/streams/s', { accept, 'es-resolvelinktos': 'true' }), /html/)
  t.notMatch(await form('/streams/s/0/forward/5', { accept }), /html/)
  t.match(await form('/info', { accept }), /^application\/json/)
})

t.test('only the script of the page itself runs, and no other site can embed the page', async (t) => {
  const { app } = await openApp(t)
  const { headers } = await app.inject({ url: '/', headers: { accept: CHROMIUM } })
  const policy = headers['content-security-policy'] as string
  t.match(policy, /^default-src 'none'; style-src 'sha256-[^' ]+'; script-src 'sha256-[^' ]+'; connect-src 'self';/)
  t.match(policy, /base-uri 'none'; form-action 'none'; frame-ancestors 'none'$/)
  t.notMatch(policy, /unsafe/)
  t.equal(headers['x-content-type-options'], 'nosniff')
  t.equal(headers['referrer-policy'], 'no-referrer')
})

t.test('browsers revalidate the page on every visit, and an unchanged page is answered 304', async (t) => {
  const { app } = await openApp(t)
  const first = await app.inject({ url: '/events', headers: { accept: CHROMIUM } })
  t.equal(first.headers['cache-control'], 'no-cache')
  const tag = first.headers.etag as string
  const again = await app.inject({ url: '/streams/s', headers: { accept: CHROMIUM, 'if-none-match': tag } })
  t.same([again.statusCode, again.body, again.headers.etag], [304, '', tag])
  const asJson = await app.inject({ url: '/events', headers: { accept: '*/*', 'if-none-match': tag } })
  t.equal(asJson.statusCode, 200)
  const head = await app.inject({ method: 'HEAD', url: '/events', headers: { accept: CHROMIUM } })
  t.same([head.statusCode, head.body, head.headers.etag], [200, '', tag])
})

t.test(
  'the page is one file without external resources, and part of the package and the container image',
  async (t) => {
    const read = (name: string) => readFileSync(projectFile(name), 'utf8')
    const page = read('ui/page.html')
    t.notMatch(page, /https?:|<link[^>]+stylesheet|<script[^>]+src|innerHTML|\son\w+="/)
    t.ok(JSON.parse(read('package.json')).files.includes('ui'))
    t.match(read('Dockerfile'), /COPY --from=build \/app\/ui \.\/ui/)
    t.match(read('.dockerignore'), /^!ui$/m)
  }
)
