/** Reference 9, 10 and 11: caching, long polls and stream metadata in the Atom dialect, one row per row there. */
import type { FastifyInstance, InjectOptions } from 'fastify'
import t from 'tap'
import { codecHash, codecs } from '../../routes/eventstore/wire/codecs.js'
import { type Clock, systemClock } from '../../src/time/clock.js'
import { openApp } from '../helpers/app.js'
import { BAD, CREATED, DELETED, HARD, MISSING, OK, WRONG_VERSION } from './requests.js'
import { type Row, type Shows, section, seen } from './rows.js'

const FEED = codecs.atomJson.type
const SAME = '304 Not Modified'
const says = (message: string): Shows => ({ headers: { 'content-type': 'text/plain' }, body: message })
const json = (members: Record<string, unknown>): Shows => ({ json: members })

type Headers = Record<string, string>

let made = 0
const newId = () => `5c1f7f3e-8a5b-4a57-9d0b-${(++made).toString(16).padStart(12, '0')}`
const event = (more: object = {}) => ({ eventId: newId(), eventType: 'T', data: { a: 1 }, ...more })
const get = (url: string, headers: Headers = {}): InjectOptions => ({
  method: 'GET',
  url: `/streams/${url}`,
  headers: { accept: FEED, ...headers }
})
const as = (url: string, accept: string) => get(url, { accept })
const post = (url: string, payload: unknown, headers: Headers = {}): InjectOptions => ({
  method: 'POST',
  url: `/streams/${url}`,
  headers: { 'content-type': codecs.eventsJson.type, ...headers },
  payload: typeof payload === 'string' ? payload : JSON.stringify(payload)
})
const many = (stream: string, count: number) =>
  post(
    stream,
    Array.from({ length: count }, () => event())
  )
/** Writes a metadata document with an event id, unless the headers override it. */
const metadata = (stream: string, document: unknown, headers: Headers = {}) =>
  post(`${stream}/metadata`, document, { 'content-type': 'application/json', 'es-eventid': newId(), ...headers })
const remove = (stream: string, headers: Headers = {}): InjectOptions => ({
  method: 'DELETE',
  url: `/streams/${stream}`,
  headers: { accept: FEED, ...headers }
})
const write = (...requests: InjectOptions[]) => {
  return async (app: FastifyInstance) => {
    for (const request of requests) await app.inject(request)
  }
}
/** Returns a log position as addresses contain it; the first event has position 1. */
const position = (place: number) => place.toString(16).toUpperCase().padStart(16, '0').repeat(2)

const VARY = { vary: 'Accept' }
const YEAR = { ...VARY, 'cache-control': 'max-age=31536000, private', etag: undefined }
const tag = (version: number) => `"${version};${codecHash(codecs.atomJson)}"`
const head = (version: number, control = 'max-age=0, no-cache, must-revalidate') => ({
  ...VARY,
  'cache-control': control,
  etag: tag(version)
})
const UNCACHED = { 'cache-control': undefined, etag: undefined }
const kept = (what: string, url: string, headers: Shows['headers']): Row => [
  what,
  get(url),
  OK,
  { headers: headers ?? {} }
]
const uncached = (what: string, request: InjectOptions, answer: string): Row => [
  what,
  request,
  answer,
  { headers: UNCACHED }
]

