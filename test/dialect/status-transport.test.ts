/** Reference 1.2 to 1.6: general responses and headers of the Atom dialect, one row per row of the reference. */
import type { FastifyInstance, InjectOptions } from 'fastify'
import t from 'tap'
import { codecs } from '../../routes/eventstore/wire/codecs.js'
import { buildApp } from '../../routes/index.js'
import { DaybookError } from '../../src/errors.js'
import { Store } from '../../src/store/store.js'
import { openApp } from '../helpers/app.js'
import { listenRaw } from '../helpers/raw.js'
import { answersAs, DESCRIPTION, NO_FORM, WRONG_TYPE } from './requests.js'
import { type Shows, section, seen } from './rows.js'

const FEED = codecs.atomJson.type
const EVENTS = codecs.eventsJson.type
const EMPTY = { body: '' }
const says = (message: string): Shows => ({ headers: { 'content-type': 'text/plain' }, body: message })
const wrong = (header: string) => says(`${header} header in wrong format.`)
let ids = 0
const newId = () => `5c1f7f3e-8a5b-4a57-9d0b-${(++ids).toString(16).padStart(12, '0')}`
const event = (more: object = {}) => ({ eventId: newId(), eventType: 'T', data: { a: 1 }, ...more })

type Headers = Record<string, string>

const get = (url: string, accept: string | undefined = FEED, headers: Headers = {}): InjectOptions => ({
  method: 'GET',
  url,
  headers: { ...(accept !== '-' && { accept }), ...headers }
})
const append = (stream: string, headers: Headers = {}, payload: unknown = [event()]): InjectOptions => ({
  method: 'POST',
  url: `/streams/${stream}`,
  headers: { 'content-type': EVENTS, ...headers },
  payload: typeof payload === 'string' ? payload : JSON.stringify(payload)
})
const one = (stream: string, headers: Headers, payload = '{"a":1}') =>
  append(stream, { 'content-type': 'application/json', 'es-eventtype': 'T', ...headers }, payload)
const remove = (stream: string, headers: Headers = {}): InjectOptions => ({
  method: 'DELETE',
  url: `/streams/${stream}`,
  headers: { accept: FEED, ...headers }
})
/** An append to test its content type. */
const typed = (type: string | undefined, headers: Headers = {}): InjectOptions => ({
  ...append('typed', headers),
  headers: { ...(type !== undefined && { 'content-type': type }), 'es-eventtype': 'T', ...headers }
})
/** Expects these methods among the allowed ones, in any order. */
const methodsOf = (...known: string[]) => ({
  'access-control-allow-methods': new RegExp(known.map((name) => `(?=.*\\b${name}\\b)`).join(''))
})
const methods = (...known: string[]): Shows => ({ headers: methodsOf(...known), body: '' })

const write = (...requests: InjectOptions[]) => {
  return async (app: FastifyInstance) => {
    for (const request of requests) await app.inject(request)
  }
}

section('1.2 generic failures', write(append('s'), append('text', {}, [event({ data: 'words' })])), [
  ['a literal in other case', get('/STREAMS/x'), '404 Not Found', EMPTY],
  ['a direction in other case', get('/streams/s/0/Forward/5'), '404 Not Found', EMPTY],
  ['two slashes', get('//streams'), '404 Not Found', EMPTY],
  ['an unknown path', get('/nothing/here'), '404 Not Found', EMPTY],
  ['deliberate: /streams lists the streams', get('/streams', 'application/json'), '200 OK'],
  ['deliberate: /streams/ lists the streams', get('/streams/', 'application/json'), '200 OK'],
  [
    'PUT on a stream',
    { ...get('/streams/s'), method: 'PUT' },
    '405 Method Not Allowed',
    methods('GET', 'POST', 'DELETE')
  ],
  ['DELETE on an event', { ...get('/streams/s/0'), method: 'DELETE' }, '405 Method Not Allowed', methods('GET')],
  ['DELETE on a page', { ...get('/streams/s/0/5'), method: 'DELETE' }, '405 Method Not Allowed', methods('GET')],
  ['deliberate: HEAD answers as GET without a body', { ...get('/streams/s'), method: 'HEAD' }, '200 OK', EMPTY],
  [
    'OPTIONS on a stream',
    { method: 'OPTIONS', url: '/streams/s' },
    '200 OK',
    methods('GET', 'POST', 'DELETE', 'OPTIONS')
  ],
  ['OPTIONS on an event', { method: 'OPTIONS', url: '/streams/s/0' }, '200 OK', methods('GET', 'OPTIONS')],
  ['OPTIONS on an unknown path', { method: 'OPTIONS', url: '/nothing/here' }, '404 Not Found', EMPTY],
  ['a body without a content type', typed(undefined), WRONG_TYPE, EMPTY],
  ['a body with an unknown content type', typed('application/x-unknown'), WRONG_TYPE, EMPTY],
  ['a body with an unsupported content type', typed('text/plain'), WRONG_TYPE, EMPTY],
  ['a content type without a slash, a quirk', typed('application'), WRONG_TYPE, EMPTY],
  ['a zero byte in the path', get('/streams/%00'), '400 Bad Request'],
  ['text data as XML, a quirk', get('/streams/text/0', 'text/xml'), NO_FORM],
  ['a missing event as octets, a quirk', get('/streams/s/9', 'application/octet-stream'), '404 Not Found', EMPTY],
  ['an Accept without an offered type', get('/streams/s', 'text/plain'), NO_FORM, EMPTY],
  ['an Accept of a type for feeds only, with an event', get('/streams/s/0', codecs.eventsJson.type), NO_FORM, EMPTY],
  ['deliberate: an unknown format', get('/streams/s?format=nonsense'), '400 Bad Request'],
  ['a format in other case', get('/streams/s?format=ATOMXJ', 'text/plain'), '200 OK', answersAs(codecs.atomJson)],
  ['the first of several formats', get('/streams/s?format=atom&format=json'), '200 OK', answersAs(codecs.atom)]
])

