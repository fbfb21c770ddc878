/** Reference 4, 5 and 6: stream routes, appends and deletes in the Atom dialect, one row per row of the reference. */
import type { FastifyInstance, InjectOptions } from 'fastify'
import { codecs } from '../../routes/eventstore/wire/codecs.js'
import { BAD, CREATED, HARD, NO_FORM, WRONG_TYPE, WRONG_VERSION } from './requests.js'
import { type Row, type Shows, section } from './rows.js'

const FEED = codecs.atomJson.type
const EVENTS = codecs.eventsJson.type
const XML = codecs.eventsXml.type
const GONE = '410 Stream deleted'
const TOO_LARGE = '413 Too large events received. Limit is 4mb'
const NO_TYPE = 'Must include an event type with the request either in body or as ES-EventType header.'
const NO_ID = "Empty eventId provided. (Parameter 'eventId')"
const INVALID = 'Write request body invalid.'
const TEXT = { 'content-type': 'text/plain; charset=utf-8' }
const says = (message: string): Shows => ({ headers: { 'content-type': 'text/plain' }, body: message })
const conflict = (head: number): Shows => ({ headers: { ...TEXT, 'es-currentversion': String(head) }, body: '' })
const at = (path: string): Shows => ({
  headers: { ...TEXT, location: `http://localhost:80/streams/${path}` },
  body: ''
})
const empty: Shows = { headers: TEXT, body: '' }

type Headers = Record<string, string>

/** Returns an event id for a name: `A` is the same id in all rows. */
const id = (name: string) => `5c1f7f3e-8a5b-4a57-9d0b-${Buffer.from(name).toString('hex').padStart(12, '0').slice(-12)}`
let made = 0
const event = (more: object = {}) => ({ eventId: id(`#${++made}`), eventType: 'T', data: { a: 1 }, ...more })
const get = (url: string, accept: string = FEED): InjectOptions => ({ method: 'GET', url, headers: { accept } })
const post = (stream: string, payload: unknown, headers: Headers = {}): InjectOptions => ({
  method: 'POST',
  url: `/streams/${stream}`,
  headers: { 'content-type': EVENTS, ...headers },
  payload: typeof payload === 'string' ? payload : JSON.stringify(payload)
})
/** Appends the body as the data of one event, without an event id. */
const bare = (stream: string, headers: Headers = {}, payload = '{"a":1}') =>
  post(stream, payload, { 'content-type': 'application/json', 'es-eventtype': 'T', ...headers })
/** Appends events with the ids of the given names. */
const ids = (stream: string, version: number | undefined, ...names: string[]) =>
  post(
    stream,
    names.map((name) => ({ eventId: id(name), eventType: 'T', data: {} })),
    version === undefined ? {} : { 'es-expectedversion': String(version) }
  )
const remove = (stream: string, headers: Headers = {}): InjectOptions => ({
  method: 'DELETE',
  url: `/streams/${stream}`,
  headers: { accept: FEED, ...headers }
})
const expecting = (version: number): Headers => ({ 'es-expectedversion': String(version) })
const metadata = (stream: string, document: object): InjectOptions => ({
  ...post(`${stream}/metadata`, document, { 'content-type': 'application/json', 'es-eventid': id(`m${++made}`) })
})
const write = (...requests: InjectOptions[]) => {
  return async (app: FastifyInstance) => {
    for (const request of requests) await app.inject(request)
  }
}
const nothing = write()
const page = (...numbers: number[]): Shows => ({
  json: {
    ...Object.fromEntries(numbers.map((number, i) => [`entries.${i}.positionEventNumber`, number])),
    [`entries.${numbers.length}`]: undefined
  }
})

const noNumber = (text: string) => says(`'${text}' is not valid event number`)
const noCount = (text: string) => says(`'${text}' is not valid count. Should be positive integer`)
const noMetastream = says('Stream must be non-empty string and should not be metastream')
const level = (word: string, shows: Record<string, unknown>): Row => [
  `embed=${word}`,
  get(`/streams/s/0/forward/1?embed=${word}`),
  '200 OK',
  { json: { 'entries.0.title': '0@s', ...shows } }
]
const none = { 'entries.0.eventId': undefined, 'entries.0.content': null }
const rich = { 'entries.0.eventNumber': 0, 'entries.0.data': null }
const body = { 'entries.0.eventNumber': 0, 'entries.0.data': /"a"/ }