section(
  '9 caching',
  write(
    many('s', 12),
    post('l', [event({ eventType: '$>', data: '3@s' }), event({ eventType: '$>', data: '0@s' })]),
    many('m', 1),
    metadata('m', { $cacheControl: 42 }),
    metadata('m', { $cacheControl: 42 }),
    many('far', 1),
    metadata('far', { $cacheControl: 9000000000 }),
    many('gone', 1),
    remove('gone', HARD)
  ),
  [
    kept('a head page', 's', head(11)),
    kept('a page from head', 's/head/backward/5', head(11)),
    kept('a page backward from beyond the head', 's/12/backward/5', head(11)),
    kept('$cacheControl: a head page', 'm', head(0, 'max-age=42, private')),
    kept('$cacheControl: an incomplete page', 'm/0/forward/5', head(0, 'max-age=42, private')),
    kept('$cacheControl: the last event', 'm/head', head(0, 'max-age=42, private')),
    kept('$cacheControl does not apply to metadata', 'm/metadata', head(1)),
    kept('$cacheControl is capped at 2^31-1', 'far', head(0, 'max-age=2147483647, private')),
    kept('a page backward', 's/11/backward/5', YEAR),
    kept('a complete page forward', 's/0/forward/5', YEAR),
    kept('a page forward that is complete up to the head', 's/8/forward/4', YEAR),
    kept('an incomplete page forward', 's/8/forward/5', head(11)),
    kept('a page forward from beyond the head', 's/12/forward/5', head(11)),
    kept('an event', 's/3', YEAR),
    kept('the last event', 's/head', head(11)),
    kept('the last event through a link has the number of the link', 'l/head', head(1)),
    kept('the last metadata', 'm/metadata/head', head(1)),
    kept('metadata by its number', 'm/metadata/1', YEAR),
    kept('missing metadata', 's/metadata', { ...head(0), etag: undefined }),
    kept('$all', '$all', { ...head(0), etag: /^"\d+;-?\d+"$/ }),
    kept('$all backward from beyond the end', `$all/${position(99)}/backward/5`, { ...head(0), etag: /^"\d+;-?\d+"$/ }),
    kept('$all backward from a position', `$all/${position(5)}/backward/2`, YEAR),
    kept('$all forward, complete', `$all/${position(0)}/forward/5`, YEAR),
    kept('$all forward, incomplete', `$all/${position(0)}/forward/500`, { ...head(0), etag: /^"\d+;-?\d+"$/ }),
    uncached('a missing stream', get('never'), MISSING),
    uncached('a missing event', get('s/99'), MISSING),
    uncached('a tombstoned stream', get('gone'), DELETED),
    [
      'a stream that has not changed',
      get('s', { 'if-none-match': tag(11) }),
      SAME,
      { headers: { 'cache-control': undefined, etag: tag(11) } }
    ],
    uncached('an invalid request', get('s/x'), BAD),
    uncached(
      'an unsupported media type',
      as('s', 'text/plain'),
      '406 Requested URI is not available in requested format'
    )
  ]
)

// In addition to the recorded headers, the response has the unchanged tag (RFC 9110 15.4.5).
const NOT_MODIFIED: Shows = {
  headers: { 'content-type': 'text/plain; charset=utf-8', 'cache-control': undefined, etag: /^"-?\d+;-?\d+"$/ },
  body: ''
}
const HASH = tag(0).replace('"0;', '').replace('"', '')
const same = (what: string, url: string, value: string): Row => [
  what,
  get(url, { 'if-none-match': value }),
  SAME,
  NOT_MODIFIED
]
const other = (what: string, url: string, value: string, headers: Headers = {}): Row => [
  what,
  get(url, { 'if-none-match': value, ...headers }),
  OK
]

section('9 If-None-Match', write(many('s', 3), metadata('s', { a: 1 })), [
  same('the current tag', 's', tag(2)),
  same('the current tag without quotes', 's', tag(2).replaceAll('"', '')),
  same('the tag of a page from head', 's/head/backward/5', tag(2)),
  same('the tag of a cacheable page backward', 's/1/backward/1', tag(2)),
  same('the tag of a cacheable page forward', 's/0/forward/2', tag(2)),
  same('the tag of an incomplete page forward', 's/1/forward/5', tag(2)),
  same('the tag of a page of metadata', 's/metadata/head/backward/5', tag(0)),
  same('the tag of $all', '$all', tag(3)),
  same('version -1 of a stream never written', 'never', `"-1;${HASH}"`),
  ['the tag of a stream never written in another version', get('never', { 'if-none-match': tag(2) }), MISSING],
  other('an older version', 's', tag(1)),
  other('a newer version', 's', tag(7)),
  other('the tag of another media type', 's', tag(2), { accept: codecs.atom.type }),
  other('a weak tag', 's', `W/${tag(2)}`),
  other('a list', 's', `${tag(2)}, "x"`),
  other('an asterisk', 's', '*'),
  other('a version without a hash', 's', '"2"'),
  other('a tag with a third part', 's', `"2;${HASH};1"`),
  other('a tag without numbers', 's', '"a;b"'),
  other('the tag with an event', 's/2', tag(2)),
  other('the tag with the last event', 's/head', tag(2)),
  other('the tag with the metadata', 's/metadata', tag(0)),
  ['If-Match is ignored', get('s', { 'if-match': '"9;9"' }), OK],
  ['If-Modified-Since is ignored', get('s', { 'if-modified-since': 'Sun, 06 Nov 2094 08:49:37 GMT' }), OK],
  ['If-None-Match with a write is ignored', post('s', [event()], { 'if-none-match': '*' }), CREATED],
  ['the old tag after an append', get('s', { 'if-none-match': tag(2) }), OK, { headers: { etag: tag(3) } }],
  ['a soft delete', remove('s'), '204 Stream deleted'],
  same('6.2: the tag after a soft delete', 's', tag(3)),
  ['a hard delete', remove('s', HARD), '204 Stream deleted'],
  ['the tag after a hard delete', get('s', { 'if-none-match': tag(3) }), DELETED]
])

