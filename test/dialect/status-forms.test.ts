/** Reference 8: feeds and events in the Atom dialect, one row per row of the reference. */
import { codecs } from '../../routes/eventstore/wire/codecs.js'
import {
  clock,
  DELETED,
  event,
  FEED,
  get,
  gone,
  link,
  MISSING,
  many,
  NO_FORM,
  OK,
  post,
  raw,
  TEXT,
  UNRESOLVED,
  write
} from './requests.js'
import { type Row, type Shows, section } from './rows.js'

const EVENT = codecs.eventJson.type
const empty: Shows = { headers: TEXT, body: '' }
const emptyObject: Shows = { headers: TEXT, body: '{}' }
const json = (members: Record<string, unknown>): Shows => ({ json: members })

const BASE = 'http://localhost:80/streams/s'
const times = write(10, post('s', [event({ metadata: { m: 1 } })]), 20, many('s', 1), 30, post('l', [link('0@s')]))
const at = (second: number) => `2026-01-01T00:00:${second}Z`

section(
  '8.1 members of a feed',
  times,
  [
    ['title', get('s'), OK, json({ title: "Event stream 's'" })],
    ['title of $all', get('$all'), OK, json({ title: 'All events' })],
    ['id is the address of the stream', get('s/0/forward/1'), OK, json({ id: BASE })],
    ['updated backward: the newest', get('s'), OK, json({ updated: at(20) })],
    ['updated forward: the oldest, a quirk', get('s/0/forward/5'), OK, json({ updated: at(10) })],
    ['updated of $all forward: the newest', get(`$all/${'0'.repeat(32)}/forward/2`), OK, json({ updated: at(20) })],
    ['updated of a resolved link: its target', get('l'), OK, json({ updated: at(10) })],
    ['updated of an empty page', get('s/5/forward/5'), OK, json({ updated: '0001-01-01T00:00:00Z' })],
    ['streamId', get('s'), OK, json({ streamId: 's' })],
    ['streamId of $all', get('$all'), OK, json({ streamId: null })],
    ['author', get('s'), OK, json({ 'author.name': 'EventStore' })],
    ['selfUrl backward', get('s/0/5'), OK, json({ selfUrl: BASE })],
    ['selfUrl forward', get('s/0/forward/5'), OK, json({ selfUrl: null })],
    ['selfUrl of $all', get('$all'), OK, json({ selfUrl: null })],
    ['eTag of the head', get('s'), OK, json({ eTag: /^1;-?\d+$/ })],
    ['eTag of a page', get('s/0/5'), OK, json({ eTag: null })],
    ['eTag forward', get('s/0/forward/5'), OK, json({ eTag: null })],
    ['eTag of $all', get('$all'), OK, json({ eTag: null })],
    ['type of a link', get('s'), OK, json({ 'links.0.type': null })],
    ...['application/json', EVENT, codecs.eventsJson.type].map(
      (accept): Row => [
        `the same document as ${accept}`,
        get('s?embed=none', accept),
        OK,
        json({ streamId: 's', 'entries.1.title': '0@s' })
      ]
    ),
    [
      'an entry',
      get('s/0/1'),
      OK,
      json({
        'entries.0.title': '0@s',
        'entries.0.id': `${BASE}/0`,
        'entries.0.updated': at(10),
        'entries.0.author.name': 'EventStore',
        'entries.0.summary': 'T',
        'entries.0.retryCount': null,
        'entries.0.content': null,
        'entries.0.links.0.uri': `${BASE}/0`,
        'entries.0.links.0.relation': 'edit',
        'entries.0.links.1.relation': 'alternate',
        'entries.0.links.2': undefined
      })
    ]
  ],
  { clock }
)

