/** Reference 12, 13 and 24: $all, system streams and the acceptance checklist, one row per row of the reference. */
import type { FastifyInstance, InjectOptions } from 'fastify'
import { codecs } from '../../routes/eventstore/wire/codecs.js'
import { systemClock } from '../../src/time/clock.js'
import { BAD, CREATED, HARD, MISSING, OK, tag, UNRESOLVED } from './requests.js'
import { type Row, type Shows, section } from './rows.js'

const FEED = codecs.atomJson.type
const EVENT = codecs.eventJson.type
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
  payload: JSON.stringify(payload)
})
const bare = (url: string, headers: Headers) => post(url, { a: 1 }, { 'content-type': 'application/json', ...headers })
const many = (stream: string, count: number) =>
  post(
    stream,
    Array.from({ length: count }, () => event())
  )
const metadata = (stream: string, document: object) =>
  post(`${stream}/metadata`, document, { 'content-type': 'application/json', 'es-eventid': newId() })
const remove = (stream: string, headers: Headers = {}): InjectOptions => ({
  method: 'DELETE',
  url: `/streams/${stream}`,
  headers: { accept: FEED, ...headers }
})
/** The time of the store's clock, in seconds since the start of 2026. */
let now = 0
const clock = { ...systemClock, now: () => Date.UTC(2026) + now * 1000 }
/** Sends requests one after the other; a number sets the clock. */
const write = (...steps: (InjectOptions | number)[]) => {
  return async (app: FastifyInstance) => {
    for (const step of steps) {
      if (typeof step === 'number') now = step
      else await app.inject(step)
    }
  }
}

/** Returns a log position as addresses contain it; the first event has position 1. */
const at = (place: number) => place.toString(16).toUpperCase().padStart(16, '0').repeat(2)
const titles = (...wanted: string[]): Shows =>
  json({
    ...Object.fromEntries(wanted.map((title, i) => [`entries.${i}.title`, title])),
    'entries.length': wanted.length
  })
const ALL = 'http://localhost:80/streams/%24all'
/** The links of a page of the log, after `self` and `first`. */
const links = (base: string, ...wanted: [relation: string, path: string][]): Shows =>
  json({
    'links.0.relation': 'self',
    'links.0.uri': base,
    'links.1.relation': 'first',
    ...Object.fromEntries(
      wanted.flatMap(([relation, path], i) => [
        [`links.${i + 2}.relation`, relation],
        [`links.${i + 2}.uri`, `${base}/${path}`]
      ])
    ),
    'links.length': wanted.length + 2
  })
const noPosition = (position: string): Row => [
  `${position.slice(0, 40)} is not a position`,
  get(`$all/${position}/forward/5`),
  BAD,
  says(`Invalid position argument: ${position}`)
]

section('12.1 positions', write(many('s', 12)), [
  ['forward: the event at the position and later ones', get(`$all/${at(3)}/forward/2`), OK, titles('3@s', '2@s')],
  ['backward: events before the position', get(`$all/${at(3)}/backward/2`), OK, titles('1@s', '0@s')],
  ['head backward: the last events', get('$all/head/backward/2'), OK, titles('11@s', '10@s')],
  ['without a direction: backward', get('$all/head/2'), OK, titles('11@s', '10@s')],
  ['hexadecimal digits in lower case', get(`$all/${at(11).toLowerCase()}/forward/1`), OK, titles('10@s')],
  ['the position before the first event', get(`$all/${at(0)}/forward/1`), OK, titles('0@s')],
  noPosition('head'),
  noPosition('xyz'),
  noPosition('0'),
  noPosition(at(1).slice(1)),
  noPosition(`${at(1)}0`),
  noPosition(`8${'0'.repeat(31)}`),
  noPosition('F'.repeat(32)),
  noPosition(`${'0'.repeat(16)}F${'0'.repeat(15)}`),
  ['4: an invalid count', get('$all/head/backward/0'), BAD, says('Invalid count argument: 0')],
  ['4: an invalid count forward', get(`$all/${at(0)}/forward/x`), BAD, says('Invalid count argument: x')]
])

const META: [string, string] = ['metadata', 'metadata']

