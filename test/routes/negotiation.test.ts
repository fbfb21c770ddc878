/** Content negotiation with `Accept`, headers for caches, and the size of headers (native contract §2, §9). */
import t from 'tap'
import { AcceptedForms } from '../../routes/wire/accept.js'
import { append, ask, listen, openApp } from '../helpers/app.js'
import { send } from '../helpers/http.js'
import { admin, basic } from '../helpers/people.js'

const ATOM = 'application/atom+xml'
const ATOM_JSON = 'application/vnd.eventstore.atom+json'
const FEED_READER =
  'application/atom+xml,application/rdf+xml,application/rss+xml,application/x-netcdf,application/xml;q=0.9,text/xml;q=0.2,*/*;q=0.1'
const PAGE = 'application/json; charset=utf-8'

t.test(
  'the response has the available form with the highest weight; other types in the header have no effect',
  async (t) => {
    const { app } = await openApp(t)
    await append(app, 's', { type: 'T', data: { a: 1 } })
    const asks: [url: string, accept: string, type: string][] = [
      ['/streams/s', FEED_READER, `${ATOM}; charset=utf-8`],
      ['/streams/s', `${ATOM_JSON}, */*`, `${ATOM_JSON}; charset=utf-8`],
      ['/streams/s', `*/*;q=0.5, ${ATOM_JSON}`, `${ATOM_JSON}; charset=utf-8`],
      ['/streams/s', `${ATOM}, application/json;q=0.5`, `${ATOM}; charset=utf-8`],
      ['/streams/s', `application/json;q=0.5, ${ATOM};q=0.6`, `${ATOM}; charset=utf-8`],
      ['/streams/s', `application/json, ${ATOM}`, PAGE],
      ['/streams/s', `${ATOM};q=0.5, application/json`, PAGE],
      ['/streams/s', `${ATOM};q=0.5, */*`, PAGE],
      ['/streams/s', `${ATOM}; q=0.5, application/json ; q=0.6`, PAGE],
      ['/streams/s', `${ATOM};q=0, */*;q=0.1`, PAGE],
      ['/streams/s', 'image/png, text/plain;q=0.9, */*;q=0.1', PAGE],
      ['/streams/s', `text/plain, ${ATOM_JSON};q=0.2`, `${ATOM_JSON}; charset=utf-8`],
      ['/streams/s', 'application/x-ndjson;q=0.9, application/json;q=0.8', 'application/x-ndjson; charset=utf-8'],
      ['/streams/s', 'application/json; charset=utf-8', PAGE],
      ['/streams/s', 'application/rss+xml', `${ATOM}; charset=utf-8`],
      ['/streams/s', 'APPLICATION/ATOM+XML; Q=1', `${ATOM}; charset=utf-8`],
      ['/streams/s/0', `${ATOM}, application/json;q=0.5`, `${ATOM}; charset=utf-8`],
      ['/streams/s/0', `application/json, ${ATOM}`, PAGE],
      ['/streams/s/0', 'application/octet-stream, */*;q=0.1', 'application/octet-stream'],
      ['/streams/s/metadata', `${ATOM_JSON}, */*`, `${ATOM_JSON}; charset=utf-8`],
      ['/streams/s/metadata', 'text/html, application/xml;q=0.9, */*;q=0.8', PAGE],
      ['/events', FEED_READER, PAGE],
      ['/events', 'application/json;q=0.5, application/jsonl', 'application/x-ndjson; charset=utf-8'],
      ['/users', `${ATOM}, application/json;q=0.1`, PAGE]
    ]
    for (const [url, accept, type] of asks) {
      const { statusCode, headers } = await app.inject({ url, headers: { accept } })
      t.same([statusCode, headers['content-type']], [200, type], `${url} as ${accept}`)
    }
    for (const accept of ['text/plain', 'application/json;q=0']) {
      t.equal((await app.inject({ url: '/events', headers: { accept } })).statusCode, 406, `/events as ${accept}`)
    }
  }
)

