/** A browser that opens an address of the server runs no stored script, in any format of the response. */
import t from 'tap'
import { append, ask, listen } from '../helpers/app.js'
import { send } from '../helpers/http.js'
import { LiveBlocks, LiveLines } from '../helpers/live-clients.js'
import { admin, makeUser } from '../helpers/people.js'

const SCRIPT = { 'x:script': { '@xmlns:x': 'http://www.w3.org/1999/xhtml', '#text': 'alert(1)' } }
const POLICY = "default-src 'none'; frame-ancestors 'none'"
const XML = 'application/atom+xml'
const ATOM = 'application/vnd.eventstore.atom+json'

t.test('every answer has a policy that allows no script, and nosniff', async (t) => {
  const { app, store } = await listen(t, { insecure: false, anonymous: true })
  await append(app, 's', { type: '<script>', data: SCRIPT })
  await append(app, '<svg onload=alert(1)>', { type: 'T', data: SCRIPT })
  await append(app, 'gone', { type: 'T' })
  const bob = await makeUser(store, 'bob')
  const rows: [status: number, call: string, headers?: Record<string, string>, body?: unknown][] = [
    [200, 'GET /streams/s'],
    [200, 'GET /streams/s?format=ndjson'],
    [200, 'GET /streams/s/0'],
    [200, 'GET /events'],
    [200, 'GET /events/0'],
    [200, 'GET /streams/s/0?format=xml', { accept: '' }],
    [200, 'GET /streams/s/0', { accept: 'text/xml' }],
    [200, 'GET /streams/s/0', { accept: 'application/vnd.eventstore.event+xml' }],
    [200, 'GET /streams/s', { accept: XML }],
    [200, 'GET /streams/s?embed=content', { accept: XML }],
    [200, 'GET /streams/s?embed=tryharder', { accept: ATOM }],
    [200, 'GET /streams/$all', { accept: XML, ...admin }],
    [200, `GET /streams/${encodeURIComponent('<svg onload=alert(1)>')}`, { accept: XML }],
    [200, 'GET /streams/s', { accept: 'application/vnd.eventstore.streamdesc+json' }],
    [200, 'GET /streams'],
    [200, 'GET /types'],
    [200, 'GET /metrics'],
    [200, 'GET /problems/not-found'],
    [200, 'GET /openapi.yaml'],
    [200, 'GET /users', admin],
    [200, 'OPTIONS /streams/s'],
    [201, 'POST /streams/s', { 'es-eventtype': 'T', 'es-eventid': '5b0c7c5e-6b6e-4f0e-9d1a-2f6f3c0f9a11' }, {}],
    [204, 'DELETE /streams/gone'],
    [307, 'GET /streams/s/'],
    [400, 'GET /streams/s?limit=<script>'],
    [400, 'GET /streams/s/x/forward/<script>', { accept: ATOM }],
    [401, 'GET /users'],
    [401, 'GET /streams/$settings', { accept: ATOM }],
    [403, 'GET /users', bob],
    [404, 'GET /<script>'],
    [404, 'GET /<script>', { accept: 'text/plain' }],
    [404, 'GET /streams/none', { accept: XML }],
    [404, 'GET /streams/none/0', { accept: ATOM }],
    [405, 'PUT /events'],
    [406, 'GET /streams/s', { accept: 'image/png' }],
    [415, 'POST /streams/s', { 'content-type': 'image/svg+xml' }, '<svg/>']
  ] // biome-ignore format: a table
  for (const [status, call, headers = {}, body] of rows) {
    const answer = await ask(app, call, headers, body)
    t.equal(answer.statusCode, status, `${call} ${JSON.stringify(headers)}`)
    t.equal(answer.headers['content-security-policy'], POLICY, `${call} ${JSON.stringify(headers)}`)
    t.equal(answer.headers['x-content-type-options'], 'nosniff', `${call} ${JSON.stringify(headers)}`)
  }
  for (const accept of ['*/*', ATOM]) {
    const { etag } = (await ask(app, 'GET /streams/s', { accept })).headers
    const { statusCode, headers } = await ask(app, 'GET /streams/s', { accept, 'if-none-match': String(etag) })
    t.equal(statusCode, 304, accept)
    t.equal(headers['content-security-policy'], POLICY, `304, ${accept}`)
  }
})

t.test('a script in event data stays as it is in XML, under the policy that allows no script', async (t) => {
  const { app } = await listen(t)
  await append(app, 's', { type: 'T', data: { '@xmlns': 'http://www.w3.org/1999/xhtml', script: 'alert(1)' } })
  const { body, headers } = await ask(app, 'GET /streams/s/0?format=xml', { accept: '' })
  t.match(headers['content-type'], /xml/)
  t.match(body, /<script>alert\(1\)<\/script>/, 'the script is in the document')
  t.equal(headers['content-security-policy'], POLICY)
})

t.test('live answers and early refusals also have the policy that allows no script', async (t) => {
  const { app, url } = await listen(t, { hosts: [] })
  await append(app, 's', { type: 'T' })
  const stream = await LiveBlocks.open(t, `${url}/streams/s`)
  const lines = await LiveLines.open(t, `${url}/streams/s?live=true`)
  for (const { response } of [stream, lines]) t.equal(response.headers['content-security-policy'], POLICY)
  const { status, headers } = await send(`${url}/events`, { headers: { host: 'evil.example' } })
  t.equal(status, 421)
  t.equal(headers['content-security-policy'], POLICY)
})

t.test('the browser page has its own policy, which allows its own script', async (t) => {
  const { app } = await listen(t)
  await append(app, 's', { type: 'T' })
  for (const url of ['/', '/events', '/events/0', '/streams/s', '/streams/s/0', '/streams/none']) {
    const { headers, statusCode } = await ask(app, `GET ${url}`, { accept: 'text/html' })
    t.equal(statusCode, 200, url)
    t.match(headers['content-type'], /^text\/html/, url)
    t.match(
      headers['content-security-policy'],
      /^default-src 'none'; style-src 'sha256-[^;]+; script-src 'sha256-/,
      url
    )
    const tag = String(headers.etag)
    const again = await ask(app, `GET ${url}`, { accept: 'text/html', 'if-none-match': tag })
    t.equal(again.statusCode, 304, url)
    t.match(again.headers['content-security-policy'], /script-src 'sha256-/, `${url}: the cached page`)
  }
})