section('12.2 the feed of the log', write(many('s', 5)), [
  [
    'the members of the feed',
    get('$all'),
    OK,
    json({ title: 'All events', id: ALL, streamId: null, selfUrl: null, eTag: null, headOfStream: false })
  ],
  ['headOfStream forward', get(`$all/${at(0)}/forward/50`), OK, json({ headOfStream: false })],
  ['the link first', get('$all/head/backward/3'), OK, json({ 'links.1.uri': `${ALL}/head/backward/3` })],
  [
    'the link first of a page forward',
    get(`$all/${at(2)}/forward/3`),
    OK,
    json({ 'links.1.uri': `${ALL}/head/backward/3` })
  ],
  [
    'links backward, with older events left',
    get('$all/head/backward/2'),
    OK,
    links(
      ALL,
      ['last', `${at(0)}/forward/2`],
      ['next', `${at(4)}/backward/2`],
      ['previous', `${at(6)}/forward/2`],
      META
    )
  ],
  ['links backward, down to the first event', get('$all'), OK, links(ALL, ['previous', `${at(6)}/forward/20`], META)],
  [
    'backward, before the first event',
    get(`$all/${at(0)}/backward/5`),
    OK,
    json({ 'entries.length': 0, 'links.2.relation': 'previous' })
  ],
  [
    'links forward from the first event',
    get(`$all/${at(0)}/forward/2`),
    OK,
    links(ALL, ['previous', `${at(3)}/forward/2`], META)
  ],
  [
    'links forward from a position',
    get(`$all/${at(3)}/forward/2`),
    OK,
    links(
      ALL,
      ['last', `${at(0)}/forward/2`],
      ['next', `${at(3)}/backward/2`],
      ['previous', `${at(5)}/forward/2`],
      META
    )
  ],
  [
    'links forward, of an incomplete page',
    get(`$all/${at(5)}/forward/2`),
    OK,
    links(
      ALL,
      ['last', `${at(0)}/forward/2`],
      ['next', `${at(5)}/backward/2`],
      ['previous', `${at(6)}/forward/2`],
      META
    )
  ],
  [
    'links forward, at the end',
    get(`$all/${at(6)}/forward/2`),
    OK,
    links(ALL, ['last', `${at(0)}/forward/2`], ['next', `${at(6)}/backward/2`], META)
  ],
  ['entries are newest first in forward pages, too', get(`$all/${at(1)}/forward/3`), OK, titles('2@s', '1@s', '0@s')],
  [
    'an entry has its own stream and number',
    get('$all/head/backward/1?embed=rich'),
    OK,
    json({ 'entries.0.positionEventNumber': 4, 'entries.0.positionStreamId': 's' })
  ],
  ['an event of $all', get('$all/5'), MISSING, { body: '{}' }],
  ['the head of $all as an event', get('$all/head'), MISSING, { body: '{}' }]
])

section(
  '12.2 the events of the log',
  write(many('s', 2), metadata('s', { $tb: 1 }), remove('s'), many('h', 1), remove('h', HARD)),
  [
    [
      'truncated and deleted events, metadata and tombstones',
      get('$all?embed=rich'),
      OK,
      json({
        'entries.length': 6,
        'entries.0.eventType': '$streamDeleted',
        'entries.0.positionStreamId': 'h',
        'entries.1.positionStreamId': 'h',
        'entries.2.eventType': '$metadata',
        'entries.2.positionStreamId': '$$s',
        'entries.3.eventType': '$metadata',
        'entries.4.positionEventNumber': 1,
        'entries.5.positionEventNumber': 0
      })
    ]
  ]
)

section('12.3 writing to the log', write(many('s', 1)), [
  ['deliberate: an append', post('$all', [event()]), BAD],
  ['deliberate: a delete', remove('$all'), BAD],
  ['deliberate: a tombstone', remove('$all', HARD), BAD],
  ['rejected writes to $all are not stored', get('$all'), OK, titles('0@s')]
])