const levels = write(
  post('s', [
    event({ metadata: { m: 1 } }),
    event({ data: 'words' }),
    event({ data: [1] }),
    event({ data: undefined }),
    event({ data: 'words', metadata: { m: 1 } })
  ]),
  raw('s', 'text/xml', '<a/>'),
  raw('s', codecs.octets.type, '{"o":1}'),
  post('l', [link('0@s'), link('0@s', { metadata: { l: 1 } })])
)
const entry = (name: string, url: string, members: Record<string, unknown>): Row => [
  name,
  get(url),
  OK,
  json(Object.fromEntries(Object.entries(members).map(([path, value]) => [`entries.0.${path}`, value])))
]
const bodies = { data: null, metaData: null, linkMetaData: null }

section('8.2 levels of an entry', levels, [
  entry('none', 's/0/1', { eventId: undefined, data: undefined, content: null }),
  entry('content', 's/0/1?embed=content', {
    eventId: undefined,
    data: undefined,
    'content.data.a': 1,
    'content.metadata.m': 1
  }),
  entry('content of an event that is not JSON', 's/1/1?embed=content', { content: null }),
  entry('content of a link', 'l/0/1?embed=content', { content: null }),
  entry('rich', 's/0/1?embed=rich', { eventType: 'T', ...bodies, content: null }),
  entry('body: data and metadata are text', 's/0/1?embed=body', {
    data: /^\{\s*"a": ?1\s*\}$/,
    metaData: /^\{\s*"m": ?1\s*\}$/,
    linkMetaData: null
  }),
  entry('body of an event that is not JSON', 's/1/1?embed=body', { data: null, isJson: false }),
  entry('pretty: objects are indented', 's/0/1?embed=pretty', { data: '{\n  "a": 1\n}', metaData: '{\n  "m": 1\n}' }),
  entry('pretty: arrays are not indented', 's/2/1?embed=pretty', { data: '[1]' }),
  entry('pretty of an event that is not JSON', 's/1/1?embed=pretty', { data: null }),
  entry('tryharder: text', 's/1/1?embed=tryharder', { data: 'words', isJson: false }),
  entry('tryharder: XML', 's/5/1?embed=tryharder', { data: '<a/>', isJson: false }),
  entry('tryharder: octets that are a JSON object', 's/6/1?embed=tryharder', { data: /"o"/, isJson: true }),
  entry('tryharder: no data', 's/3/1?embed=tryharder', { data: '', isJson: true })
])

/** The members of a rich entry, in order. */
const MEMBERS = [
  ...['eventId', 'eventType', 'eventNumber', 'data', 'metaData', 'linkMetaData', 'streamId', 'isJson', 'isMetaData'],
  ...['isLinkMetaData', 'isRedacted', 'positionEventNumber', 'positionStreamId', 'title', 'id', 'updated', 'author'],
  ...['summary', 'retryCount', 'content', 'links']
]

section('8.2 members of a rich entry', levels, [
  entry('eventId', 's/0/1?embed=rich', { eventId: /^5c1f7f3e-8a5b-4a57-9d0b-[0-9a-f]{12}$/ }),
  entry('eventType', 'l/0/1?embed=rich', { eventType: 'T' }),
  entry('eventNumber is that of the target', 'l/1/1?embed=rich', { eventNumber: 0 }),
  entry('metaData is null when empty', 's/1/1?embed=body', { metaData: null }),
  entry('linkMetaData of a resolved link', 'l/1/1?embed=body', { linkMetaData: /"l"/, isLinkMetaData: true }),
  entry('linkMetaData of an ordinary event', 's/0/1?embed=body', { linkMetaData: null, isLinkMetaData: false }),
  entry('streamId is that of the target', 'l/0/1?embed=rich', { streamId: 's' }),
  entry('isJson', 's/0/1?embed=rich', { isJson: true }),
  entry('isJson of text with metadata', 's/4/1?embed=rich', { isJson: true }),
  entry('isJson of text', 's/1/1?embed=rich', { isJson: false }),
  entry('isMetaData', 's/0/1?embed=body', { isMetaData: true }),
  entry('isMetaData below body', 's/0/1?embed=rich', { isMetaData: false }),
  entry('isMetaData without metadata', 's/1/1?embed=body', { isMetaData: false }),
  entry('isRedacted', 's/0/1?embed=rich', { isRedacted: false }),
  entry('positionEventNumber is that of the link', 'l/1/1?embed=rich', { positionEventNumber: 1 }),
  entry('positionStreamId is that of the link', 'l/0/1?embed=rich', { positionStreamId: 'l' }),
  [
    '8.3: rich members precede the others',
    get('s/0/1?embed=body'),
    OK,
    {
      body: new RegExp(['"entries"', ...MEMBERS.map((name) => `"${name}"`)].join('.*'), 's')
    }
  ]
])