const POLL = { 'es-longpoll': '30' }
const polling = (url: string, headers: Headers = {}) => get(`${url}?embed=rich`, { ...POLL, ...headers })
const numbers = (...entries: number[]) =>
  json({
    ...Object.fromEntries(entries.map((number, i) => [`entries.${i}.positionEventNumber`, number])),
    'entries.length': entries.length
  })

// No event is ever appended: if a poll were held, the test would not end.
section('10 long polls with an immediate response', write(many('s', 2), many('gone', 1), remove('gone', HARD)), [
  ['a page with an event', polling('s/1/forward/5'), OK, numbers(1)],
  ['a page with more events than its count', polling('s/0/forward/1'), OK, numbers(0)],
  ['a page backward', polling('s/head/backward/5'), OK, numbers(1, 0)],
  ['a head page', polling('s'), OK, numbers(1, 0)],
  ['a single event', polling('s/1'), OK],
  ['$all with an event', polling(`$all/${position(1)}/forward/1`), OK, numbers(0)],
  ['a tombstoned stream', polling('gone/0/forward/5'), DELETED],
  ...['0', '-1', 'abc', '1.5'].map(
    (value): Row => [
      `a bad value, ${value}, with events to return`,
      get('s/0/forward/5', { 'es-longpoll': value }),
      BAD,
      says('ES-LongPoll header in wrong format.')
    ]
  ),
  ['an empty value counts as absent', get('s/9/forward/5', { 'es-longpoll': '' }), OK]
])

/** The promise, the held read, the write or time-out that ends it, and the expected response. */
type Held = [promise: string, read: InjectOptions, end: InjectOptions | 'time', answer: string, shows?: Shows]

const ETAG = { 'if-none-match': tag(1) }
const held: Held[] = [
  ['an event is appended', polling('s/2/forward/5'), many('s', 1), OK, numbers(2)],
  ['the stream is created', polling('new/0/forward/5'), many('new', 1), OK, numbers(0)],
  [
    '$all: an event is appended to any stream',
    polling(`$all/${position(3)}/forward/5`),
    many('other', 1),
    OK,
    numbers(0)
  ],
  [
    'the filtered log: a matching event is appended',
    get(`$all/filtered/${position(3)}/forward/5?embed=rich&exclude-system-events=true`, POLL),
    many('other', 1),
    OK,
    numbers(0)
  ],
  [
    'a page of metadata: metadata is written',
    polling('s/metadata/0/forward/5'),
    metadata('s', { a: 1 }),
    OK,
    numbers(0)
  ],
  ['no event is appended', polling('s/2/forward/5'), 'time', OK, numbers()],
  ['no event is appended to $all', polling(`$all/${position(3)}/forward/5`), 'time', OK, numbers()],
  ['the stream is not created', polling('never/0/forward/5'), 'time', MISSING],
  ['with the current tag, no event is appended', polling('s/2/forward/5', ETAG), 'time', SAME],
  ['with the current tag, an event is appended', polling('s/2/forward/5', ETAG), many('s', 1), OK, numbers(2)]
]

for (const [promise, read, end, answer, shows = {}] of held) {
  t.test(`10 held long polls, 24.22: ${promise}`, async (t) => {
    const polls = new Polls()
    const { app } = await openApp(t, { clock: polls.clock })
    await app.inject(many('s', 2))
    let answered = false
    const reading = app.inject(read).then((got) => {
      answered = true
      return got
    })
    const timeIsOver = await Promise.race([polls.begun, reading.then(() => () => {})])
    // Other requests are answered meanwhile. Without a hold, the poll would be answered, too.
    for (let i = 0; i < 3; i++) await app.inject(get('s'))
    t.notOk(answered, `10 long poll, 24.22: ${promise}: the poll is held`)
    if (end === 'time') timeIsOver()
    else t.equal((await app.inject(end)).statusCode, 201, `10 long poll, 24.22: ${promise}: the write succeeds`)
    const got = await reading
    t.strictSame(seen(got, shows), { answer, ...shows }, `10 long poll, 24.22: ${promise}: ${answer}`)
  })
}