t.test('1.2 generic failures: a long request line', async (t) => {
  const { raw } = await listenRaw(t)
  const { text } = await raw(
    `GET /streams/${'x'.repeat(13_000)} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`
  )
  t.match(
    text,
    /^HTTP\/1\.1 414 URI Too Long\r\n/,
    '1.2 generic failures: a request line that is too long: 414 URI Too Long'
  )
})

t.test('1.2 generic failures: the store is overloaded, fails or is not ready', async (t) => {
  const { app, store } = await openApp(t)
  store.writer.append = () => Promise.reject(new DaybookError('overloaded', 'Too many appends wait.'))
  t.strictSame(
    seen(await app.inject(append('s')), { headers: { 'content-type': '' }, body: '' }),
    { answer: '503 Server Is Too Busy', headers: { 'content-type': 'text/plain; charset=utf-8' }, body: '' },
    '1.2 generic failures: too many appends wait: 503 Server Is Too Busy'
  )
  store.writer.append = () => Promise.reject(new Error('an internal error'))
  t.strictSame(
    seen(await app.inject(append('s')), {}),
    { answer: '500 Internal Server Error' },
    '1.2 generic failures: a handler fails: 500 Internal Server Error'
  )
  const closed = await buildApp(new Store({ directory: t.testdir({}) }), { logLevel: 'silent', insecure: true })
  t.teardown(() => closed.close())
  t.equal((await closed.inject(get('/streams/s'))).statusCode, 503, '1.2 generic failures: not ready: 503')
})

section('1.3 400 replies', write(append('s')), [
  ['the message is the body', get('/streams/s/x'), '400 Bad Request', says("'x' is not valid event number")],
  [
    'the message is text whatever Accept names',
    get('/streams/s/x', codecs.atom.type),
    '400 Bad Request',
    says("'x' is not valid event number")
  ],
  [
    'the message of a write',
    append('s', { 'es-expectedversion': 'x' }),
    '400 Bad Request',
    wrong('ES-ExpectedVersion')
  ],
  [
    'a wrong version is reported in the reason phrase',
    append('s', { 'es-expectedversion': '7' }),
    '400 Wrong expected EventNumber',
    { headers: { 'content-type': 'text/plain; charset=utf-8', 'es-currentversion': '0' }, body: '' }
  ]
])

const open = {
  'access-control-allow-origin': '*',
  'access-control-expose-headers': /Location, ES-Position, ES-CurrentVersion$/
}
const bare = { ...open, 'content-type': 'text/plain; charset=utf-8' }

const ALLOWED = [
  ...['Content-Type', 'X-Requested-With', 'X-Forwarded-Host', 'X-Forwarded-Prefix', 'X-PINGOTHER', 'Authorization'],
  ...['ES-LongPoll', 'ES-ExpectedVersion', 'ES-EventId', 'ES-EventType', 'ES-RequireMaster', 'ES-RequireLeader'],
  ...['ES-HardDelete', 'ES-ResolveLinkTos']
]