const filtered = (query: string) => get(`$all/filtered?${query}`)
const refusedFilter = (what: string, query: string, message: string): Row => [what, filtered(query), BAD, says(message)]
const CONTEXT = 'Invalid context please provide one of the following: StreamId, EventType.'
const TYPE = 'Invalid type please provide one of the following: Regex, Prefix.'
const DATA = 'Please provide a comma delimited list of data with at least one item.'
const EXCLUDE = 'exclude-sytem-events should have a value of true.'
const BASE = `${ALL}/filtered`
const USER = 'exclude-system-events=true'

section(
  '12.4 the filtered log',
  write(
    post('red-1', [event({ eventType: 'Made' }), event({ eventType: 'Used' })]),
    post('blue-1', [event({ eventType: 'Made' })]),
    metadata('blue-1', { a: 1 })
  ),
  [
    ['streams by prefix', filtered('context=streamid&type=prefix&data=red'), OK, titles('1@red-1', '0@red-1')],
    [
      'streams by prefixes',
      filtered('context=streamid&type=prefix&data=red,blue'),
      OK,
      titles('0@blue-1', '1@red-1', '0@red-1')
    ],
    ['streams by a regex', filtered('context=streamid&type=regex&data=%5Eb'), OK, titles('0@blue-1')],
    ['types by prefix', filtered('context=eventtype&type=prefix&data=Ma'), OK, titles('0@blue-1', '0@red-1')],
    [
      'types by a regex',
      filtered('context=eventtype&type=regex&data=%5E(Made%7CUsed)$'),
      OK,
      titles('0@blue-1', '1@red-1', '0@red-1')
    ],
    ['a comma is part of a regex', filtered('context=eventtype&type=regex&data=Made,Used'), OK, titles()],
    ['without system events', filtered(USER), OK, titles('0@blue-1', '1@red-1', '0@red-1')],
    [
      'the value true in upper case',
      filtered('exclude-system-events=TRUE'),
      OK,
      titles('0@blue-1', '1@red-1', '0@red-1')
    ],
    [
      'exclude-system-events overrides the other parameters',
      filtered(`${USER}&context=streamid&type=prefix&data=red`),
      OK,
      titles('0@blue-1', '1@red-1', '0@red-1')
    ],
    refusedFilter('exclude-system-events without a value counts as absent', 'exclude-system-events', CONTEXT),
    refusedFilter('exclude-system-events with another value', 'exclude-system-events=false', EXCLUDE),
    refusedFilter('no context', 'type=prefix&data=x', CONTEXT),
    refusedFilter('an unknown context', 'context=nonsense&type=prefix&data=x', CONTEXT),
    refusedFilter('a context in other case', 'context=StreamId&type=prefix&data=x', CONTEXT),
    refusedFilter('no type', 'context=streamid&data=x', TYPE),
    refusedFilter('an unknown type', 'context=streamid&type=nonsense&data=x', TYPE),
    refusedFilter('a type in other case', 'context=streamid&type=Prefix&data=x', TYPE),
    refusedFilter('no data', 'context=streamid&type=prefix', DATA),
    refusedFilter('empty data', 'context=streamid&type=prefix&data=', DATA),
    refusedFilter('data of commas only', 'context=streamid&type=prefix&data=,,', DATA),
    [
      'an empty prefix among others is ignored',
      filtered('context=streamid&type=prefix&data=red,,none,'),
      OK,
      titles('1@red-1', '0@red-1')
    ],
    [
      'a space is part of a prefix',
      filtered('context=streamid&type=prefix&data=%20red,red'),
      OK,
      titles('1@red-1', '0@red-1')
    ],
    ['deliberate: a broken regex', filtered('context=streamid&type=regex&data=(%5B'), BAD],
    ['a page backward', get(`$all/filtered/head/backward/4?${USER}`), OK, titles('0@blue-1', '1@red-1', '0@red-1')],
    ['a page without a direction', get(`$all/filtered/head/4?${USER}`), OK, titles('0@blue-1', '1@red-1', '0@red-1')],
    [
      'a page backward examines as many events as its count',
      get(`$all/filtered/head/backward/2?${USER}`),
      OK,
      titles('0@blue-1')
    ],
    ['a page forward', get(`$all/filtered/${at(0)}/forward/2?${USER}`), OK, titles('1@red-1', '0@red-1')],
    [
      'links of a page forward have no query, and none leads to metadata',
      get(`$all/filtered/${at(0)}/forward/2?${USER}`),
      OK,
      links(BASE, ['previous', `${at(3)}/forward/2`])
    ],
    [
      'an empty page at the end has no link previous',
      get(`$all/filtered/${at(5)}/forward/2?${USER}`),
      OK,
      json({ 'entries.length': 0, 'links.2.relation': 'last', 'links.3.relation': 'next', 'links.length': 4 })
    ],
    [
      'caching of a complete page',
      get(`$all/filtered/${at(0)}/forward/3?${USER}`),
      OK,
      { headers: { 'cache-control': 'max-age=31536000, private', etag: undefined } }
    ],
    [
      'caching of an incomplete page',
      get(`$all/filtered/${at(0)}/forward/4?${USER}`),
      OK,
      { headers: { 'cache-control': 'max-age=0, no-cache, must-revalidate', etag: /^"\d+;-?\d+"$/ } }
    ],
    ['a bad ES-ResolveLinkTos is ignored', get(`$all/filtered?${USER}`, { 'es-resolvelinktos': 'x' }), OK],
    ['a bad position', get(`$all/filtered/xyz/forward/5?${USER}`), BAD, says('Invalid position argument: xyz')],
    ['a bad count', get(`$all/filtered/head/backward/0?${USER}`), BAD, says('Invalid count argument: 0')]
  ]
)

