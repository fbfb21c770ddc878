/** Reference 7: reads of streams in the Atom dialect, one row per row of the reference. */
import { codecs } from '../../routes/eventstore/wire/codecs.js'
import {
  clock,
  DELETED,
  event,
  FEED,
  get,
  gone,
  HARD,
  type Headers,
  link,
  MISSING,
  many,
  metadata,
  OK,
  post,
  remove,
  TEXT,
  UNRESOLVED,
  write
} from './requests.js'
import { type Page, type Row, type Shows, section } from './rows.js'

const EVENT = codecs.eventJson.type
const empty: Shows = { headers: TEXT, body: '' }
const emptyObject: Shows = { headers: TEXT, body: '{}' }
const json = (members: Record<string, unknown>): Shows => ({ json: members })
const shows = (page: Page): Shows => ({ page })

/** Requests a page with entry numbers. */
const feed = (url: string, headers: Headers = {}) => get(`${url}?embed=rich`, FEED, headers)

section('7.1 existence', gone, [
  ['a stream never written', get('never'), MISSING, empty],
  ['an event of a stream never written', get('never/0'), MISSING, emptyObject],
  ['a stream with metadata only', get('only'), MISSING, empty],
  [
    'the metadata of a stream with metadata only',
    get('only/metadata', 'application/json'),
    OK,
    { body: /^\{\s*"a": ?1\s*\}$/ }
  ],
  ['a soft-deleted stream', get('soft'), MISSING, empty],
  ['an event of a soft-deleted stream', get('soft/0'), MISSING, emptyObject],
  ['a page of a soft-deleted stream', get('soft/0/forward/5'), MISSING, empty],
  ['a tombstoned stream', get('hard'), DELETED, empty],
  ['an event of a tombstoned stream', get('hard/0'), DELETED, emptyObject],
  ['a page of a tombstoned stream', get('hard/0/forward/5'), DELETED, empty],
  ['a stream with all events truncated', feed('cut'), OK, json({ 'entries.length': 0 })]
])

const YEAR = { 'cache-control': 'max-age=31536000, private' }
const NEVER = { 'cache-control': 'max-age=0, no-cache, must-revalidate' }
const aged = write(0, many('aged', 3), 100, many('aged', 2), metadata('aged', { $maxAge: 50 }), 120)

section(
  '7.2 backward',
  write(many('s', 5), many('tb', 10), metadata('tb', { $tb: 4 }), many('mc', 10), metadata('mc', { $maxCount: 3 })),
  [
    [
      'from the head',
      feed('s/head/backward/2'),
      OK,
      shows({ entries: [4, 3], head: true, last: '0/forward/2', next: '2/backward/2', previous: '5/forward/2' })
    ],
    [
      'a start beyond the head means the head, and the page may change',
      feed('s/9/backward/6'),
      OK,
      {
        headers: NEVER,
        page: { entries: [4], head: false, last: '0/forward/6', next: '3/backward/6', previous: '5/forward/6' }
      }
    ],
    [
      'entries are newest first',
      feed('s/3/backward/2'),
      OK,
      {
        headers: YEAR,
        page: { entries: [3, 2], head: false, last: '0/forward/2', next: '1/backward/2', previous: '4/forward/2' }
      }
    ],
    [
      'down to the first event',
      feed('s/1/backward/2'),
      OK,
      shows({ entries: [1, 0], head: false, previous: '2/forward/2' })
    ],
    ['ends at $tb', feed('tb/6/backward/3'), OK, shows({ entries: [6, 5, 4], head: false, previous: '7/forward/3' })],
    [
      '$tb in the middle',
      feed('tb/5/backward/5'),
      OK,
      shows({ entries: [5, 4], head: false, previous: '6/forward/5' })
    ],
    ['below $tb', feed('tb/3/backward/2'), OK, shows({ entries: [], head: false, previous: '4/forward/2' })],
    ['ends at $maxCount', feed('mc'), OK, shows({ entries: [9, 8, 7], head: true, previous: '10/forward/20' })],
    ['below $maxCount', feed('mc/6/backward/2'), OK, shows({ entries: [], head: false, previous: '7/forward/2' })]
  ]
)

