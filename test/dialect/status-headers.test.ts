/** Reference 2 and 3: request headers and media types in the Atom dialect, one row per row of the reference. */
import type { FastifyInstance, InjectOptions } from 'fastify'
import t from 'tap'
import { codecs, offers } from '../../routes/eventstore/wire/codecs.js'
import { listenRaw } from '../helpers/raw.js'
import { answersAs, DESCRIPTION, NO_FORM, tag, WRONG_TYPE, WRONG_VERSION } from './requests.js'
import { type Row, type Shows, section } from './rows.js'

const FEED = codecs.atomJson.type
const EVENTS = codecs.eventsJson.type
const EMPTY = { body: '' }
const says = (message: string): Shows => ({ headers: { 'content-type': 'text/plain' }, body: message })
const wrong = (header: string) => says(`${header} header in wrong format.`)
const conflict = (head: string): Shows => ({ headers: { 'es-currentversion': head }, body: '' })
const created = (path: string): Shows => ({ headers: { location: `http://localhost:80/streams/${path}` }, body: '' })
let ids = 0
const newId = () => `5c1f7f3e-8a5b-4a57-9d0b-${(++ids).toString(16).padStart(12, '0')}`
const event = (more: object = {}) => ({ eventId: newId(), eventType: 'T', data: { a: 1 }, ...more })

type Headers = Record<string, string>

const get = (url: string, accept: string | undefined = FEED, headers: Headers = {}): InjectOptions => ({
  method: 'GET',
  url,
  headers: { ...(accept !== '-' && { accept }), ...headers }
})
/** A GET without Accept, as many clients send it. */
const ask = (url: string): InjectOptions => ({ method: 'GET', url })
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

const write = (...requests: InjectOptions[]) => {
  return async (app: FastifyInstance) => {
    for (const request of requests) await app.inject(request)
  }
}
const nothing = write()

const version = (value: string, payload?: unknown) => append('v', { 'es-expectedversion': value }, payload)
section('2 ES-ExpectedVersion', nothing, [
  ['-1: the stream must not exist', version('-1'), '201 Created', created('v/0')],
  ['-1 on an existing stream', version('-1'), WRONG_VERSION, conflict('0')],
  ['n: the last number', version('0'), '201 Created', created('v/1')],
  ['n that is not the last number', version('0'), WRONG_VERSION, conflict('1')],
  ['-2: any', version('-2'), '201 Created', created('v/2')],
  ['empty: any', version(''), '201 Created', created('v/3')],
  ['absent: any', append('v'), '201 Created', created('v/4')],
  ['-4: the stream must exist', version('-4'), '201 Created', created('v/5')],
  ['-4 on a missing stream', append('w', { 'es-expectedversion': '-4' }), WRONG_VERSION, conflict('-1')],
  ['spaces around', version(' 5 '), '201 Created', created('v/6')],
  ['zeros before', version('006'), '201 Created', created('v/7')],
  ['deliberate: -3', version('-3'), '400 Bad Request', wrong('ES-ExpectedVersion')],
  ['a sign', version('+7'), '201 Created', created('v/8')],
  ['a list', version('7, 8'), '400 Bad Request', wrong('ES-ExpectedVersion')],
  ['text', version('abc'), '400 Bad Request', wrong('ES-ExpectedVersion')],
  ['less than -4', version('-5'), '400 Bad Request', wrong('ES-ExpectedVersion')],
  ['a fraction', version('1.5'), '400 Bad Request', wrong('ES-ExpectedVersion')],
  ['beyond 2^63-1', version('9223372036854775808'), '400 Bad Request', wrong('ES-ExpectedVersion')],
  [
    'with an append with an id in the path',
    one(`v/incoming/${newId()}`, { 'es-expectedversion': '3' }),
    WRONG_VERSION,
    conflict('8')
  ],
  [
    'with a write of metadata',
    one('v/metadata', { 'es-eventtype': '', 'es-eventid': newId(), 'es-expectedversion': '0' }),
    WRONG_VERSION,
    conflict('-1')
  ],
  ['with a delete', remove('v', { 'es-expectedversion': '3' }), WRONG_VERSION, conflict('8')],
  ['text with a delete', remove('v', { 'es-expectedversion': 'x' }), '400 Bad Request', wrong('ES-ExpectedVersion')]
])

const UUID = '5C1F7F3E-8A5B-4A57-9D0B-2A1D6E0F9C11'
const withId = (value: string) => one('ids', { 'es-eventid': value })