section('8.4 content of an entry', levels, [
  entry('the members of content', 's/0/1?embed=content', {
    'content.eventStreamId': 's',
    'content.eventNumber': 0,
    'content.eventType': 'T',
    'content.eventId': /^5c1f7f3e/,
    'content.data.a': 1,
    'content.metadata.m': 1
  }),
  entry('empty metadata', 's/2/1?embed=content', { 'content.metadata': '' }),
  entry('data that is not JSON is returned as text', 's/4/1?embed=content', { 'content.data': 'words' }),
  ['a single entry', get('s/0'), OK, json({ title: '0@s', 'content.data.a': 1 })],
  ['a single entry that is not JSON', get('s/1'), OK, json({ content: null })]
])

const LINKED = write(10, many('s', 1), 30, post('l', [link('0@s'), link('9@s')]))

section(
  '8.5 entries of links',
  LINKED,
  [
    entry('an ordinary event', 's/0/1?embed=rich', { title: '0@s', summary: 'T', updated: at(10), eventType: 'T' }),
    entry('a resolved link', 'l/0/1?embed=rich', {
      title: '0@s',
      id: `${BASE}/0`,
      'links.0.uri': `${BASE}/0`,
      summary: '$>',
      updated: at(30),
      eventType: 'T',
      positionEventNumber: 0,
      positionStreamId: 'l',
      content: null
    }),
    entry('a link without a target', 'l/1/1?embed=body', {
      title: '9@s',
      id: `${BASE}/9`,
      'links.0.uri': `${BASE}/9`,
      summary: '$>',
      updated: at(30),
      eventId: undefined,
      content: null
    }),
    [
      'a link with ES-ResolveLinkTos: False',
      get('l/0/1?embed=rich', FEED, UNRESOLVED),
      OK,
      json({
        'entries.0.title': '0@l',
        'entries.0.summary': '$>',
        'entries.0.updated': at(30),
        'entries.0.eventType': '$>',
        'entries.0.isJson': false,
        'entries.0.content': null
      })
    ]
  ],
  { clock }
)

const xmlFeed = (url: string, body: RegExp, accept: string = codecs.atom.type): Row => [
  `${url} as ${accept}`,
  get(url, accept),
  OK,
  { body }
]
const LINK = (relation: string) => `<link href="[^"]*" rel="${relation}" ?/>`
const ABOUT = '<id>[^<]*</id><updated>[^<]*</updated><author><name>EventStore</name></author>'
/** Matches a feed of one entry without embedded data. */
const DECLARED = new RegExp(
  [
    String.raw`^<\?xml version="1\.0" encoding="utf-8"\?><feed xmlns="http://www\.w3\.org/2005/Atom">`,
    `<title>Event stream 's'</title>${ABOUT}${['self', 'first', 'previous', 'metadata'].map(LINK).join('')}`,
    `<entry><title>[^<]*</title>${ABOUT}<summary>T</summary>${LINK('edit')}${LINK('alternate')}</entry>`
  ].join('')
)
/** Matches the content of an entry, which is outside the namespace of the feed. */
const CONTENT = new RegExp(
  [
    `${LINK('alternate')}<content type="application/xml"><eventStreamId xmlns="">s</eventStreamId>`,
    '<eventNumber xmlns="">0</eventNumber><eventType xmlns="">T</eventType><eventId xmlns="">[^<]*</eventId>',
    '<data xmlns=""><two_x0020_words>1</two_x0020_words><two_x0020_words>2</two_x0020_words></data>',
    '<metadata xmlns=""><m>1</m></metadata></content></entry>'
  ].join('')
)