section(
  '12.4 the limit of examined events in pages forward of the filtered log',
  write(...Array.from({ length: 3 }, () => many('s', 400)), post('late', [event({ eventType: 'Late' })])),
  [
    [
      'an empty page links to the next page',
      get(`$all/filtered/${at(0)}/forward/5?context=streamid&type=prefix&data=late`),
      OK,
      links(BASE, ['previous', `${at(1001)}/forward/5`])
    ],
    [
      'the next page has the match',
      get(`$all/filtered/${at(1001)}/forward/5?context=streamid&type=prefix&data=late`),
      OK,
      titles('0@late')
    ]
  ]
)

const correlated = { metadata: { $correlationId: 'c' } }
const kinds = write(
  post('cat-1', [event({ eventType: 'Made', ...correlated }), event()]),
  post('cat-2', [event()]),
  metadata('cat-1', { own: 1 }),
  post('l', [event({ eventType: '$>', data: '0@cat-1' }), event({ eventType: '$@', data: 'cat-1' })]),
  many('gone', 1),
  remove('gone', HARD)
)
const listed = (stream: string, ...wanted: string[]): Row => [`${stream} lists`, get(stream), OK, titles(...wanted)]
const shown = (type: string, url: string, headers: Headers, members: Record<string, unknown>): Row => [
  `the type ${type}`,
  get(`${url}?embed=tryharder`, headers),
  OK,
  json(
    Object.fromEntries(
      Object.entries({ eventType: type, ...members }).map(([name, value]) => [`entries.0.${name}`, value])
    )
  )
]