section('2 ES-EventId', nothing, [
  ['upper case', withId(UUID), '201 Created', created('ids/0')],
  ['lower case is the same', withId(UUID.toLowerCase()), '201 Created', created('ids/0')],
  ['32 digits', withId(UUID.replaceAll('-', '')), '201 Created', created('ids/0')],
  ['braces', withId(`{${UUID}}`), '201 Created', created('ids/0')],
  ['parentheses', withId(`(${UUID})`), '201 Created', created('ids/0')],
  ['spaces around', withId(`  ${UUID} `), '201 Created', created('ids/0')],
  ['deliberate: spaces only mean no id, and the server makes one', withId('   '), '201 Created', created('ids/1')],
  ['text', withId('abc'), '400 Bad Request', wrong('ES-EventId')],
  ['the empty id', withId('00000000-0000-0000-0000-000000000000'), '400 Bad Request', wrong('ES-EventId')],
  [
    'a bad id is rejected even if the body has ids',
    append('ids', { 'es-eventid': 'abc' }),
    '400 Bad Request',
    wrong('ES-EventId')
  ]
])

const type = (value: string) => one('types', { 'es-eventtype': value })
const last = (eventType: string): Row => [
  `${JSON.stringify(eventType)} is stored unchanged`,
  get('/streams/types/head', codecs.eventJson.type),
  '200 OK',
  { json: { eventType } }
]

section('2 ES-EventType', nothing, [
  ['text with punctuation', type('two "words", <T>'), '201 Created'],
  last('two "words", <T>'),
  ['a percent-encoded character', type('T%20x'), '201 Created'],
  last('T%20x'),
  [
    'an empty type',
    type(''),
    '400 Bad Request',
    says('Must include an event type with the request either in body or as ES-EventType header.')
  ]
])

t.test('2 ES-EventType: repeated headers are joined', async (t) => {
  const { app, raw } = await listenRaw(t)
  const lines = ['Content-Type: application/json', 'ES-EventType: T', 'ES-EventType: U', 'Content-Length: 2']
  await raw(`POST /streams/s HTTP/1.1\r\nHost: localhost\r\n${lines.join('\r\n')}\r\nConnection: close\r\n\r\n{}`)
  const { eventType } = (await app.inject(get('/streams/s/0', codecs.eventJson.type))).json()
  t.equal(eventType, 'T,U', '2 ES-EventType: a comma joins repeated headers')
})

/** Rows for the valid and the invalid values of a boolean header. */
const booleans = (header: string, named: string, ask: (headers: Headers) => InjectOptions, good: string): Row[] => [
  ...['True', 'false', ' TRUE ', ''].map(
    (value): Row => [`${header} ${JSON.stringify(value)}`, ask({ [header]: value }), good]
  ),
  ...['yes', '1', 'True, False'].map(
    (value): Row => [`${header} ${value}`, ask({ [header]: value }), '400 Bad Request', wrong(named)]
  )
]
const read = (headers: Headers) => get('/streams/s', FEED, headers)

section('2 boolean headers', write(append('s')), [
  ...booleans('es-requiremaster', 'ES-RequireLeader', read, '200 OK'),
  ...booleans('es-requireleader', 'ES-RequireLeader', read, '200 OK'),
  ...booleans('es-requireleader', 'ES-RequireLeader', (headers) => get('/streams/s/0', FEED, headers), '200 OK'),
  ...booleans('es-requireleader', 'ES-RequireLeader', (headers) => get('/streams/$all', FEED, headers), '200 OK'),
  ...booleans('es-requireleader', 'ES-RequireLeader', (headers) => append('s', headers), '201 Created'),
  ...booleans('es-resolvelinktos', 'ES-ResolveLinkTos', read, '200 OK'),
  ...booleans('es-resolvelinktos', 'ES-ResolveLinkTos', (headers) => get('/streams/s/0', FEED, headers), '200 OK'),
  ...booleans(
    'es-resolvelinktos',
    'ES-ResolveLinkTos',
    (headers) => get('/streams/s/metadata', FEED, headers),
    '200 OK'
  ),
  ...booleans('es-resolvelinktos', 'ES-ResolveLinkTos', (headers) => get('/streams/$all', FEED, headers), '200 OK'),
  [
    'a valid ES-RequireMaster overrides an invalid ES-RequireLeader',
    read({ 'es-requiremaster': 'True', 'es-requireleader': 'x' }),
    '200 OK'
  ],
  [
    'ES-HardDelete with an invalid value',
    remove('s', { 'es-harddelete': 'yes' }),
    '400 Bad Request',
    wrong('ES-HardDelete')
  ],
  ['ES-HardDelete False', remove('s', { 'es-harddelete': 'FALSE' }), '204 Stream deleted', EMPTY],
  ['a stream after ES-HardDelete False', get('/streams/s'), '404 Not Found', EMPTY],
  ['ES-HardDelete True', remove('s', { 'es-harddelete': ' true ' }), '204 Stream deleted', EMPTY],
  ['a stream after ES-HardDelete True', get('/streams/s'), '410 Deleted', EMPTY]
])