section('1.4 headers of every reply', write(append('s'), append('gone'), remove('gone', { 'es-harddelete': 'True' })), [
  ['of a stream', get('/streams/s'), '200 OK', { headers: { ...open, ...methodsOf('GET', 'POST', 'DELETE') } }],
  ['of an event', get('/streams/s/0'), '200 OK', { headers: { ...open, ...methodsOf('GET') } }],
  ['of a page', get('/streams/s/0/forward/5'), '200 OK', { headers: { ...open, ...methodsOf('GET') } }],
  ['of metadata', get('/streams/s/metadata'), '200 OK', { headers: { ...open, ...methodsOf('GET', 'POST') } }],
  ['of an append', append('s'), '201 Created', { headers: { ...bare, 'content-length': '0' } }],
  [
    'of an append by id',
    one(`s/incoming/${newId()}`, {}),
    '201 Created',
    { headers: { ...bare, ...methodsOf('GET', 'POST') } }
  ],
  ['of a delete', remove('s'), '204 Stream deleted', { headers: bare }],
  ['of a missing stream', get('/streams/none'), '404 Not Found', { headers: { ...bare, 'content-length': '0' } }],
  ['of a tombstone', get('/streams/gone'), '410 Deleted', { headers: { ...bare, 'content-length': '0' } }],
  [
    'of a wrong version',
    remove('none'),
    '400 Wrong expected EventNumber',
    { headers: { ...bare, 'content-length': '0' } }
  ],
  ['of a message', get('/streams/s/x'), '400 Bad Request', { headers: { ...open, 'content-type': 'text/plain' } }],
  ['of a failure before a handler', typed('text/plain'), WRONG_TYPE, { headers: { ...open, 'content-length': '0' } }],
  [
    'of an unknown address',
    get('/nothing'),
    '404 Not Found',
    { headers: { ...open, 'access-control-allow-methods': undefined } }
  ],
  [
    'of OPTIONS',
    { method: 'OPTIONS', url: '/streams/s' },
    '200 OK',
    {
      headers: {
        ...open,
        'access-control-allow-headers': new RegExp(`${ALLOWED.join(', ')}$`)
      }
    }
  ]
])

section(
  '1.4 content coding',
  write(
    append(
      's',
      {},
      Array.from({ length: 20 }, () => event())
    )
  ),
  [
    [
      'gzip',
      get('/streams/s', FEED, { 'accept-encoding': 'gzip' }),
      '200 OK',
      { headers: { 'content-encoding': 'gzip' } }
    ],
    [
      'deflate',
      get('/streams/s', FEED, { 'accept-encoding': 'deflate' }),
      '200 OK',
      { headers: { 'content-encoding': 'deflate' } }
    ],
    ['none asked for', get('/streams/s'), '200 OK', { headers: { 'content-encoding': undefined } }]
  ]
)

const behind = (headers: Headers, host = 'h.example:1') => get('/streams/s', FEED, { host, ...headers })
const base = (url: string): Shows => ({ json: { id: `${url}/streams/s` } })
const forwarded = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'p.example', 'x-forwarded-prefix': '/es' }