section('13 system streams and event types', kinds, [
  ['$all is the log', get('$all'), OK, json({ title: 'All events' })],
  ['$$x is the metadata of x', as('$$cat-1/head', 'application/json'), OK, { body: /^\{\s*"own": ?1\s*\}$/ }],
  listed('$ce-cat', '0@cat-2', '1@cat-1', '0@cat-1'),
  listed('$et-Made', '0@cat-1'),
  listed('$bc-c', '0@cat-1'),
  ['$category-cat lists', get('$category-cat'), OK, json({ 'entries.length': 2 })],
  ['$streams lists the first event of each stream', get('$streams/0/forward/2'), OK, titles('0@cat-2', '0@cat-1')],
  ['a category without streams', get('$ce-never'), MISSING, { body: '' }],
  ['deliberate: an append to an index stream', post('$ce-cat', [event()]), BAD],
  ...['$ce-cat', '$et-T', '$bc-c', '$category-cat', '$streams'].flatMap((name): Row[] => [
    [`deliberate: ${name} cannot be deleted`, remove(name), BAD, { body: /is an index and cannot be deleted/ }],
    [
      `deliberate: ${name} has no metadata`,
      metadata(name, { $maxCount: 1 }),
      BAD,
      { body: /is an index and has no metadata of its own/ }
    ],
    [
      `deliberate: ${name} has no metadata, as an event`,
      post(`$$${name}`, [event({ eventType: '$metadata' })]),
      BAD,
      { body: /has no metadata of its own/ }
    ]
  ]),
  ['deliberate: $all cannot be deleted', remove('$all'), BAD, { body: /log cannot be deleted/ }],
  ['deliberate: retention of $all', metadata('$all', { $maxCount: 1 }), BAD, { body: /has no effect on/ }],
  [
    'a category resolves',
    get('$ce-cat/0/1?embed=rich'),
    OK,
    json({ 'entries.0.eventType': 'Made', 'entries.0.positionStreamId': '$ce-cat' })
  ],
  shown('$metadata', '$$cat-1', {}, { isJson: true }),
  shown('$>', 'l/0/1', UNRESOLVED, { data: '0@cat-1', isJson: false }),
  shown('$@', 'l/1/1', {}, { data: 'cat-1', isJson: false }),
  shown('$streamDeleted', '$all', {}, { positionStreamId: 'gone' })
])

const media: [string, RegExp][] = [
  [codecs.atom.type, /<atom:title>0@s<\/atom:title>/],
  [FEED, /"title":\s*"0@s"/],
  ['application/json', /^\{\s*"a": ?1\s*\}$/],
  ['text/xml', /^<data><a>1<\/a><\/data>$/],
  [EVENT, /"eventStreamId":\s*"s"/],
  [codecs.eventXml.type, /^<event>.*<\/event>$/],
  [codecs.octets.type, /^\{"a":1\}$/]
]
const first = event()
const given = newId()
const JSON_TYPE = { 'es-eventtype': 'T' }
const location = (path: string): Shows => ({ headers: { location: `http://localhost:80/streams/${path}` } })
const hidden = (what: string, stream: string, feed: number): Row[] => [
  [`24.12 ${what} in the feed`, get(stream), OK, json({ 'entries.0.title': `2@${stream}`, 'entries.length': feed })],
  [`24.12 ${what} by number`, get(`${stream}/0`), MISSING]
]

/** The data of a text event at each embed level; 8.2 has the whole table. */
const embeds: [string, unknown][] = [
  ['none', undefined],
  ['content', undefined],
  ['rich', null],
  ['body', null],
  ['pretty', null],
  ['tryharder', 'words']
]