section('8.6 feeds in XML', write(post('s', [event({ data: { 'two words': [1, 2] }, metadata: { m: 1 } })])), [
  ...[codecs.atom, codecs.xml, codecs.applicationXml, codecs.eventXml, codecs.eventsXml].map(({ type }) =>
    xmlFeed('s', DECLARED, type)
  ),
  ...['rich', 'body', 'pretty', 'tryharder'].map((level) => xmlFeed(`s?embed=${level}`, DECLARED)),
  xmlFeed('s?embed=content', CONTENT)
])

const single = (name: string, number: number, accept: string, body: string | RegExp, type = accept): Row => [
  name,
  get(`s/${number}`, accept),
  OK,
  { headers: { 'content-type': type === codecs.octets.type ? type : `${type}; charset=utf-8` }, body }
]
/** Matches the HTML page that browsers get at addresses of the native form. */
const PAGE = /^<!doctype html>/
const data = (name: string, document: object, body: RegExp): [string, object, RegExp] => [name, document, body]
const xmlForms = [
  data(
    'invalid names',
    { 'two words': 1, $a: 2, '1a': 3 },
    /^<data><two_x0020_words>1<\/two_x0020_words><_x0024_a>2<\/_x0024_a><_x0031_a>3<\/_x0031_a><\/data>$/
  ),
  data('attributes', { '@k': 'v', '#text': 'words' }, /^<data k="v">words<\/data>$/),
  data('a prefix', { 'p:a': 1 }, /^<data><a>1<\/a><\/data>$/),
  data('arrays', { a: [1, 2], none: [] }, /^<data><a>1<\/a><a>2<\/a><\/data>$/),
  data('null and the empty text', { a: null, b: '' }, /^<data><a ?\/><b><\/b><\/data>$/)
]

