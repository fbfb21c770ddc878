/** The first lines of a request: its method, its target and its Host. */
import { METHODS } from 'node:http'
import t from 'tap'
import { append } from '../helpers/app.js'
import { listenRaw } from '../helpers/raw.js'

/** Returns the head of a request with these lines, each exactly as given. */
function lines(...all: readonly string[]): string {
  return `${[...all, 'Accept: */*', 'Connection: close'].join('\r\n')}\r\n\r\n`
}

const HOST = 'Host: localhost'
/** The options of a loopback listener. */
const HOSTS = { hosts: [] }

t.test('an absolute target is served as its path, and its authority replaces the Host', async (t) => {
  const { app, raw } = await listenRaw(t, HOSTS)
  await append(app, 'a', { type: 'T' })
  const plain = (await raw(lines('GET /streams/a?limit=1 HTTP/1.1', HOST))).json()
  const absolute = await raw(lines('GET http://localhost/streams/a?limit=1 HTTP/1.1', 'Host: evil.example'))
  t.equal(absolute.status, 200, 'the Host header is ignored')
  t.same(absolute.json(), plain, 'the links are those of the path')
  t.notMatch(absolute.headers.link, /http/)
  const slash = await raw(lines('GET http://127.0.0.1:4200/streams/a/ HTTP/1.1', HOST))
  t.match(slash, { status: 307, headers: { location: /^(http:\/\/127\.0\.0\.1:4200)?\/streams\/a$/ } })
  const feed = await raw(lines('GET http://127.0.0.1:4200/streams/a/0/forward/1 HTTP/1.1', HOST))
  t.match(feed.body, /"http:\/\/127\.0\.0\.1:4200\/streams\/a/, 'the dialect names the authority')
  t.equal((await raw(lines('GET http://localhost HTTP/1.1', HOST))).status, 200, 'without a path it is /')
  t.equal((await raw(lines('GET http://localhost?x=1 HTTP/1.1', HOST))).status, 200)
  t.equal((await raw(lines('GET HTTP://localhost/ping HTTP/1.0'))).status, 200)
})

t.test('an absolute target for another host is refused like a Host header that names it', async (t) => {
  const { raw } = await listenRaw(t, HOSTS)
  for (const [target, status, code] of [
    ['http://evil.example/ping', 421, 'host-refused'],
    ['http://evil.example:4200/ping', 421, 'host-refused'],
    ['https://localhost/ping', 421, 'host-refused'],
    ['http://ann:secret@localhost/ping', 400, 'bad-request'],
    ['ftp://localhost/ping', 400, 'bad-request'],
    ['http:///ping', 400, 'bad-request'],
    ['ping', 400, 'bad-request']
  ] as const) {
    const answer = await raw(lines(`GET ${target} HTTP/1.1`, HOST))
    t.match(answer, { status, headers: { 'content-type': /problem/ } }, target)
    t.match(answer.json(), { code }, target)
  }
})

t.test('a request has one Host, and only one of each header that proxies rely on', async (t) => {
  const { raw } = await listenRaw(t, HOSTS)
  const post = 'POST /streams/s HTTP/1.1'
  for (const [what, ...request] of [
    ['no Host', 'GET /ping HTTP/1.1'],
    ['no Host beside an authority', 'GET http://localhost/ping HTTP/1.1'],
    ['two Hosts', 'GET /ping HTTP/1.1', HOST, 'Host: evil.example'],
    ['the same Host twice', 'GET /ping HTTP/1.1', HOST, 'hOST: localhost'],
    ['two Hosts beside an authority', 'GET http://localhost/ping HTTP/1.1', HOST, HOST],
    ['two Hosts of HTTP/1.0', 'GET /ping HTTP/1.0', HOST, HOST],
    ['a Host with a space', 'GET /ping HTTP/1.1', 'Host: local host'],
    ['two Hosts in one', 'GET /ping HTTP/1.1', 'Host: localhost, evil.example'],
    ['two credentials', 'GET /ping HTTP/1.1', HOST, 'Authorization: Basic YTph', 'Authorization: Basic Yjpi'],
    ['two content types', post, HOST, 'Content-Type: application/json', 'Content-Type: text/plain'],
    ['two lengths', post, HOST, 'Content-Length: 1', 'Content-Length: 2'],
    ['a length and chunks', post, HOST, 'Content-Length: 1', 'Transfer-Encoding: chunked'],
    ['an unknown transfer encoding', post, HOST, 'Content-Type: application/json', 'Transfer-Encoding: gzip'],
    ['an invalid length', post, HOST, 'Content-Length: 0x2'],
    ['a folded line', post, HOST, 'Content-Type: application/json\r\n ;x=y', ' Folded: yes']
  ] satisfies [string, ...string[]][]) {
    const answer = await raw(lines(...request))
    t.equal(answer.status, 400, what)
    t.match(answer.json(), { code: 'bad-request', status: 400 }, what)
  }
  const same = ['Authorization: Basic YTph', 'Authorization: Basic YTph']
  t.equal((await raw(lines('GET /ping HTTP/1.1', HOST, ...same))).status, 200, 'the same value twice is accepted')
})

t.test('a method that no address supports is refused with the supported methods', async (t) => {
  const { app, raw } = await listenRaw(t, HOSTS)
  await append(app, 'a', { type: 'T' })
  const foreign = METHODS.filter((method) => !/^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|CONNECT)$/.test(method))
  t.ok(foreign.includes('TRACE') && foreign.includes('PROPFIND') && foreign.includes('PURGE'))
  for (const method of foreign) {
    for (const path of ['/streams/a', '/', '/streams', '/events/0', '/streams/a/0/forward/1']) {
      const answer = await raw(lines(`${method} ${path} HTTP/1.1`, HOST))
      t.match(answer, { status: 405, headers: { allow: /^GET, HEAD,.* OPTIONS$/ } }, `${method} ${path}`)
      t.match(
        answer.json(),
        { code: 'method-not-allowed', detail: new RegExp(`support ${method}\\.`) },
        `${method} ${path}`
      )
    }
    const nowhere = await raw(lines(`${method} /nowhere HTTP/1.1`, HOST))
    t.match(nowhere.json(), { status: 404, code: 'not-found' }, `${method} /nowhere`)
  }
  const traced = await raw(lines('TRACE /ping HTTP/1.1', HOST, 'Cookie: secret'))
  t.notMatch(traced.text, /secret/, 'no part of the request is sent back')
})

t.test('an unknown method is 501, CONNECT is refused, and OPTIONS * is answered', async (t) => {
  const { raw } = await listenRaw(t, HOSTS)
  for (const line of [
    'BREW / HTTP/1.1',
    'get /ping HTTP/1.1',
    'CONNECT localhost:443 HTTP/1.1',
    'CONNECT evil.example:443 HTTP/1.1'
  ]) {
    const answer = await raw(lines(line, HOST))
    t.match(answer, { status: 501, headers: { connection: 'close' } }, line)
    t.match(answer.json(), { code: 'not-implemented' }, line)
  }
  for (const line of [
    'nonsense',
    '\x16\x03\x01\x02\x00\x01\x00',
    'PRI * HTTP/2.0',
    'GET * HTTP/1.1',
    'GET /ping HTTP/3.0'
  ]) {
    t.equal((await raw(lines(line, HOST))).status, 400, line)
  }
  t.equal((await raw(lines('OPTIONS * HTTP/1.1', HOST))).status, 200)
})