t.test('an offer of HTTP/2 does not change the form of the answer', async (t) => {
  const { app } = await openApp(t)
  await append(app, 's', { type: 'T' })
  const headers = { accept: ATOM_JSON, connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': '' }
  t.match((await app.inject({ url: '/streams/s', headers })).headers['content-type'], /atom\+json/)
})

t.test('an Accept header of any length and syntax is read, with the same result each time', async (t) => {
  const forms = new AcceptedForms([
    ['application/json', 'json'],
    ['application/atom+xml', 'atom']
  ])
  const tail = 'a/b,'.repeat(4000)
  const odd: [accept: string, form: string | undefined][] = [
    ['', 'json'],
    [' , ', 'json'],
    [';', 'json'],
    ['*', undefined],
    ['application/atom+xml;q=2', 'atom'],
    ['application/json;q=0.2, application/atom+xml;q=x', 'atom'],
    ['application/json; q=0.2, application/atom+xml ;\tq=0.3', 'atom'],
    ['application/json; charset=utf-8; q=0, application/atom+xml; q=0.1', 'atom'],
    ['application/json; q=0', undefined],
    ['application/json;q=0.2, application/atom+xml;type="feed;q=0, x";q=0.3', 'atom'],
    ['application/json;a="', 'json'],
    [`application/atom+xml,${tail}application/json`, 'atom'],
    [`${tail}application/atom+xml`, undefined],
    [`${'x'.repeat(16_000)}`, 'json'],
    [`application/atom+xml${';"\\"'.repeat(4000)}`, 'json']
  ]
  for (const [accept, form] of odd) {
    for (let i = 0; i < 3; i++) t.equal(forms.preferred(accept), form, accept.slice(0, 60))
  }
})

t.test(
  'a client that accepts JSON gets a problem document; a client of EventStoreDB gets its empty answer',
  async (t) => {
    const { app } = await openApp(t)
    await append(app, 's', { type: 'T' })
    const json = { accept: 'application/json' }
    const problems: [call: string, status: number, code: string][] = [
      ['GET /event', 404, 'not-found'],
      ['GET /streams/s/0/', 404, 'not-found'],
      ['GET /streams/a/b/c/d/e', 404, 'not-found'],
      ['POST /streams', 404, 'not-found'],
      ['POST /streams/cdc/products', 405, 'method-not-allowed'],
      ['PUT /info', 405, 'method-not-allowed'],
      ['PATCH /events', 405, 'method-not-allowed'],
      ['GET /streams/none', 404, 'stream-not-found'],
      ['GET /streams/s?limit=x', 400, 'bad-parameter']
    ]
    for (const [call, status, code] of problems) {
      const answer = await ask(app, call, json, call.startsWith('POST') ? {} : undefined)
      t.match(answer.headers['content-type'], /^application\/problem\+json/, call)
      t.match(answer.json(), { status, code }, call)
    }
    const form = { ...json, 'content-type': 'application/x-www-form-urlencoded' }
    t.match((await append(app, 's', 'a=b', form)).json(), { status: 415, code: 'unsupported-media-type' })

    const its: Record<string, string>[] = [
      { accept: ATOM_JSON },
      { accept: `${ATOM_JSON}, */*` },
      { accept: 'application/json, text/plain, */*', 'es-requireleader': 'True' },
      { accept: '*/*', 'kurrent-requireleader': 'True' },
      { accept: 'application/json', 'content-type': 'application/vnd.eventstore.events+json' },
      { accept: '' }
    ]
    for (const headers of its) {
      for (const call of ['GET /event', 'PUT /info', 'POST /streams/cdc/products']) {
        const { statusCode, body, headers: got } = await ask(app, call, headers)
        t.same(
          [statusCode >= 400, body, got['content-type']],
          [true, '', undefined],
          `${call} ${JSON.stringify(headers)}`
        )
      }
    }
  }
)

t.test(
  'wrong credentials with an EventStoreDB header get a challenge for which no browser asks for a password',
  async (t) => {
    const { app } = await openApp(t, { insecure: false })
    const wrong = basic('ops', 'wrong')
    const accept = 'application/json, text/plain, */*'
    for (const url of ['/info', '/', '/ping', '/users/$current', '/stats', '/admin/login', '/streams/s', '/nothing']) {
      const its = await app.inject({ url, headers: { ...wrong, accept, 'es-requireleader': 'True' } })
      t.same([its.statusCode, its.headers['www-authenticate'], its.body], [401, 'X-Basic realm="ESDB"', ''], url)
      const ours = await app.inject({ url, headers: { ...wrong, accept: '*/*' } })
      t.match([ours.headers['www-authenticate']].flat()[0], /^Basic /, url)
    }
  }
)

const DIALECT = { 'es-resolvelinktos': 'true' }
const MARKS = ['ES-LongPoll', 'ES-RequireLeader', 'ES-ResolveLinkTos', 'Kurrent-ResolveLinkTos']

t.test('answers vary by every header that selects their form', async (t) => {
  const { app } = await openApp(t)
  for (let i = 0; i < 3; i++) await append(app, 's', { type: 'T' })
  await ask(app, 'PUT /streams/s/metadata', {}, { maxCount: 2000 })
  const urls = ['/streams/s', '/streams/s?from=0&limit=1', '/streams/s/0', '/streams/s/metadata']
  for (const url of urls) {
    const accept = '*/*'
    const plain = await app.inject({ url, headers: { accept } })
    const chosen = await app.inject({ url, headers: { accept, ...DIALECT } })
    t.not(plain.body, chosen.body, `${url} has two forms`)
    for (const { headers } of [plain, chosen]) {
      const named = varyOf(headers)
      t.same(
        MARKS.filter((name) => !named.includes(name.toLowerCase())),
        [],
        url
      )
      t.ok(named.includes('accept'), url)
    }
    const unknown = await app.inject({ url, headers: { accept, 'es-anything': '1' } })
    t.equal(unknown.headers.vary, '*', `${url}: a header that Vary cannot name`)
  }
  const page = '/streams/s/0/forward/2'
  t.equal((await app.inject({ url: page, headers: { accept: ATOM_JSON } })).headers.vary, 'Accept')
  const kept = await app.inject({ url: page, headers: { accept: ATOM_JSON, 'es-resolvelinktos': 'false' } })
  t.ok(varyOf(kept.headers).includes('es-resolvelinktos'), 'this header selects what is shown')
})

t.test('where rights apply, answers vary by Authorization and only pinned pages are public', async (t) => {
  const { app } = await openApp(t, { insecure: false, anonymous: true, publicCache: true })
  for (let i = 0; i < 3; i++) await append(app, 's', { type: 'T' }, admin)
  const urls: [url: string, accept: string][] = [
    ['/streams/s?from=0&limit=1&format=page', '*/*'],
    ['/streams/s', '*/*'],
    ['/streams/s/0', '*/*'],
    ['/streams/s/0', 'application/json'],
    ['/streams/s/0/forward/2', ATOM_JSON],
    ['/streams/s/metadata', '*/*'],
    ['/streams/$all/00000000000000000000000000000000/forward/2', ATOM_JSON],
    ['/events?from=0&limit=1&format=page', '*/*'],
    ['/stats', '*/*']
  ]
  for (const [url, accept] of urls) {
    const { statusCode, headers } = await app.inject({ url, headers: { accept, ...admin } })
    t.equal(statusCode, 200, url)
    t.ok(varyOf(headers).includes('authorization'), `${url}: ${headers.vary}`)
    const isOpen = url.startsWith('/streams/s?from')
    if (!isOpen) t.notMatch(headers['cache-control'], /public/, `${url} is not for shared caches`)
  }
})

t.test('headers stay small, however long the query is', async (t) => {
  const { app, url } = await listen(t)
  for (let i = 0; i < 5; i++) await append(app, 's', { type: 'T' })
  const rels = async (bytes: number) => {
    const filter = `type=T&type.not=${'x'.repeat(bytes)}`
    const { status, headers, text } = await send(`${url}/streams/s?limit=2&${filter}`)
    t.equal(status, 200, `${bytes} bytes: a client with usual limits reads the answer`)
    t.ok(Buffer.byteLength(String(headers.link ?? '')) <= 2048, `${bytes} bytes`)
    t.match(JSON.parse(text).links, { next: /x/, first: /x/, last: /x/ }, 'the page has every link')
    return [...String(headers.link ?? '').matchAll(/rel="(\w+)"/g)].map(([, rel]) => rel)
  }
  t.same(await rels(10), ['next', 'first', 'last'])
  t.same(await rels(1500), ['next'])
  t.same(await rels(4800), [])
  t.same(await rels(9000), [])
  const slash = (bytes: number) => send(`${url}/streams/s/?x=${'x'.repeat(bytes)}`, { headers: { accept: '*/*' } })
  t.equal((await slash(3000)).status, 307)
  const { status, text } = await slash(12_000)
  t.match([status, text], [404, /without the slash/], 'a redirect does not repeat a long query')
})

function varyOf(headers: Record<string, unknown>): string[] {
  return String(headers.vary ?? '')
    .toLowerCase()
    .split(/\s*,\s*/)
}