section(
  '24 acceptance',
  write(
    0,
    many('mc', 3),
    metadata('mc', { $maxCount: 1 }),
    many('tb', 3),
    metadata('tb', { $tb: 1 }),
    many('ma', 2),
    100,
    many('ma', 1),
    metadata('ma', { $maxAge: 50 }),
    many('bad-1', 1),
    post('words', [event({ data: 'words' })]),
    post('links', [event({ eventType: '$>', data: '0@bad-1' })])
  ),
  [
    ['24.1 an array', post('s', [first]), CREATED, location('s/0')],
    ['24.1 a repeated array', post('s', [first]), CREATED, location('s/0')],
    ['24.2 JSON without a type', bare('s', { 'es-eventid': newId() }), BAD],
    ['24.2 deliberate: JSON without an id gets one', bare('j', JSON_TYPE), CREATED, location('j/0')],
    [
      '24.2 atom+json without an id',
      post('s', [event()], { 'content-type': FEED, ...JSON_TYPE }),
      '307 Temporary Redirect',
      { headers: { location: /\/streams\/s\/incoming\/[0-9a-f-]{36}$/ } }
    ],
    ['24.2 with an id in the path', bare(`j/incoming/${given}`, JSON_TYPE), CREATED, location('j/1')],
    [
      '24.3 events+json with an id in the path',
      post(`j/incoming/${given}`, [event()]),
      '415 Invalid or missing Content-Type'
    ],
    [
      '24.4 a wrong version',
      post('s', [event()], { 'es-expectedversion': '7' }),
      '400 Wrong expected EventNumber',
      { headers: { 'es-currentversion': '0' } }
    ],
    ['24.4 -1 with the same id', post('s', [first], { 'es-expectedversion': '-1' }), CREATED, location('s/0')],
    [
      '24.5 a feed',
      get('s'),
      OK,
      {
        headers: { 'content-type': codecs.atomJson.contentType },
        json: { headOfStream: true, eTag: tag.slice(1, -1), 'links.0.relation': 'self', 'entries.0.title': '0@s' }
      }
    ],
    [
      '24.5 deliberate: no Accept gets a native page',
      { method: 'GET', url: '/streams/s' },
      OK,
      { headers: { 'content-type': codecs.json.contentType } }
    ],
    ['24.5 the description', as('s', codecs.description.type), '200 Description Document'],
    ['24.6 the current tag', get('s', { 'if-none-match': tag }), '304 Not Modified'],
    [
      '24.7 a complete page forward',
      get('s/0/forward/1'),
      OK,
      { headers: { 'cache-control': /^max-age=31536000\b/, etag: undefined } }
    ],
    [
      '24.7 an incomplete page forward',
      get('s/0/forward/2'),
      OK,
      { headers: { 'cache-control': /no-cache/, etag: tag } }
    ],
    [
      '24.8 a page beyond the end',
      get('s/1/forward/5'),
      OK,
      json({
        'entries.length': 0,
        'links.2.relation': 'last',
        'links.3.relation': 'next',
        'links.4.relation': 'metadata'
      })
    ],
    ...media.map(([type, body]): Row => [`24.9 an event as ${type}`, as('s/0', type), OK, { body }]),
    ['24.6 an append after the tag', post('s', [event()]), CREATED, location('s/1')],
    ['24.6 the old tag after an append', get('s', { 'if-none-match': tag }), OK],
    ['24.11 missing metadata', as('s/metadata', 'application/json'), OK, { body: '{}' }],
    ['24.11 metadata of a missing stream', as('never/metadata', 'application/json'), MISSING],
    ['24.11 a write of metadata without an id', bare('s/metadata', {}), BAD],
    ['24.10 a soft delete', remove('s'), '204 Stream deleted'],
    ['24.10 a read after a soft delete', get('s'), MISSING],
    ['24.10 an append after a soft delete', post('s', [event()]), CREATED, location('s/2')],
    ['24.10 a hard delete', remove('s', HARD), '204 Stream deleted'],
    ['24.10 a read after a hard delete', get('s'), '410 Deleted'],
    ['24.10 an append after a hard delete', post('s', [event()]), '410 Stream deleted'],
    ...hidden('$maxCount', 'mc', 1),
    ...hidden('$tb', 'tb', 2),
    ...hidden('$maxAge', 'ma', 1),
    ['24.13 a category resolves its links', get('$ce-bad?embed=rich'), OK, json({ 'entries.0.eventType': 'T' })],
    [
      '24.13 deliberate: a category does not resolve on request',
      get('$ce-bad?embed=rich', UNRESOLVED),
      OK,
      json({ 'entries.0.eventType': '$>' })
    ],
    ['24.13 the target of a link is deleted', remove('bad-1'), '204 Stream deleted'],
    [
      '24.13 the entry of a deleted target has no data',
      get('links?embed=body'),
      OK,
      json({ 'entries.0.title': '0@bad-1', 'entries.0.data': undefined })
    ],
    ['24.13 a link to a deleted target as an event', as('links/0', EVENT), MISSING],
    ...embeds.map(
      ([level, data]): Row => [
        `24.14 text with embed=${level}`,
        get(`words?embed=${level}`),
        OK,
        json({ 'entries.0.data': data })
      ]
    ),
    ['24.20 a trailing slash', get('links/'), '307 Temporary Redirect', location('links')],
    ['24.21 any origin may read', get('links'), OK, { headers: { 'access-control-allow-origin': '*' } }],
    ['24.21 any origin may read errors', get('never'), MISSING, { headers: { 'access-control-allow-origin': '*' } }],
    [
      '24.21 OPTIONS',
      { method: 'OPTIONS', url: '/streams/links' },
      OK,
      { headers: { 'access-control-allow-origin': '*' } }
    ]
  ],
  { clock }
)