section(
  '7.2 backward over $maxAge',
  aged,
  [
    [
      'expired events are omitted',
      feed('aged/head/backward/4'),
      OK,
      json({ 'entries.0.positionEventNumber': 4, 'entries.1.positionEventNumber': 3, 'entries.length': 2 })
    ]
  ],
  { clock }
)

section(
  '7.3 forward',
  write(many('s', 5), many('tb', 20), metadata('tb', { $tb: 10 }), many('beyond', 3), metadata('beyond', { $tb: 10 })),
  [
    [
      'entries are newest first in forward pages, too',
      feed('s/1/forward/3'),
      OK,
      shows({ entries: [3, 2, 1], head: false, last: '0/forward/3', next: '0/backward/3', previous: '4/forward/3' })
    ],
    [
      'up to the last event',
      feed('s/2/forward/3'),
      OK,
      shows({ entries: [4, 3, 2], head: true, last: '0/forward/3', next: '1/backward/3', previous: '5/forward/3' })
    ],
    [
      'truncated events count towards the length of the page',
      feed('tb/8/forward/4'),
      OK,
      shows({ entries: [11, 10], head: false, last: '0/forward/4', next: '7/backward/4', previous: '12/forward/4' })
    ],
    [
      'an empty page of truncated events links to the next page',
      feed('tb/0/forward/5'),
      OK,
      shows({ entries: [], head: false, previous: '5/forward/5' })
    ],
    [
      'a start just beyond the head',
      feed('s/5/forward/3'),
      OK,
      shows({ entries: [], head: true, last: '0/forward/3', next: '4/backward/3' })
    ],
    [
      'a start far beyond the head',
      feed('s/90/forward/3'),
      OK,
      shows({ entries: [], head: true, last: '0/forward/3', next: '89/backward/3' })
    ],
    [
      'a start beyond the head but below $tb has no link to itself',
      feed('beyond/3/forward/5'),
      OK,
      shows({ entries: [], head: true, last: '0/forward/5', next: '2/backward/5' })
    ]
  ]
)

section(
  '7.3 forward over $maxAge',
  aged,
  [
    [
      'expired events are omitted',
      feed('aged/2/forward/2'),
      OK,
      json({ 'entries.0.positionEventNumber': 3, 'entries.length': 1 })
    ],
    [
      'an empty page of expired events links to the next page',
      feed('aged/0/forward/2'),
      OK,
      shows({ entries: [], head: false, previous: '2/forward/2' })
    ]
  ],
  { clock }
)

const order = (...relations: string[]) =>
  json({
    'links.0.uri': 'http://localhost:80/streams/s',
    'links.1.uri': /\/streams\/s\/head\/backward\/\d+$/,
    ...Object.fromEntries([...relations, undefined].map((relation, i) => [`links.${i}.relation`, relation])),
    [`links.${relations.length - 1}.uri`]: 'http://localhost:80/streams/s/metadata'
  })
const down = (from: number, to: number) => Array.from({ length: from - to + 1 }, (_, i) => from - i)

section('7.4 links of pages', write(many('s', 25), many('even', 20), many('cut', 3), metadata('cut', { $tb: 3 })), [
  [
    'the head page has all links',
    feed('s'),
    OK,
    shows({ entries: down(24, 5), head: true, last: '0/forward/20', next: '4/backward/20', previous: '25/forward/20' })
  ],
  [
    'the links of the head page are in order',
    feed('s'),
    OK,
    order('self', 'first', 'last', 'next', 'previous', 'metadata')
  ],
  ['4/backward/20', feed('s/4/backward/20'), OK, shows({ entries: down(4, 0), head: false, previous: '5/forward/20' })],
  [
    'the links of 4/backward/20 are in order',
    feed('s/4/backward/20'),
    OK,
    order('self', 'first', 'previous', 'metadata')
  ],
  ['0/forward/20', feed('s/0/forward/20'), OK, shows({ entries: down(19, 0), head: false, previous: '20/forward/20' })],
  [
    'the links of 0/forward/20 are in order',
    feed('s/0/forward/20'),
    OK,
    order('self', 'first', 'previous', 'metadata')
  ],
  [
    '20/forward/20',
    feed('s/20/forward/20'),
    OK,
    shows({
      entries: down(24, 20),
      head: true,
      last: '0/forward/20',
      next: '19/backward/20',
      previous: '25/forward/20'
    })
  ],
  [
    '25/forward/20',
    feed('s/25/forward/20'),
    OK,
    shows({ entries: [], head: true, last: '0/forward/20', next: '24/backward/20' })
  ],
  [
    'the links of 25/forward/20 are in order',
    feed('s/25/forward/20'),
    OK,
    order('self', 'first', 'last', 'next', 'metadata')
  ],
  ['5/10', feed('s/5/10'), OK, shows({ entries: down(5, 0), head: false, previous: '6/forward/10' })],
  ['20 events fit one page', feed('even'), OK, shows({ entries: down(19, 0), head: true, previous: '20/forward/20' })],
  [
    'a head page of truncated events only',
    feed('cut'),
    OK,
    shows({ entries: [], head: true, previous: '0/forward/20' })
  ]
])