const zeros = '0'.repeat(32)
const polls = (value: string): Row[] =>
  [
    '/streams/s/0/forward/5',
    '/streams/s/metadata/0/forward/5',
    `/streams/$all/${zeros}/forward/5`,
    `/streams/$all/filtered/${zeros}/forward/5?exclude-system-events=true`
  ].map((url) => [
    `ES-LongPoll ${value} on ${url}`,
    get(url, FEED, { 'es-longpoll': value }),
    '400 Bad Request',
    wrong('ES-LongPoll')
  ])

section('2 ES-LongPoll', write(append('s')), [
  ...['abc', '0', '-1', '1.5'].flatMap(polls),
  ['a valid value', get('/streams/s/0/forward/5', FEED, { 'es-longpoll': '5' }), '200 OK'],
  ['an invalid value is ignored backward', get('/streams/s', FEED, { 'es-longpoll': 'abc' }), '200 OK'],
  ['an invalid value is ignored for an event', get('/streams/s/0', FEED, { 'es-longpoll': 'abc' }), '200 OK'],
  ['an invalid value is ignored at the head of $all', get('/streams/$all', FEED, { 'es-longpoll': 'abc' }), '200 OK']
])

const shown = (eventType: string): Shows => ({ json: { 'entries.0.eventType': eventType } })
const filtered = '/streams/$all/filtered?context=streamid&type=prefix&data=l&embed=rich'
const KEEP = { 'es-resolvelinktos': 'False' }
const RESOLVE = { 'es-resolvelinktos': 'True' }

section(
  '2 the default of ES-ResolveLinkTos',
  write(append('s'), append('l', {}, [event({ eventType: '$>', data: '0@s' })])),
  [
    ['a feed resolves', get('/streams/l?embed=rich'), '200 OK', shown('T')],
    ['a page forward resolves', get('/streams/l/0/forward/5?embed=rich'), '200 OK', shown('T')],
    ['an event resolves', get('/streams/l/0', codecs.eventJson.type), '200 OK', { json: { eventType: 'T' } }],
    ['$all does not resolve', get('/streams/$all?embed=rich'), '200 OK', shown('$>')],
    ['$all resolves on request', get('/streams/$all?embed=rich', FEED, RESOLVE), '200 OK', shown('T')],
    ['the filtered log always resolves', get(filtered, FEED, KEEP), '200 OK', shown('T')],
    ['deliberate: a feed does not resolve on request', get('/streams/l?embed=rich', FEED, KEEP), '200 OK', shown('$>')],
    [
      'deliberate: an event is not resolved on request',
      get('/streams/l/0', codecs.eventJson.type, KEEP),
      '200 OK',
      { json: { eventType: '$>' } }
    ]
  ]
)

section('2 Kurrent headers, deliberate', nothing, [
  [
    'Kurrent-EventType and -EventId',
    append('k', { 'content-type': 'application/json', 'kurrent-eventtype': 'T', 'kurrent-eventid': newId() }, '{}'),
    '201 Created',
    created('k/0')
  ],
  ['Kurrent-ExpectedVersion', append('k', { 'kurrent-expectedversion': '7' }), WRONG_VERSION, conflict('0')],
  ['Kurrent-RequireLeader', read({ 'kurrent-requireleader': 'x' }), '400 Bad Request', wrong('ES-RequireLeader')],
  ['Kurrent-ResolveLinkTos', read({ 'kurrent-resolvelinktos': 'x' }), '400 Bad Request', wrong('ES-ResolveLinkTos')],
  [
    'Kurrent-LongPoll',
    get('/streams/k/0/forward/5', FEED, { 'kurrent-longpoll': 'x' }),
    '400 Bad Request',
    wrong('ES-LongPoll')
  ],
  ['Kurrent-HardDelete', remove('k', { 'kurrent-harddelete': 'True' }), '204 Stream deleted', EMPTY],
  ['a stream after Kurrent-HardDelete', get('/streams/k'), '410 Deleted', EMPTY]
])

section('2 If-None-Match', write(append('s')), [
  ['one tag', read({ 'if-none-match': tag }), '304 Not Modified', EMPTY],
  ['without quotes', read({ 'if-none-match': tag.replaceAll('"', '') }), '304 Not Modified', EMPTY],
  ['an invalid tag is ignored', read({ 'if-none-match': '"0"' }), '200 OK']
])