section('4 routes of a stream', write(post('s', [event(), event(), event()]), metadata('s', { a: 1 })), [
  ['the head page', get('/streams/s?embed=rich'), '200 OK', page(2, 1, 0)],
  ['one event', get('/streams/s/1'), '200 OK', { json: { title: '1@s' } }],
  ['the last event', get('/streams/s/head'), '200 OK', { json: { title: '2@s' } }],
  ['a page backward', get('/streams/s/1/1?embed=rich'), '200 OK', page(1)],
  ['a page backward from the head', get('/streams/s/head/2?embed=rich'), '200 OK', page(2, 1)],
  ['a page with the direction backward', get('/streams/s/1/backward/5?embed=rich'), '200 OK', page(1, 0)],
  ['a page forward', get('/streams/s/1/forward/5?embed=rich'), '200 OK', page(2, 1)],
  ['a page forward from the head is rejected', get('/streams/s/head/forward/5'), BAD, noNumber('head')],
  ['the metadata', get('/streams/s/metadata'), '200 OK', { json: { title: '0@$$s' } }],
  ['metadata by number', get('/streams/s/metadata/0'), '200 OK', { json: { title: '0@$$s' } }],
  ['the last metadata', get('/streams/s/metadata/head'), '200 OK', { json: { title: '0@$$s' } }],
  ['a page of metadata', get('/streams/s/metadata/0/5?embed=rich'), '200 OK', page(0)],
  ['a page of metadata backward', get('/streams/s/metadata/head/backward/5?embed=rich'), '200 OK', page(0)],
  ['a page of metadata forward', get('/streams/s/metadata/0/forward/5?embed=rich'), '200 OK', page(0)],
  ['a metastream is a stream', get('/streams/$$s/head'), '200 OK', { json: { title: '0@$$s' } }],
  [
    'writing metadata of a metastream',
    metadata('$$s', {}),
    BAD,
    says('Invalid request. Stream must be non-empty string and should not be metastream')
  ],
  ['metadata of a metastream', get('/streams/$$s/metadata'), BAD, noMetastream],
  ['metadata of a metastream by number', get('/streams/$$s/metadata/0'), BAD, noMetastream],
  ['text instead of a number', get('/streams/s/abc'), BAD, noNumber('abc')],
  ['a negative number', get('/streams/s/-1'), BAD, noNumber('-1')],
  ['a fraction', get('/streams/s/1.5'), BAD, noNumber('1.5')],
  ['a number beyond 2^63-1', get('/streams/s/9223372036854775808'), BAD, noNumber('9223372036854775808')],
  ['the largest number', get('/streams/s/9223372036854775807'), '404 Not Found'],
  ['head in capitals', get('/streams/s/HEAD'), BAD, noNumber('HEAD')],
  ['text instead of the first number of a page', get('/streams/s/abc/forward/5'), BAD, noNumber('abc')],
  ['text instead of the number of metadata', get('/streams/s/metadata/abc'), BAD, noNumber('abc')],
  ['a count of 0', get('/streams/s/0/forward/0'), BAD, noCount('0')],
  ['a negative count', get('/streams/s/0/-1'), BAD, noCount('-1')],
  ['text instead of a count', get('/streams/s/head/backward/abc'), BAD, noCount('abc')],
  ['a count beyond 2^31-1', get('/streams/s/0/forward/2147483648'), BAD, noCount('2147483648')],
  ['a count of 4096', get('/streams/s/0/forward/4096?embed=rich'), '200 OK', page(2, 1, 0)],
  [
    'deliberate: a count above 4096',
    get('/streams/s/0/forward/4097'),
    BAD,
    says('Read size too big, should be less than 4096 items')
  ],
  ['zeros before a number', get('/streams/s/001'), '200 OK', { json: { title: '1@s' } }],
  ['a plus before a number', get('/streams/s/+1'), '200 OK', { json: { title: '1@s' } }],
  ['a minus before zero', get('/streams/s/-0'), '200 OK', { json: { title: '0@s' } }],
  ['spaces around a number', get('/streams/s/%201%20'), '200 OK', { json: { title: '1@s' } }],
  ['a sign and zeros before a count', get('/streams/s/0/forward/+02?embed=rich'), '200 OK', page(1, 0)],
  [
    'text instead of a position of $all',
    get('/streams/$all/xyz/forward/5'),
    BAD,
    says('Invalid position argument: xyz')
  ],
  ['text instead of a count of $all', get('/streams/$all/head/backward/xyz'), BAD, says('Invalid count argument: xyz')],
  ['an invalid id in the path', bare('s/incoming/abc'), BAD, says('Invalid request. Unable to parse guid')],
  level('content', { 'entries.0.eventId': undefined, 'entries.0.content.data.a': 1 }),
  level('rich', rich),
  level('body', body),
  level('pretty', body),
  level('tryharder', body),
  level('RICH', rich),
  level('none', none),
  level('PrettyBody', none),
  level('nonsense', none),
  ['embed absent', get('/streams/s/0/forward/1'), '200 OK', { json: none }]
])