const targets = [
  '0@s',
  ' 01 @s',
  '-1@s',
  '0@a@b',
  '9@s',
  '0@cut',
  '0@soft',
  '0@hard',
  'nonsense',
  'head@s',
  '@s',
  '9223372036854775808@s',
  '0@l'
]
const prepareLinks = write(
  many('s', 3),
  many('a@b', 1),
  many('cut', 2),
  metadata('cut', { $tb: 1 }),
  many('soft', 1),
  remove('soft'),
  many('hard', 1),
  remove('hard', HARD),
  post('l', [...targets.map((target) => link(target)), event({ eventType: '$@', data: 's' })])
)
const place = (target: string) => targets.indexOf(target)
const resolved = (name: string, target: string, stream: string, number: number): Row[] => [
  [
    `${name} in a feed`,
    feed(`l/${place(target)}/1`),
    OK,
    json({ 'entries.0.eventType': 'T', 'entries.0.streamId': stream, 'entries.0.eventNumber': number })
  ],
  [
    `${name} as a single event`,
    get(`l/${place(target)}`, EVENT),
    OK,
    json({ eventType: 'T', eventStreamId: stream, eventNumber: number })
  ]
]
const unresolvable = (name: string, target: string): Row[] => [
  [
    `${name} in a feed`,
    feed(`l/${place(target)}/1`),
    OK,
    json({ 'entries.0.title': target, 'entries.0.summary': '$>', 'entries.0.eventId': undefined })
  ],
  [`${name} as a single event`, get(`l/${place(target)}`, EVENT), MISSING, emptyObject]
]
const asItIs = (name: string, number: number, data: string, type = '$>'): Row[] => [
  [
    `${name} in a feed`,
    get(`l/${number}/1?embed=tryharder`),
    OK,
    json({ 'entries.0.eventType': type, 'entries.0.data': data, 'entries.0.isJson': false })
  ],
  [`${name} as a single event`, get(`l/${number}`, EVENT), OK, json({ eventType: type, data, eventStreamId: 'l' })]
]

section('7.5 links', prepareLinks, [
  ...resolved('a readable target', '0@s', 's', 0),
  ...resolved('spaces and zeros around a number', ' 01 @s', 's', 1),
  ...resolved('-1 is the last event', '-1@s', 's', 2),
  ...resolved('a second @ belongs to the stream name', '0@a@b', 'a@b', 0),
  ...unresolvable('a missing target', '9@s'),
  ...unresolvable('a truncated target', '0@cut'),
  ...unresolvable('a target in a soft-deleted stream', '0@soft'),
  ...unresolvable('a target in a tombstoned stream', '0@hard'),
  ...['nonsense', 'head@s', '@s', '9223372036854775808@s'].flatMap((target) =>
    asItIs(`${target}, an invalid link,`, place(target), target)
  ),
  [
    'a link to a link in a feed',
    feed(`l/${place('0@l')}/1`),
    OK,
    json({ 'entries.0.eventType': '$>', 'entries.0.eventNumber': 0 })
  ],
  [
    'a link to a link as a single event',
    get(`l/${place('0@l')}`, EVENT),
    OK,
    json({ eventType: '$>', eventNumber: 0, data: '0@s' })
  ],
  ...asItIs('a stream reference, which is never resolved,', targets.length, 's', '$@'),
  [
    'a link with ES-ResolveLinkTos: False',
    feed('l/0/1', UNRESOLVED),
    OK,
    json({
      'entries.0.eventType': '$>',
      'entries.0.isJson': false,
      'entries.0.eventNumber': 0,
      'entries.0.streamId': 'l'
    })
  ]
])