section('3.2 the codec of a response', write(append('s')), [
  [
    'the type with the highest q',
    get('/streams/s', `${codecs.atom.type};q=0.3, ${FEED};q=0.9`),
    '200 OK',
    answersAs(codecs.atomJson)
  ],
  [
    'the first of types with equal q',
    get('/streams/s', `${codecs.atom.type}, ${FEED}`),
    '200 OK',
    answersAs(codecs.atom)
  ],
  [
    'types that are not offered are ignored',
    get('/streams/s', `text/plain, ${FEED};q=0.1`),
    '200 OK',
    answersAs(codecs.atomJson)
  ],
  ['case does not matter', get('/streams/s', FEED.toUpperCase()), '200 OK', answersAs(codecs.atomJson)],
  ['a charset does not matter', get('/streams/s', `${FEED}; charset=latin1`), '200 OK', answersAs(codecs.atomJson)],
  ['q=0 does not exclude', get('/streams/s', `${codecs.atom.type};q=0`), '200 OK', answersAs(codecs.atom)],
  [
    'an unreadable q is 1',
    get('/streams/s', `${codecs.atom.type};q=0.9, ${FEED};q=x`),
    '200 OK',
    answersAs(codecs.atomJson)
  ],
  ['empty items are skipped', get('/streams/s', `, ,${FEED}`), '200 OK', answersAs(codecs.atomJson)],
  ['deliberate: any type of JSON is JSON', get('/streams/s', '*/json'), '200 OK', answersAs(codecs.json)],
  ['an asterisk alone', get('/streams/s', '*'), NO_FORM, EMPTY],
  ['spaces at the slash', get('/streams/s', 'a / b'), NO_FORM, EMPTY],
  ['text that is not a media type', get('/streams/s', 'nonsense'), NO_FORM, EMPTY],
  ['only types that are not offered', get('/streams/s', 'image/png, text/plain'), NO_FORM, EMPTY],
  ['3.1: a format overrides Accept', get('/streams/s?format=atom'), '200 OK', answersAs(codecs.atom)],
  ['3.1: format=atomxj', get('/streams/s?format=atomxj', 'text/plain'), '200 OK', answersAs(codecs.atomJson)],
  ['3.1: format=json', get('/streams/s?format=json'), '200 OK', answersAs(codecs.json)],
  ['3.1: format=xml', get('/streams/s?format=xml'), '200 OK', answersAs(codecs.xml)],
  ['3.1: format=text is offered nowhere', get('/streams/s?format=text'), NO_FORM, EMPTY],
  ['3.1: format=atomsvc is offered nowhere', get('/streams/s?format=atomsvc'), NO_FORM, EMPTY],
  ['3.1: format=atomsvcxj is offered nowhere', get('/streams/s?format=atomsvcxj'), NO_FORM, EMPTY],
  [
    '3.1: the newer product name',
    get('/streams/s', 'application/vnd.kurrent.atom+json'),
    '200 OK',
    answersAs(codecs.atomJson)
  ]
])

section('3.3 the codec of a body', nothing, [
  ['an offered type', typed(EVENTS), '201 Created'],
  ['deliberate: a type in upper case', typed(EVENTS.toUpperCase()), '201 Created'],
  ['utf-8', typed(`${EVENTS}; charset=utf-8`), '201 Created'],
  ['another charset', typed(`${EVENTS}; charset=latin1`), WRONG_TYPE, EMPTY],
  ['a wildcard', typed('application/*'), WRONG_TYPE, EMPTY],
  ['no content type', typed(undefined), WRONG_TYPE, EMPTY],
  ['the content type of a read is ignored', get('/streams/typed', FEED, { 'content-type': 'text/nonsense' }), '200 OK'],
  [
    'the content type of a delete is ignored',
    remove('typed', { 'content-type': 'text/nonsense' }),
    '204 Stream deleted'
  ]
])

const NEVER = 'text/html'
const offered = (url: string, list: readonly { type: string; contentType: string }[]): Row[] =>
  list
    .filter((codec) => codec !== codecs.description && codec.type !== NEVER)
    .map((codec) => [`${url} as ${codec.type}`, get(url, codec.type), '200 OK', answersAs(codec)])
const single = offers.event.codecs.filter((codec) => codec !== codecs.json)
const refused = (url: string, ...types: string[]): Row[] =>
  types.map((accept) => [`${url} as ${accept}`, get(url, accept), NO_FORM, EMPTY])
const pages = [
  '/streams/s/0/forward/5',
  '/streams/s/head/backward/5',
  '/streams/s/metadata/0/5',
  '/streams/$all/filtered?exclude-system-events=true'
]
const metadata = { 'es-eventid': newId(), 'es-eventtype': '' }