const JSON_EVENT = { 'content-type': 'application/json' }
const toIncoming = /^http:\/\/localhost:80\/streams\/order\/incoming\/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const large = (bytes: number) => `"${'x'.repeat(bytes - 2)}"`
const MIB = 1024 * 1024
const half = { text: 'x'.repeat(2 * MIB) }

section('5.1 checks of an append in their order', nothing, [
  ['no event type', post('order', '{}', { ...JSON_EVENT, 'es-eventid': id('A') }), BAD, says(NO_TYPE)],
  [
    'a missing type is reported before a bad id',
    post('order', '{}', { ...JSON_EVENT, 'es-eventid': 'x' }),
    BAD,
    says(NO_TYPE)
  ],
  ['a bad id', bare('order', { 'es-eventid': 'x' }), BAD, says('ES-EventId header in wrong format.')],
  [
    'a bad id is reported before a bad version',
    bare('order', { 'es-eventid': 'x', 'es-expectedversion': 'x' }),
    BAD,
    says('ES-EventId header in wrong format.')
  ],
  [
    'atom+json without an id',
    post('order', [event()], { 'content-type': FEED, 'es-eventtype': 'T' }),
    '307 Temporary Redirect',
    { headers: { location: toIncoming, 'content-type': /^text\/plain/ }, body: 'Forwarding to idempotent URI' }
  ],
  [
    'atom+xml without an id',
    post('order', '<a/>', { 'content-type': codecs.atom.type, 'es-eventtype': 'T' }),
    '307 Temporary Redirect',
    { headers: { location: toIncoming } }
  ],
  ['deliberate: JSON without an id gets one', bare('made'), CREATED, at('made/0')],
  [
    'deliberate: XML without an id gets one',
    bare('made', { 'content-type': 'text/xml' }, '<a/>'),
    CREATED,
    at('made/1')
  ],
  [
    'deliberate: octets without an id get one',
    bare('made', { 'content-type': codecs.octets.type }),
    CREATED,
    at('made/2')
  ],
  [
    'a bad version',
    post('order', [event()], { 'es-expectedversion': 'x' }),
    BAD,
    says('ES-ExpectedVersion header in wrong format.')
  ],
  [
    'a bad leader header',
    post('order', [event()], { 'es-requireleader': 'x' }),
    BAD,
    says('ES-RequireLeader header in wrong format.')
  ],
  ['no events', post('order', []), BAD, says(INVALID)],
  ['a list without events is reported before a wrong version', post('order', [], expecting(7)), BAD, says(INVALID)],
  ['an event of 4 MiB', bare('large', {}, large(4 * MIB)), CREATED, at('large/0')],
  ['an event of 4 MiB and a byte', bare('large', {}, large(4 * MIB + 1)), TOO_LARGE, { body: '' }],
  [
    'data and metadata with more than 4 MiB together',
    post('large', [event({ data: half, metadata: half })]),
    TOO_LARGE,
    { body: '' }
  ],
  [
    'three events of 2 MiB',
    post('large', [event({ data: half }), event({ data: half }), event({ data: half })]),
    CREATED,
    at('large/1')
  ],
  ['too large events are not stored', get('/streams/large/head'), '200 OK', { json: { title: '3@large' } }],
  [
    'a too large event is reported before a wrong version',
    bare('large', expecting(7), large(4 * MIB + 1)),
    TOO_LARGE,
    { body: '' }
  ],
  ['rejected events are not stored', get('/streams/order'), '404 Not Found', empty]
])