section(
  '1.5 addresses',
  write(
    append('s'),
    append('a%2Fb'),
    append('a%252Fb'),
    append('a+b'),
    append('@x'),
    append('caf%C3%A9'),
    append('%20edge%20')
  ),
  [
    ['the Host of the request', behind({}), '200 OK', base('http://h.example:1')],
    ['a host without a port', behind({}, 'h.example'), '200 OK', base('http://h.example')],
    [
      'a forwarded host without a port keeps the port',
      behind({ 'x-forwarded-host': 'p.example' }),
      '200 OK',
      base('http://p.example:1')
    ],
    [
      'a forwarded host with a port',
      behind({ 'x-forwarded-host': 'p.example:8' }),
      '200 OK',
      base('http://p.example:8')
    ],
    [
      'the port in the forwarded host overrides X-Forwarded-Port',
      behind({ 'x-forwarded-host': 'p.example:8', 'x-forwarded-port': '9' }),
      '200 OK',
      base('http://p.example:8')
    ],
    ['a forwarded port', behind({ 'x-forwarded-port': '8080' }), '200 OK', base('http://h.example:8080')],
    ['an invalid forwarded port', behind({ 'x-forwarded-port': 'abc' }), '200 OK', base('http://h.example:1')],
    ['an empty forwarded host', behind({ 'x-forwarded-host': '' }), '200 OK', base('http://h.example:1')],
    [
      'a forwarded scheme in upper case',
      behind({ 'x-forwarded-proto': 'HTTPS' }),
      '200 OK',
      base('https://h.example:1')
    ],
    [
      'a forwarded prefix without a slash',
      behind({ 'x-forwarded-prefix': 'api' }),
      '200 OK',
      base('http://h.example:1/api')
    ],
    [
      'a forwarded prefix with a trailing slash',
      behind({ 'x-forwarded-prefix': '/api/' }),
      '200 OK',
      base('http://h.example:1/api/')
    ],
    [
      'the first of several forwarded hosts, a quirk',
      behind({ 'x-forwarded-host': 'a.example, b.example' }),
      '200 OK',
      base('http://a.example:1')
    ],
    [
      'the header Forwarded is ignored',
      behind({ forwarded: 'host=p.example;proto=https' }),
      '200 OK',
      base('http://h.example:1')
    ],
    [
      'Location has the forwarded address',
      append('s', { host: 'h', ...forwarded }),
      '201 Created',
      { headers: { location: 'https://p.example/es/streams/s/1' } }
    ],
    [
      'deliberate: the redirect of a trailing slash has the forwarded address',
      get('/streams/s/', FEED, { host: 'h', ...forwarded }),
      '307 Temporary Redirect',
      { headers: { location: 'https://p.example/es/streams/s' } }
    ],
    [
      'the description has the forwarded prefix',
      get('/streams/s', codecs.description.type, forwarded),
      DESCRIPTION,
      { json: { '_links.self.href': '/es/streams/s' } }
    ],
    [
      'a slash in a name',
      get('/streams/a%2Fb'),
      '200 OK',
      { json: { streamId: 'a/b', selfUrl: 'http://localhost:80/streams/a%2Fb' } }
    ],
    [
      'an escaped percent sign is decoded once',
      get('/streams/a%252Fb'),
      '200 OK',
      { json: { streamId: 'a%2Fb', selfUrl: 'http://localhost:80/streams/a%252Fb' } }
    ],
    [
      'a plus sign is not a space',
      get('/streams/a+b'),
      '200 OK',
      { json: { streamId: 'a+b', selfUrl: 'http://localhost:80/streams/a%2Bb' } }
    ],
    [
      'an at sign is escaped',
      get('/streams/@x'),
      '200 OK',
      { json: { streamId: '@x', selfUrl: 'http://localhost:80/streams/%40x' } }
    ],
    [
      'letters beyond ASCII',
      get('/streams/caf%C3%A9'),
      '200 OK',
      { json: { selfUrl: 'http://localhost:80/streams/caf%C3%A9' } }
    ],
    ['spaces at the ends', get('/streams/%20edge%20'), '200 OK', { json: { streamId: ' edge ' } }],
    ['$all unescaped', get('/streams/$all'), '200 OK', { json: { id: 'http://localhost:80/streams/%24all' } }],
    ['$all escaped', get('/streams/%24all'), '200 OK', { json: { id: 'http://localhost:80/streams/%24all' } }]
  ],
  { trustProxy: true }
)

const redirected = (path: string): Shows => ({
  headers: {
    location: `http://localhost:80/streams/${path}`,
    'cache-control': 'max-age=31536000, public',
    'content-type': '; charset=utf-8'
  },
  body: 'Moved Permanently'
})

section('1.6 routes', write(append('s'), append('s'), append('s')), [
  ['a trailing slash after a stream', get('/streams/s/'), '307 Temporary Redirect', redirected('s')],
  ['a trailing slash with an append', append('s/'), '307 Temporary Redirect', redirected('s')],
  ['a trailing slash with a delete', remove('s/'), '307 Temporary Redirect', redirected('s')],
  ['a trailing slash after metadata', get('/streams/s/metadata/'), '307 Temporary Redirect', redirected('s/metadata')],
  [
    'a trailing slash with a write of metadata',
    append('s/metadata/'),
    '307 Temporary Redirect',
    redirected('s/metadata')
  ],
  ['a trailing slash after $all', get('/streams/$all/'), '307 Temporary Redirect', redirected('$all')],
  [
    'deliberate: a redirect keeps the query, which the original drops',
    get('/streams/s/?embed=body'),
    '307 Temporary Redirect',
    redirected('s?embed=body')
  ],
  ['a trailing slash after an event', get('/streams/s/0/'), '404 Not Found', EMPTY],
  ['a trailing slash after a page', get('/streams/s/0/5/'), '404 Not Found', EMPTY],
  ['the route of $all precedes that of a stream', get('/streams/$all'), '200 OK', { json: { title: 'All events' } }],
  [
    'the route of metadata precedes that of an event',
    get('/streams/s/metadata', 'application/json'),
    '200 OK',
    { body: '{}' }
  ]
])