section('3.4 codec lists', write(append('s'), one('s/metadata', metadata, '{"a":1}')), [
  ...offered(
    '/streams/s',
    offers.feed.codecs.filter((codec) => codec !== codecs.json)
  ),
  ...pages.flatMap((url) => offered(url, offers.feed.codecs)),
  ...refused('/streams/s', codecs.octets.type, 'text/plain'),
  ...offered('/streams/s/0', single),
  ...offered('/streams/s/metadata', single),
  ...refused('/streams/s/0', EVENTS, codecs.eventsXml.type, codecs.description.type),
  ...offers.write.codecs
    .filter((codec) => !codec.xml && codec !== codecs.description && codec !== codecs.octets && codec !== codecs.json)
    .map((codec): Row => [`an append as ${codec.type}`, typed(codec.type, { 'es-eventid': newId() }), '201 Created']),
  ['an append as JSON', one('s', {}), '201 Created'],
  ['an append as octets', typed(codecs.octets.type, { 'es-eventid': newId() }), '201 Created'],
  ['an append as XML', typed('text/xml', { 'es-eventid': newId() }), '201 Created'],
  [
    'a description counts as a list of events',
    append('s', { 'content-type': codecs.description.type }),
    '400 Bad Request',
    says('Write request body invalid.')
  ],
  [
    'atom+json needs an event type in a header',
    append('s', { 'content-type': FEED }),
    '400 Bad Request',
    says('Must include an event type with the request either in body or as ES-EventType header.')
  ],
  ...offers.write.codecs.map(
    (codec): Row => [`an append that accepts ${codec.type}`, append('s', { accept: codec.type }), '201 Created']
  ),
  ['an append that accepts text/plain only', append('s', { accept: 'text/plain' }), NO_FORM, EMPTY],
  ['incoming rejects events+json', append(`s/incoming/${newId()}`), WRONG_TYPE, EMPTY],
  ...[codecs.applicationXml, codecs.xml].map(
    (codec): Row => [
      `incoming supports ${codec.type}`,
      one(`s/incoming/${newId()}`, { 'content-type': codec.type }),
      '201 Created'
    ]
  ),
  ['incoming with an Accept of events+json only', one(`s/incoming/${newId()}`, { accept: EVENTS }), NO_FORM, EMPTY],
  ['a delete that accepts text/plain only', remove('s', { accept: 'text/plain' }), NO_FORM, EMPTY],
  ['a delete that accepts octets', remove('s', { accept: codecs.octets.type }), '204 Stream deleted', EMPTY]
])

const described = {
  headers: { 'content-type': codecs.description.contentType, 'cache-control': undefined, etag: undefined }
}

section(
  '3.5 descriptions, and requests without a usable Accept',
  write(append('s'), append('gone'), remove('gone', { 'es-harddelete': 'True' })),
  [
    ['the description by its media type', get('/streams/s', codecs.description.type), DESCRIPTION, described],
    ['the description of a page backward', get('/streams/s/0/5', codecs.description.type), DESCRIPTION, described],
    ['the description of a missing stream', get('/streams/none', codecs.description.type), DESCRIPTION, described],
    ['the description of a tombstoned stream', get('/streams/gone', codecs.description.type), DESCRIPTION, described],
    ['an unknown media type', get('/streams/s', 'image/png'), NO_FORM, EMPTY],
    ['deliberate: no Accept gets a native page', ask('/streams/s'), '200 OK', answersAs(codecs.json)],
    ['deliberate: Accept */* gets a native page', get('/streams/s', '*/*'), '200 OK', answersAs(codecs.json)],
    [
      'deliberate: Accept application/* gets a native page',
      get('/streams/s', 'application/*'),
      '200 OK',
      answersAs(codecs.json)
    ],
    [
      'deliberate: a page forward has the type application/json',
      ask('/streams/s/0/forward/5'),
      '200 OK',
      { ...answersAs(codecs.json), json: { streamId: 's' } }
    ],
    [
      'deliberate: a page backward has the type application/json',
      ask('/streams/s/0/5'),
      '200 OK',
      { ...answersAs(codecs.json), json: { streamId: 's' } }
    ],
    [
      'a page forward as a description is the feed',
      get('/streams/s/0/forward/5', codecs.description.type),
      '200 OK',
      { ...answersAs(codecs.description), json: { streamId: 's' } }
    ],
    [
      '$all as a description is the feed',
      get('/streams/$all', codecs.description.type),
      '200 OK',
      { json: { title: 'All events' } }
    ]
  ]
)