const accepted = (key: string, document: object): Row[] => [
  [`${key} is accepted`, metadata('keys', document), CREATED],
  [
    `${key} is stored unchanged`,
    as('keys/metadata', 'application/json'),
    OK,
    {
      body: new RegExp(
        JSON.stringify(document)
          .slice(1, -1)
          .replace(/[$[\]{}]/g, '\\$&')
          .replace(/([:,])/g, '$1\\s*')
      )
    }
  ]
]
const refused = (key: string, document: unknown): Row => [`deliberate: ${key}`, metadata('keys', document), BAD]

section('11.1 keys', write(many('keys', 1)), [
  ...accepted('$maxCount', { $maxCount: 5 }),
  ...accepted('$maxAge', { $maxAge: 60 }),
  ...accepted('$tb', { $tb: 0 }),
  ...accepted('$cacheControl', { $cacheControl: 15 }),
  ...accepted('$tmp', { $tmp: true }),
  ...accepted('$acl', { $acl: { $r: ['$all'], $w: 'ops', $d: '$admins', $mr: '$all', $mw: '$admins' } }),
  ...accepted('an application key', { owner: 'checkout', nested: { b: [1, 2] }, none: null }),
  refused('$maxCount of 0', { $maxCount: 0 }),
  refused('$maxCount below 0', { $maxCount: -1 }),
  refused('$maxCount as text', { $maxCount: '5' }),
  refused('$maxAge of 0', { $maxAge: 0 }),
  refused('$maxAge of a fraction', { $maxAge: 1.5 }),
  refused('$tb below 0', { $tb: -1 }),
  refused('$cacheControl of 0', { $cacheControl: 0 }),
  refused('$acl as text', { $acl: 'x' }),
  refused('a number in $acl', { $acl: { $r: 5 } }),
  refused('an array', []),
  refused('a number', '5'),
  refused('invalid JSON', 'nonsense'),
  refused('an empty body', '')
])

const NOTHING: Shows = { headers: { 'content-type': 'text/plain; charset=utf-8', ...UNCACHED }, body: '{}' }

section(
  '11.2 reading metadata',
  write(
    many('s', 1),
    many('set', 1),
    metadata('set', { a: 1 }),
    metadata('set', { b: 2 }),
    metadata('only', { a: 1 }),
    metadata('only', { b: 2 }),
    many('soft', 1),
    remove('soft'),
    many('hard', 1),
    remove('hard', HARD)
  ),
  [
    [
      'written metadata',
      get('set/metadata'),
      OK,
      { headers: { etag: tag(1) }, json: { title: '1@$$set', summary: '$metadata', 'content.data.b': 2 } }
    ],
    [
      'written metadata as JSON is the document itself',
      as('set/metadata', 'application/json'),
      OK,
      { body: /^\{\s*"b": ?2\s*\}$/ }
    ],
    [
      'written metadata as an event',
      as('set/metadata', codecs.eventJson.type),
      OK,
      json({ eventStreamId: '$$set', eventType: '$metadata', 'data.b': 2 })
    ],
    ['written metadata as XML', as('set/metadata', 'text/xml'), OK, { body: '<data><b>2</b></data>' }],
    ...['application/json', FEED, codecs.eventJson.type].map(
      (type): Row => [
        `events without metadata, as ${type}`,
        as('s/metadata', type),
        OK,
        { headers: { etag: undefined }, body: '{}' }
      ]
    ),
    ...[codecs.atom.type, 'text/xml', codecs.eventXml.type].map(
      (type): Row => [
        `events without metadata, as ${type}`,
        as('s/metadata', type),
        OK,
        { headers: { etag: undefined }, body: '' }
      ]
    ),
    ['metadata of a missing stream', get('never/metadata'), MISSING, NOTHING],
    [
      'metadata of a soft-deleted stream',
      as('soft/metadata', 'application/json'),
      OK,
      { body: /^\{\s*"\$tb": ?9223372036854775807\s*\}$/ }
    ],
    ['metadata of a tombstoned stream', get('hard/metadata'), DELETED, NOTHING],
    ['a number of overwritten metadata', get('set/metadata/0'), OK, { headers: YEAR, body: '{}' }],
    ['a number that is not written yet', get('set/metadata/9'), OK, { headers: YEAR, body: '{}' }],
    ['overwritten metadata by the name of the metastream', get('$$set/0'), OK, { headers: YEAR, body: '{}' }],
    ['the head of a metastream without metadata', get('$$s/head'), OK, { headers: { etag: undefined }, body: '{}' }],
    [
      'the last metadata of a stream without metadata',
      get('s/metadata/head'),
      OK,
      { headers: { etag: undefined }, body: '{}' }
    ],
    ['a number of overwritten metadata of a stream without events', get('only/metadata/0'), MISSING, NOTHING],
    ['a feed of metadata of a stream without metadata', get('s/metadata/head/backward/20'), MISSING, { body: '' }],
    [
      'a feed has only the newest metadata',
      get('set/metadata/head/backward/20?embed=rich'),
      OK,
      json({ 'entries.0.positionEventNumber': 1, 'entries.length': 1 })
    ]
  ]
)