section('5.1 appends by id', nothing, [
  ['an append with an id in the path', bare(`i/incoming/${id('A')}`), CREATED, at('i/0')],
  ['a repeated append with an id in the path', bare(`i/incoming/${id('A')}`), CREATED, at('i/0')],
  [
    'the id in the path is the id of the event',
    get('/streams/i/0', codecs.eventJson.type),
    '200 OK',
    { json: { eventId: id('A'), eventType: 'T' } }
  ],
  [
    'the id in the path overrides ES-EventId',
    bare(`i/incoming/${id('B')}`, { 'es-eventid': id('C') }),
    CREATED,
    at('i/1')
  ],
  ['the overriding id is stored', get('/streams/i/1', codecs.eventJson.type), '200 OK', { json: { eventId: id('B') } }],
  [
    'no event type',
    post(`i/incoming/${id('D')}`, '{}', JSON_EVENT),
    BAD,
    says("Empty eventType provided. (Parameter 'eventType')")
  ],
  [
    'ids in an atom+json body override the id in the path',
    post(`i/incoming/${id('D')}`, [event({ eventId: id('E') })], { 'content-type': FEED, 'es-eventtype': 'T' }),
    CREATED,
    at('i/2')
  ],
  [
    'the id from the body is stored',
    get('/streams/i/2', codecs.eventJson.type),
    '200 OK',
    { json: { eventId: id('E') } }
  ],
  ['octets', bare(`i/incoming/${id('F')}`, { 'content-type': codecs.octets.type }), WRONG_TYPE, { body: '' }],
  ['a list of events with an id in the path', post(`i/incoming/${id('F')}`, [event()]), WRONG_TYPE, { body: '' }],
  ['the empty id', bare(`i/incoming/${'0'.repeat(32)}`), BAD, says(NO_ID)],
  ['a wrong version', bare(`i/incoming/${id('F')}`, expecting(7)), WRONG_VERSION, conflict(2)]
])

/** Rows for an append, and for a read of its event. */
const kept = (promise: string, stream: string, request: InjectOptions, shows: Record<string, unknown>): Row[] => [
  [promise, request, CREATED, at(`${stream}/0`)],
  [
    `${promise}: read back`,
    get(`/streams/${stream}/0/forward/1?embed=tryharder`),
    '200 OK',
    { json: Object.fromEntries(Object.entries(shows).map(([name, value]) => [`entries.0.${name}`, value])) }
  ]
]
const raw = (stream: string, type: string, payload: string) =>
  bare(stream, { 'content-type': type, 'es-eventid': id('A') }, payload)
const xml = (inner: string) =>
  `<events><event><eventId>${id('A')}</eventId><eventType>T</eventType>${inner}</event></events>`
const list = (stream: string, type: string, payload: unknown = [event()], headers: Headers = {}) =>
  post(stream, payload, { 'content-type': type, ...headers })