section(
  '8.7 a single event',
  async (app) => {
    await levels(app)
    await app.inject(
      post(
        'x',
        xmlForms.map(([, document]) => event({ data: document }))
      )
    )
    await gone(app)
  },
  [
    single(
      'atom',
      0,
      codecs.atom.type,
      /<atom:entry xmlns:atom="http:\/\/www\.w3\.org\/2005\/Atom"><atom:title>0@s<.*<atom:content .*<a>1</s
    ),
    single('atom of text has no content', 1, codecs.atom.type, /^(?!.*content).*<\/atom:entry>$/s),
    single('atom+json', 0, FEED, /"content":\s*\{/),
    ['atom+json with rich members', get('s/0?embed=rich'), OK, json({ eventType: 'T', 'content.data.a': 1 })],
    ['atom+json of a resolved link has no content', get('l/0'), OK, json({ title: '0@s', content: null })],
    single('data as JSON', 0, 'application/json', /^\{\s*"a": ?1\s*\}$/),
    single('text as a JSON string', 1, 'application/json', '"words"'),
    single('data as text/xml', 0, 'text/xml', '<data><a>1</a></data>'),
    single('data as application/xml', 0, 'application/xml', '<data><a>1</a></data>'),
    single('no data as XML', 3, 'text/xml', /^<data ?\/>$/),
    [
      'event+json',
      get('s/0', EVENT),
      OK,
      json({ eventStreamId: 's', eventNumber: 0, eventType: 'T', eventId: /^5c1f7f3e/, 'data.a': 1, 'metadata.m': 1 })
    ],
    ['event+json of text', get('s/1', EVENT), OK, json({ data: 'words', metadata: '' })],
    single(
      'event+xml',
      0,
      codecs.eventXml.type,
      /^<event><eventStreamId>s<.*<eventNumber>0<.*<eventType>T<.*<eventId>5c1f.*<a>1<.*<metadata><m>1<.*<\/event>$/
    ),
    single('event+xml of text', 1, codecs.eventXml.type, /<data>words<\/data>/),
    single('octets', 6, codecs.octets.type, '{"o":1}'),
    single('deliberate: HTML is the page of Daybook', 0, 'text/html', PAGE),
    ['deliberate: HTML with embed is JSON', get('s/0?embed=rich', 'text/html'), OK, json({ eventType: 'T' })],
    ...xmlForms.map(([name, , body], i): Row => [`XML of ${name}`, get(`x/${i}`, 'text/xml'), OK, { body }]),
    ['deliberate: text as XML', get('s/1', 'text/xml'), NO_FORM, { body: '' }],
    ['deliberate: an array as XML', get('s/2', 'application/xml'), NO_FORM, { body: '' }],
    ['a resolved link is its target', get('l/0', EVENT), OK, json({ eventStreamId: 's', eventNumber: 0 })],
    ['a resolved link as JSON', get('l/0', 'application/json'), OK, { body: /^\{\s*"a": ?1\s*\}$/ }],
    ['a resolved link as XML', get('l/0', 'text/xml'), OK, { body: '<data><a>1</a></data>' }],
    ['a missing event', get('s/99'), MISSING, emptyObject],
    ['the head of a missing stream', get('never/head'), MISSING, emptyObject],
    ['a truncated event', get('cut/0'), MISSING, emptyObject],
    ['an event of a tombstoned stream', get('hard/0'), DELETED, emptyObject],
    ...['application/json', EVENT].map(
      (accept): Row => [`missing as ${accept}`, get('never/0', accept), MISSING, emptyObject]
    ),
    ...[codecs.atom, codecs.xml, codecs.applicationXml, codecs.eventXml].map(
      ({ type }): Row => [`missing as ${type}`, get('never/0', type), MISSING, empty]
    ),
    ...[codecs.atom, codecs.eventXml].map(
      ({ type }): Row => [`tombstoned as ${type}`, get('hard/0', type), DELETED, empty]
    ),
    ['missing metadata as JSON', get('never/metadata', 'application/json'), MISSING, emptyObject],
    ['missing as octets, a quirk', get('never/0', codecs.octets.type), MISSING, empty],
    ['tombstoned as octets, a quirk', get('hard/0', codecs.octets.type), DELETED, empty],
    ['deliberate: missing as HTML is the page, which shows the error', get('never/0', 'text/html'), OK, { body: PAGE }],
    ...[FEED, codecs.atom.type, codecs.xml.type].map(
      (accept): Row => [`a missing feed as ${accept}`, get('never', accept), MISSING, empty]
    ),
    ['8.8 deliberate: a feed as HTML is the page of Daybook', get('s', 'text/html'), OK, { body: PAGE }],
    [
      '8.8 deliberate: a page by path as HTML is JSON',
      get('s/0/forward/5', 'text/html'),
      OK,
      { headers: { 'content-type': 'application/json; charset=utf-8' } }
    ]
  ]
)

section('8.9 description document', write(many('a b', 1)), [
  [
    'the members of a description',
    get('a%20b', codecs.description.type),
    '200 Description Document',
    json({
      title: "Description document for 'a b'",
      description: 'The description document will be presented when no accept header is present or it was requested',
      '_links.self.href': '/streams/a%20b',
      '_links.self.supportedContentTypes.0': codecs.description.type,
      '_links.stream.href': '/streams/a%20b',
      '_links.stream.supportedContentTypes.0': codecs.atom.type,
      '_links.stream.supportedContentTypes.1': FEED,
      '_links.streamSubscription': null
    })
  ]
])