const at = (number: number): Shows => ({
  headers: { location: `http://localhost:80/streams/%24%24s/${number}`, 'content-type': 'text/plain; charset=utf-8' },
  body: ''
})
const metaEvent = (document: object, eventType = '$metadata') => event({ eventType, data: document })
const reads = (what: string, document: RegExp): Row => [
  what,
  as('s/metadata', 'application/json'),
  OK,
  { body: document }
]
const noId = { 'es-eventid': '' }
const members = `<eventId>${newId()}</eventId><eventType>$metadata</eventType><data><k>v</k></data>`
const asXml = `<events><event>${members}</event></events>`

section('11.3 writing metadata', write(many('hard', 1), remove('hard', HARD)), [
  ['metadata of a missing stream', metadata('s', { a: 1 }, { 'es-expectedversion': '-1' }), CREATED, at(0)],
  reads('the first metadata can be read', /^\{\s*"a": ?1\s*\}$/),
  [
    'the expected version applies to the metastream',
    metadata('s', { a: 2 }, { 'es-expectedversion': '0' }),
    CREATED,
    at(1)
  ],
  [
    'a wrong version',
    metadata('s', { a: 3 }, { 'es-expectedversion': '0' }),
    WRONG_VERSION,
    { headers: { 'es-currentversion': '1' }, body: '' }
  ],
  ['JSON without an id', metadata('s', { a: 3 }, noId), BAD, says("Empty eventId provided. (Parameter 'eventId')")],
  ['a bad id', metadata('s', { a: 3 }, { 'es-eventid': 'x' }), BAD, says('ES-EventId header in wrong format.')],
  ['ES-EventType $metadata', metadata('s', { a: 3 }, { 'es-eventtype': '$metadata' }), CREATED, at(2)],
  [
    'another ES-EventType',
    metadata('s', { a: 4 }, { 'es-eventtype': 'T' }),
    BAD,
    says('Bad Request. You should not include an event type for metadata.')
  ],
  ['a list', post('s/metadata', [metaEvent({ a: 4 })]), CREATED, at(3)],
  ['a list of another type', post('s/metadata', [metaEvent({ a: 5 }, 'T')]), CREATED, at(4)],
  ['a list of several', post('s/metadata', [metaEvent({ a: 6 }), metaEvent({ a: 7 })]), CREATED, at(5)],
  reads('the last event of a list is the metadata', /^\{\s*"a": ?7\s*\}$/),
  ['a list as XML', post('s/metadata', asXml, { 'content-type': codecs.eventsXml.type }), CREATED, at(7)],
  reads('metadata from XML can be read', /^\{\s*"k": ?"v"\s*\}$/),
  ['an append to the metastream', post('$$s', [metaEvent({ a: 8 })]), CREATED, at(8)],
  [
    'deliberate: an append to the metastream without an id gets one',
    post('$$s', { a: 9 }, { 'content-type': 'application/json', 'es-eventtype': '$metadata' }),
    CREATED,
    at(9)
  ],
  ['an empty list', post('s/metadata', []), BAD, says('Write request body invalid.')],
  ['deliberate: XML', metadata('s', '<a/>', { 'content-type': 'text/xml' }), BAD],
  ['deliberate: octets', metadata('s', 'x', { 'content-type': codecs.octets.type }), BAD],
  [
    'an unsupported media type',
    metadata('s', 'x', { 'content-type': 'text/plain' }),
    '415 Invalid or missing Content-Type',
    { body: '' }
  ],
  ['metadata of a tombstoned stream', metadata('hard', { a: 1 }), '410 Stream deleted', { body: '' }],
  [
    'metadata of a metastream',
    metadata('$$s', { a: 1 }),
    BAD,
    says('Invalid request. Stream must be non-empty string and should not be metastream')
  ]
])

/** A clock whose long polls time out when a test calls the callback. */
class Polls {
  readonly begun: Promise<() => void>
  readonly clock: Clock

  constructor() {
    let begin: (timeIsOver: () => void) => void = () => {}
    this.begun = new Promise((resolve) => {
      begin = resolve
    })
    const after: Clock['after'] = (ms, callback) => {
      if (ms !== 30_000) return systemClock.after(ms, callback)
      begin(callback)
      return () => {}
    }
    this.clock = { ...systemClock, after }
  }
}