section('5.2 bodies by their type', nothing, [
  ...kept('JSON', 'json', raw('json', 'application/json', '{"b": 2, "a": 1}'), { data: /"b".*"a"/s, isJson: true }),
  ...kept('text/xml', 'tx', raw('tx', 'text/xml', '<a>1</a>'), { data: '<a>1</a>', isJson: false }),
  ...kept('application/xml', 'ax', raw('ax', 'application/xml', '<a/>'), { data: '<a/>', isJson: false }),
  ...kept('octets', 'oct', raw('oct', codecs.octets.type, 'words'), { data: 'words', isJson: false }),
  ...kept('events+json', 'ej', list('ej', EVENTS), { data: /"a"/, isJson: true, eventType: 'T' }),
  ...kept('event+json', 'e1', list('e1', codecs.eventJson.type), { data: /"a"/, isJson: true }),
  ...kept('atom+json', 'aj', list('aj', FEED, undefined, { 'es-eventtype': 'U', 'es-eventid': id('B') }), {
    data: /"a"/,
    eventType: 'T'
  }),
  ...kept('events+xml', 'ex', list('ex', XML, xml('<data><a>1</a></data>')), { data: /"a".*"1"/s, isJson: true }),
  ...kept('event+xml', 'e2', list('e2', codecs.eventXml.type, xml('<data><a>1</a></data>')), {
    data: /"a"/,
    isJson: true
  }),
  ...kept('XML with text for data', 'xt', list('xt', XML, xml('<data>words</data>')), { data: 'words', isJson: false }),
  ...kept('XML with JSON text for data', 'xj', list('xj', XML, xml('<data>{"a":1}</data>')), {
    data: /"a".*1/s,
    isJson: true
  }),
  ...kept('XML with attributes and repeats', 'xr', list('xr', XML, xml('<data k="v"><a>1</a><a>2</a></data>')), {
    data: /"@k".*"v".*"a".*\[.*"1".*"2"/s
  }),
  ...kept(
    'XML with other element names',
    'xn',
    list('xn', XML, xml('<data>x</data>').replaceAll('event>', 'e>').replaceAll('events>', 'all>')),
    { data: 'x' }
  ),
  ['a single object', list('no', codecs.eventJson.type, event()), BAD, says(INVALID)],
  ['a description', list('no', codecs.description.type), BAD, says(INVALID)],
  ['XML with a namespace', list('no', XML, xml('').replace('<events>', '<events xmlns="urn:x">')), BAD, says(INVALID)],
  ['truncated XML', list('no', XML, '<events><event>'), BAD, says(INVALID)],
  ['XML without events', list('no', XML, '<events></events>'), BAD, says(INVALID)],
  ['deliberate: invalid JSON', raw('no', 'application/json', 'not json'), BAD],
  ['deliberate: lenient JSON', list('no', EVENTS, `[{eventId:'${id('A')}',eventType:'T'}]`), BAD, says(INVALID)],
  ['rejected bodies are not stored', get('/streams/no'), '404 Not Found', empty]
])

const field = (promise: string, more: object, message: string): Row => [
  promise,
  post('no', [event(more)]),
  BAD,
  says(message)
]
const value = (name: string, more: object, shows: Record<string, unknown>) =>
  kept(name, name.replaceAll(' ', '-'), post(name.replaceAll(' ', '-'), [event(more)]), shows)

section('5.2 members of an event', nothing, [
  field('eventId missing', { eventId: undefined }, NO_ID),
  field('eventId null', { eventId: null }, NO_ID),
  field('eventId of zeros', { eventId: '00000000-0000-0000-0000-000000000000' }, NO_ID),
  field('an invalid eventId', { eventId: 'abc' }, INVALID),
  field('eventType missing', { eventType: undefined }, "Empty eventType provided. (Parameter 'eventType')"),
  field('eventType empty', { eventType: '' }, "Empty eventType provided. (Parameter 'eventType')"),
  field('eventType an object', { eventType: {} }, INVALID),
  ...value('eventType a number', { eventType: 7 }, { eventType: '7' }),
  ...value('eventType a boolean', { eventType: true }, { eventType: 'true' }),
  ...value('eventType spaces', { eventType: '  ' }, { eventType: '  ' }),
  ...value('data an object', { data: { b: 1 } }, { data: /"b"/, isJson: true }),
  ...value('data an array', { data: [1] }, { data: /1/, isJson: true }),
  ...value('data text', { data: 'words' }, { data: 'words', isJson: false }),
  ...value('data the text of an object', { data: '{"b":1}' }, { data: /"b"/, isJson: true }),
  ...value('data a number', { data: 7 }, { data: '' }),
  ...value('data null', { data: null }, { data: '' }),
  ...value('data absent', { data: undefined }, { data: '' }),
  ...value('metadata an object', { metadata: { m: 1 } }, { metaData: /"m"/, isMetaData: true }),
  ...value('metadata text', { metadata: 'words' }, { metaData: 'words', isJson: true }),
  ...value('metadata an object beside text', { data: 'words', metadata: { m: 1 } }, { data: 'words', isJson: true }),
  ['an empty array', post('no', []), BAD, says(INVALID)],
  ['a number', post('no', '5'), BAD, says(INVALID)],
  ['null', post('no', 'null'), BAD, says(INVALID)],
  ['a number among the events', post('no', [event(), 5]), BAD, says(INVALID)],
  ['an array among the events', post('no', [event(), []]), BAD, says(INVALID)],
  ['an empty body', post('no', ''), BAD, says(INVALID)],
  ['text after the array', post('no', `${JSON.stringify([event()])} x`), BAD, says(INVALID)],
  ['deliberate: null among the events, with a message of Daybook', post('no', '[null]'), BAD],
  ['deliberate: an id twice in a batch', ids('no', undefined, 'A', 'A'), BAD],
  ['an invalid second event', post('no', [event(), event({ eventId: 'abc' })]), BAD, says(INVALID)],
  ['rejected events are not stored', get('/streams/no'), '404 Not Found', empty]
])

section(
  '5.3 answers of an append',
  write(post('gone', [event()]), remove('gone', HARD), post('soft', [event()]), remove('soft')),
  [
    ['a new batch', ids('a%2Fb', undefined, 'A', 'B'), CREATED, at('a%2Fb/0')],
    ['Location has the number of the first event', ids('a%2Fb', undefined, 'C', 'D'), CREATED, at('a%2Fb/2')],
    ['an idempotent repeat', ids('a%2Fb', undefined, 'C', 'D'), CREATED, at('a%2Fb/2')],
    ['an invalid body', post('a%2Fb', []), BAD, says(INVALID)],
    ['a version conflict', ids('a%2Fb', 1, 'X'), WRONG_VERSION, conflict(3)],
    ['a tombstoned stream', ids('gone', undefined, 'A'), GONE, empty],
    ['a tombstoned stream with a version', ids('gone', 0, 'A'), GONE, empty],
    ['-4 on a soft-deleted stream', ids('soft', -4, 'A'), GONE, empty],
    ['deliberate: $all', ids('$all', undefined, 'A'), BAD],
    [
      'an Accept of text/plain only, although the response is text',
      post('s', [event()], { accept: 'text/plain' }),
      NO_FORM,
      { body: '' }
    ]
  ]
)

section('5.4 versions and repeats', nothing, [
  ['A', ids('any', undefined, 'A'), CREATED, at('any/0')],
  ['A repeated', ids('any', undefined, 'A'), CREATED, at('any/0')],
  ['the repeat writes no event', get('/streams/any?embed=rich'), '200 OK', page(0)],
  ['A B at -1', ids('both', -1, 'A', 'B'), CREATED, at('both/0')],
  ['A B at -1 repeated', ids('both', -1, 'A', 'B'), CREATED, at('both/0')],
  ['A, then A B', ids('any', undefined, 'A', 'B'), WRONG_VERSION, conflict(0)],
  ['A, then B at -1', ids('any', -1, 'B'), WRONG_VERSION, conflict(0)],
  ['JSON with an id in the path', bare(`json/incoming/${id('A')}`), CREATED, at('json/0')],
  ['JSON with an id in the path, repeated', bare(`json/incoming/${id('A')}`), CREATED, at('json/0')],
  ['the same id in a list of events', ids('json', undefined, 'A'), CREATED, at('json/0')],
  ['0 on a new stream', ids('new', 0, 'A'), WRONG_VERSION, conflict(-1)],
  ['-4 on a new stream', ids('new', -4, 'A'), WRONG_VERSION, conflict(-1)],
  ['metadata of a stream without events', metadata('onlymeta', { a: 1 }), CREATED, at('%24%24onlymeta/0')],
  ['-4 on a stream with metadata only', ids('onlymeta', -4, 'A'), CREATED, at('onlymeta/0')],
  ['A at -1 of A B', ids('both', -1, 'A'), CREATED, at('both/0')],
  ['B at 0 of A B', ids('both', 0, 'B'), CREATED, at('both/1')],
  ['B of A B', ids('both', undefined, 'B'), CREATED, at('both/1')],
  ['B A of A B', ids('both', undefined, 'B', 'A'), CREATED, at('both/1')],
  ['A C at -1 of A B', ids('both', -1, 'A', 'C'), WRONG_VERSION, conflict(1)],
  ['A B C at -1 of A B', ids('both', -1, 'A', 'B', 'C'), WRONG_VERSION, conflict(1)],
  ['C at 0 of A B', ids('both', 0, 'C'), WRONG_VERSION, conflict(1)],
  ['C at a version beyond the last event', ids('both', 5, 'C'), WRONG_VERSION, conflict(1)],
  ['C at the version of the last event', ids('both', 1, 'C'), CREATED, at('both/2')],
  ['-4 on a stream', ids('both', -4, 'D'), CREATED, at('both/3')],
  ['-4 with an id already in the stream', ids('both', -4, 'A'), CREATED, at('both/0')],
  ['deliberate: A at 0 of A is not written again', ids('any', 0, 'A'), CREATED, at('any/0')],
  ['deliberate: a batch with a new id before an existing id', ids('both', undefined, 'E', 'A'), WRONG_VERSION],
  ['the same id in another stream', ids('other', undefined, 'A'), CREATED, at('other/0')],
  ['a repeat in the other stream', ids('other', undefined, 'A'), CREATED, at('other/0')],
  [
    'a repeat with other data and another type',
    post('other', [event({ eventId: id('A'), eventType: 'U' })]),
    CREATED,
    at('other/0')
  ]
])

section('5.4 versions of what was truncated', write(ids('cut', -1, 'A', 'B', 'C'), metadata('cut', { $tb: 2 })), [
  ['a repeat of a visible event', ids('cut', 1, 'C'), CREATED, at('cut/2')],
  ['another id at the number of a visible event', ids('cut', 1, 'B'), WRONG_VERSION, conflict(2)]
])

section(
  '5.4 versions of deleted streams',
  write(ids('soft', -1, 'A', 'B'), remove('soft'), ids('gone', -1, 'A'), remove('gone', HARD)),
  [
    ['a tombstoned stream', ids('gone', -1, 'A'), GONE, empty],
    ['an id of a soft-deleted stream', ids('soft', undefined, 'A'), CREATED, at('soft/0')],
    ['the repeat does not revive the stream', get('/streams/soft'), '404 Not Found', empty],
    ['-4 on a soft-deleted stream', ids('soft', -4, 'C'), GONE, empty],
    ['another version of a soft-deleted stream', ids('soft', 0, 'C'), WRONG_VERSION, conflict(1)],
    ['-1 revives a soft-deleted stream', ids('soft', -1, 'C'), CREATED, at('soft/2')],
    ['a revived stream shows its new events', get('/streams/soft?embed=rich'), '200 OK', page(2)]
  ]
)

const DELETED = '204 Stream deleted'

section(
  '6 delete',
  write(...['soft', 'ver', 'gone'].map((stream) => ids(stream, -1, 'A', 'B')), metadata('onlymeta', { a: 1 })),
  [
    ['a stream with events', remove('soft'), DELETED, empty],
    ['a soft-deleted stream deleted again', remove('soft'), DELETED, empty],
    ['a soft-deleted stream at its version', remove('soft', expecting(1)), DELETED, empty],
    ['a soft-deleted stream at -1', remove('soft', expecting(-1)), DELETED, empty],
    ['a soft-deleted stream at another version', remove('soft', expecting(0)), WRONG_VERSION, conflict(1)],
    ['a soft-deleted stream at -4', remove('soft', expecting(-4)), GONE, empty],
    ['a wrong version', remove('ver', expecting(0)), WRONG_VERSION, conflict(1)],
    ['-1 on a stream with events', remove('ver', expecting(-1)), WRONG_VERSION, conflict(1)],
    ['a stream never written', remove('none'), WRONG_VERSION, conflict(-1)],
    ['-4 on a stream never written', remove('none', expecting(-4)), WRONG_VERSION, conflict(-1)],
    ['a stream with metadata only', remove('onlymeta'), DELETED, empty],
    ['a stream at its version', remove('ver', expecting(1)), DELETED, empty],
    ['a hard delete', remove('gone', HARD), DELETED, empty],
    ['a second hard delete', remove('gone', HARD), GONE, empty],
    ['a soft delete after a hard delete', remove('gone'), GONE, empty],
    ['deliberate: a metastream', remove('$$soft'), BAD],
    ['deliberate: $all', remove('$all'), BAD],
    [
      'a body and its content type are ignored',
      { ...remove('soft', { 'content-type': 'text/nonsense' }), payload: 'x' },
      DELETED,
      empty
    ],
    [
      'an Accept of text/plain only, although the response is text',
      remove('soft', { accept: 'text/plain' }),
      NO_FORM,
      { body: '' }
    ]
  ]
)

const DELETED_READ = '410 Deleted'

section('6.1 hard delete', write(ids('h', -1, 'A'), metadata('h', { a: 1 }), remove('h', HARD)), [
  ['the feed', get('/streams/h'), DELETED_READ, empty],
  ['a page', get('/streams/h/0/forward/5'), DELETED_READ, empty],
  ['an event', get('/streams/h/0'), DELETED_READ, { headers: TEXT, body: '{}' }],
  ['the metadata', get('/streams/h/metadata'), DELETED_READ, { headers: TEXT, body: '{}' }],
  ['an append', ids('h', undefined, 'B'), GONE, empty],
  ['writing metadata', metadata('h', {}), GONE, empty],
  ['a delete', remove('h'), GONE, empty],
  ['a hard delete of a stream never written', remove('never', HARD), DELETED, empty],
  ['a stream never written is tombstoned after a hard delete', get('/streams/never'), DELETED_READ, empty],
  ['a hard delete at -1', remove('never-1', { ...HARD, ...expecting(-1) }), DELETED, empty],
  [
    'the events of a tombstoned stream stay in $all',
    get('/streams/$all?embed=rich'),
    '200 OK',
    {
      json: {
        'entries.2.eventType': '$streamDeleted',
        'entries.2.eventNumber': 2 ** 63,
        'entries.4.eventStreamId': undefined,
        'entries.4.streamId': 'h'
      }
    }
  ]
])

const soft = write(ids('s', -1, 'A', 'B'), metadata('s', { own: 1, $maxCount: 9 }), remove('s'))
const document = (wanted: string | RegExp): Shows => ({ body: wanted })

section('6.2 soft delete', soft, [
  ['the feed', get('/streams/s'), '404 Not Found', empty],
  ['an event', get('/streams/s/0'), '404 Not Found', { headers: TEXT, body: '{}' }],
  ['a page forward', get('/streams/s/0/forward/5'), '404 Not Found', empty],
  [
    'a soft delete replaces the metadata by $tb',
    get('/streams/s/metadata', 'application/json'),
    '200 OK',
    document(/^\{\s*"\$tb": ?9223372036854775807\s*\}$/)
  ],
  ['append at -4', ids('s', -4, 'C'), GONE, empty],
  ['append at another version', ids('s', 0, 'C'), WRONG_VERSION, conflict(1)],
  ['append at the old last number', ids('s', 1, 'C'), CREATED, at('s/2')],
  [
    'a revived stream continues its numbers, and its old events stay hidden',
    get('/streams/s?embed=rich'),
    '200 OK',
    page(2)
  ],
  ['an old event of a revived stream', get('/streams/s/0'), '404 Not Found', { headers: TEXT, body: '{}' }],
  [
    '$tb is the first number of the revived stream',
    get('/streams/s/metadata', 'application/json'),
    '200 OK',
    document(/^\{\s*"\$tb": ?2\s*\}$/)
  ]
])

section('6.2 soft delete and metadata', write(ids('s', -1, 'A', 'B'), remove('s')), [
  ['new metadata revives a soft-deleted stream', metadata('s', { own: 1 }), CREATED, at('%24%24s/1')],
  ['a stream revived by metadata has no events', get('/streams/s?embed=rich'), '200 OK', page()],
  [
    'the metadata has $tb in addition to the new members',
    get('/streams/s/metadata', 'application/json'),
    '200 OK',
    document(/"own": ?1.*"\$tb": ?2/s)
  ]
])
