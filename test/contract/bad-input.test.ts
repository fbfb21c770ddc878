/** Bad input gets a problem with the wrong value and the allowed ones, and nothing is written. */
import { gzipSync } from 'node:zlib'
import type { FastifyInstance, InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import { limits } from '../../src/limits.js'
import { checkDirectory } from '../../src/verify/check-directory.js'
import { append, openApp } from '../helpers/app.js'
import { listenRaw } from '../helpers/raw.js'

/** The fault, the request, and the expected status, code and detail. */
type Row = [string, InjectOptions, number, string, RegExp]

const JSON_TYPE = { 'content-type': 'application/json' }
const NDJSON_TYPE = { 'content-type': 'application/x-ndjson' }
const EVENT = '{"type":"T"}'

function post(url: string, payload: string | Buffer, headers: Record<string, string> = JSON_TYPE): InjectOptions {
  return { method: 'POST', url, headers, payload }
}
const toStream = (payload: string | Buffer, headers?: Record<string, string>) => post('/streams/s', payload, headers)
const withHeaders = (headers: Record<string, string>, payload = EVENT) =>
  toStream(payload, { ...JSON_TYPE, ...headers })
const get = (url: string, headers: Record<string, string> = {}): InjectOptions => ({ method: 'GET', url, headers })
const put = (url: string, payload: string, headers: Record<string, string> = JSON_TYPE): InjectOptions => ({
  ...post(url, payload, headers),
  method: 'PUT'
})
const metadata = (payload: string, headers: Record<string, string> = JSON_TYPE) =>
  put('/streams/s/metadata', payload, headers)
const consumer = (body: object, name = 'c') => put(`/consumers/${name}`, JSON.stringify(body))
const patch = (payload: string) => ({ ...metadata(payload), method: 'PATCH' as const })
const remove = (query = '', headers = {}): InjectOptions => ({ method: 'DELETE', url: `/streams/s${query}`, headers })
const conditioned = (conditions: unknown) =>
  post('/events', JSON.stringify({ events: [{ stream: 's', type: 'T' }], conditions }))

const INDEXES = ['$ce-s', '$et-T', '$bc-c', '$category-s', '$streams']

const matching = (failIfEventsMatch: object, after?: unknown) => conditioned([{ failIfEventsMatch, after }])

const tables: Record<string, Row[]> = {
  'malformed JSON': [
    [
      'a truncated document',
      toStream('{"type":'),
      400,
      'malformed-json',
      /line 1, column 9: expected a value, but the text ends here/
    ],
    ['an empty body', toStream(''), 400, 'invalid-event', /The body is empty\. It must be an event/],
    ['a trailing comma', toStream('{"type":"T",}'), 400, 'malformed-json', /column 13: expected a member name/],
    ['text after the end', toStream(`${EVENT} x`), 400, 'malformed-json', /text after the end/],
    ['a repeated member', toStream('{"type":"a","type":"b"}'), 400, 'malformed-json', /"type" appears twice/],
    ['a raw line break in a string', toStream('{"type":"a\nb"}'), 400, 'malformed-json', /write it as an escape/],
    ['a leading zero', toStream('{"type":"T","data":01}'), 400, 'malformed-json', /expected/],
    ['an unknown word', toStream('{"type":"T","data":NaN}'), 400, 'malformed-json', /expected a value/],
    ['a byte order mark', toStream(`\ufeff${EVENT}`), 400, 'malformed-json', /byte order mark/],
    [
      'arrays nested too deep',
      toStream(`{"type":"T","data":${'['.repeat(5000)}`),
      400,
      'malformed-json',
      /more than 512 deep/
    ],
    ['invalid UTF-8', toStream(Buffer.from('7b2274797065223a22ff227d', 'hex')), 400, 'invalid-utf8', /UTF-8/],
    [
      'a truncated document on /events',
      post('/events', '{"events":[{"stream":"s","type":"T"}'),
      400,
      'malformed-json',
      /the text ends here/
    ],
    ['a bad line', toStream(`${EVENT}\n{"type"\n`, NDJSON_TYPE), 400, 'malformed-json', /^Line 2(, column \d+)?: /],
    ['NDJSON without line breaks', toStream(`${EVENT}${EVENT}`, NDJSON_TYPE), 400, 'malformed-json', /--data-binary/]
  ],
  'nothing to append': [
    ['an empty array', toStream('[]'), 400, 'empty-batch', /no event/],
    ['NDJSON with empty lines only', toStream('\n\n', NDJSON_TYPE), 400, 'empty-batch', /no event/],
    ['an empty list', post('/events', '{"events":[]}'), 400, 'empty-batch', /no event/],
    ['no "events"', post('/events', '{}'), 400, 'empty-batch', /no event/]
  ],
  'an invalid event': [
    ['no type', toStream('{"data":1}'), 400, 'invalid-event', /"type" is missing/],
    ['an empty type', toStream('{"type":""}'), 400, 'invalid-event', /"type" is empty/],
    ['a type that is a number', toStream('{"type":7}'), 400, 'invalid-event', /"type" must be text, not 7\./],
    ['a type that is too long', toStream(`{"type":"${'ä'.repeat(129)}"}`), 400, 'invalid-event', /at most 256 bytes/],
    [
      'a type with control characters',
      toStream('{"type":"a\\u0000"}'),
      400,
      'invalid-event',
      /must not contain control characters/
    ],
    ['half a surrogate pair', toStream('{"type":"\\ud800"}'), 400, 'invalid-event', /well-formed Unicode/],
    ['an unknown member', toStream('{"type":"T","dat":1}'), 400, 'invalid-event', /name "dat"; did you mean "data"/],
    [
      'a stream in an event of one stream',
      toStream('{"type":"T","stream":"s"}'),
      400,
      'invalid-event',
      /Unknown name "stream"/
    ],
    ['text instead of an event', toStream('"T"'), 400, 'invalid-event', /An event must be a JSON object/],
    ['an array in an array', toStream('[[]]'), 400, 'invalid-event', /An event must be a JSON object/],
    ['no stream on /events', post('/events', '{"events":[{"type":"T"}]}'), 400, 'invalid-event', /"stream" is missing/],
    ['"events" that is not a list', post('/events', '{"events":{}}'), 400, 'invalid-body', /"events" must be a list/],
    [
      'an unknown member on /events',
      post('/events', '{"event":[]}'),
      400,
      'invalid-body',
      /name "event"; did you mean "events"/
    ],
    [
      'bare data without a type',
      toStream('{}', { 'content-type': 'application/xml' }),
      400,
      'missing-event-type',
      /Event-Type/
    ],
    [
      'text that is invalid UTF-8',
      toStream(Buffer.from([0xff]), { 'content-type': 'text/plain', 'event-type': 'T' }),
      400,
      'invalid-utf8',
      /text\/plain must be UTF-8/
    ]
  ],
  'a bad id': [
    [
      'text instead of an event id',
      toStream('{"type":"T","id":"x"}'),
      400,
      'invalid-event',
      /"id" must be text like "5c1f7f3e-/
    ],
    [
      'an id as a URN',
      toStream('{"type":"T","id":"urn:uuid:5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11"}'),
      400,
      'invalid-event',
      /"id" /
    ],
    [
      'an id without dashes',
      toStream(`{"type":"T","id":"${'5c1f7f3e8a5b4a57'.repeat(2)}"}`),
      400,
      'invalid-event',
      /"id" /
    ],
    [
      'a number instead of an id',
      toStream('{"type":"T","id":1}'),
      400,
      'invalid-event',
      /"id" must be text like .*, not 1\./
    ],
    [
      'a bad id in a header',
      withHeaders({ 'event-type': 'T', 'event-id': '5c1f' }),
      400,
      'invalid-event',
      /"id" must be text like "5c1f7f3e-/
    ],
    [
      'a repeated id',
      toStream(
        '[{"type":"A","id":"5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11"},{"type":"B","id":"5C1F7F3E-8A5B-4A57-9D0B-2A1D6E0F9C11"}]'
      ),
      400,
      'bad-event-id',
      /event 1 occurs twice/
    ],
    ['an empty Idempotency-Key', withHeaders({ 'idempotency-key': '' }), 400, 'bad-header', /1 to 255 characters/],
    ['a long Idempotency-Key', withHeaders({ 'idempotency-key': 'k'.repeat(256) }), 400, 'bad-header', /1 to 255/],
    [
      'invalid JSON in Event-Metadata',
      withHeaders({ 'event-type': 'T', 'event-metadata': '{x' }, '1'),
      400,
      'malformed-json',
      /expected a member name/
    ]
  ],
  'a bad condition': [
    ['an unquoted tag', withHeaders({ 'if-match': '7' }), 400, 'bad-condition', /in double quotes, like "7"/],
    ['a weak tag', withHeaders({ 'if-match': 'W/"7"' }), 400, 'bad-condition', /in double quotes/],
    ['two tags', withHeaders({ 'if-match': '"0", "1"' }), 400, 'bad-condition', /in double quotes/],
    ['a negative number', withHeaders({ 'if-match': '"-2"' }), 400, 'bad-condition', /in double quotes/],
    ['a number too large', withHeaders({ 'if-match': `"${2 ** 53}"` }), 400, 'bad-condition', /in double quotes/],
    [
      'a number in If-None-Match',
      withHeaders({ 'if-none-match': '"1"' }),
      400,
      'bad-condition',
      /on an append must be "\*"/
    ],
    [
      'an unknown head',
      conditioned([{ stream: 's', head: 'latest' }]),
      400,
      'bad-condition',
      /"head" must be a whole number from 0, "none" or "exists", not "latest"/
    ],
    [
      'a negative head',
      conditioned([{ stream: 's', head: -1 }]),
      400,
      'bad-condition',
      /or "exists", not -1\. EventStoreDB's -1 is "none" here/
    ],
    ['a condition without a stream', conditioned([{ head: 1 }]), 400, 'bad-condition', /"stream" is missing/],
    [
      'conditions that are not a list',
      conditioned({ stream: 's', head: 1 }),
      400,
      'bad-condition',
      /"conditions" must be a list, not an object/
    ],
    [
      'two contradictory conditions on one stream',
      conditioned([
        { stream: 's', head: 0 },
        { stream: 's', head: 'none' }
      ]),
      400,
      'bad-condition',
      /Two conditions on "s" contradict each other/
    ],
    ['a reserved stream', conditioned([{ stream: '$all', head: 1 }]), 400, 'bad-stream-name', /reserved/]
  ],
  'bad tags': [
    [
      '33 tags',
      toStream(JSON.stringify({ type: 'T', tags: numbered(33) })),
      400,
      'invalid-event',
      /"tags" must have at most 32 entries; this one has 33/
    ],
    ['an empty tag', toStream('{"type":"T","tags":[""]}'), 400, 'invalid-event', /is empty/],
    [
      'a repeated tag',
      toStream('{"type":"T","tags":["a","a"]}'),
      400,
      'invalid-event',
      /"tags" contains "a" twice, at 0 and 1/
    ],
    [
      'a tag that is not text',
      toStream('{"type":"T","tags":[1]}'),
      400,
      'invalid-event',
      /"tags.0" must be text, not 1/
    ],
    [
      'tags that are not a list',
      toStream('{"type":"T","tags":"a"}'),
      400,
      'invalid-event',
      /"tags" must be a list, not "a"/
    ],
    [
      'a tag that is too long',
      toStream(JSON.stringify({ type: 'T', tags: ['ä'.repeat(200)] })),
      400,
      'bad-tag',
      /at most 256 bytes/
    ],
    [
      'a tag with control characters',
      toStream('{"type":"T","tags":["a\\nb"]}'),
      400,
      'bad-tag',
      /must not contain control characters/
    ]
  ],
  'bad instants and cursors': [
    [
      'text in "occurred"',
      toStream('{"type":"T","occurred":"yesterday"}'),
      400,
      'invalid-event',
      /"occurred" must be text like "2026-11-23T10:15:29Z", not "yesterday"/
    ],
    [
      '"occurred" without a time zone',
      toStream('{"type":"T","occurred":"2026-01-01T00:00:00"}'),
      400,
      'invalid-event',
      /text like "2026-11-23T10:15:29Z"/
    ],
    [
      'month 13',
      toStream('{"type":"T","occurred":"2026-13-01T00:00:00Z"}'),
      400,
      'invalid-event',
      /text like "2026-11-23T10:15:29Z"/
    ],
    [
      'a number in "occurred"',
      toStream('{"type":"T","occurred":1}'),
      400,
      'invalid-event',
      /"occurred" must be text like .*, not 1/
    ],
    [
      'an instant that is too long',
      toStream(`{"type":"T","occurred":"2026-01-01T00:00:00.${'0'.repeat(300)}Z","data":{}}`),
      400,
      'invalid-event',
      /occurred/
    ],
    [
      'text instead of a cursor',
      get('/streams/s?from=here'),
      400,
      'bad-cursor',
      /a cursor, start, end or an instant|RFC 3339/
    ],
    ['a negative cursor', get('/streams/s?after=-2'), 400, 'bad-cursor', /RFC 3339/],
    ['a fraction instead of a cursor', get('/events?from=1.5'), 400, 'bad-cursor', /RFC 3339/],
    ['a cursor too large', get('/events?from=99999999999999999999'), 400, 'bad-cursor', /RFC 3339/],
    ['February 31', get('/events?from=2026-02-31'), 400, 'bad-instant', /RFC 3339/],
    ['hour 25', get('/events?to=2026-02-01T25:00:00Z'), 400, 'bad-instant', /RFC 3339/],
    ['an age in years', get('/events?from=-1y'), 400, 'bad-cursor', /an age like -15m/],
    ['text instead of the end of a range', get('/events?to=end'), 400, 'bad-cursor', /a cursor or an instant/],
    ['text in occurred.from', get('/events?occurred.from=soon'), 400, 'bad-instant', /an age like -15m/],
    ['two lower bounds', get('/events?from=1&after=2'), 400, 'bad-parameter', /"from" or "after", not both/],
    ['a cursor beyond the head', get('/events?from=1000'), 409, 'cursor-beyond-head', /beyond the last event \(0\)/],
    ['text instead of a position', get('/events/last'), 400, 'bad-parameter', /a number from 0, or "head"/],
    ['a negative event number', get('/streams/s/-1'), 400, 'bad-parameter', /a number from 0/],
    ['a position beyond the head', get('/events/5'), 404, 'event-not-found', /last event is \d/]
  ],
  'bad stream names': [
    [
      'a name that is too long',
      post(`/streams/${'n'.repeat(1025)}`, EVENT),
      400,
      'bad-stream-name',
      /at most 1024 bytes.* 1025/
    ],
    [
      'a name that is too long in UTF-8',
      get(`/streams/${encodeURIComponent('漢'.repeat(342))}`),
      400,
      'bad-stream-name',
      /at most 1024/
    ],
    ['control characters in a name', post('/streams/a%00b', EVENT), 400, 'bad-stream-name', /no control characters/],
    ['a line break in a name that is read', get('/streams/a%0Ab'), 400, 'bad-stream-name', /no control characters/],
    ['C1 control characters', post('/streams/a%C2%85b', EVENT), 400, 'bad-stream-name', /no control characters/],
    ['no name', post('/streams/', EVENT), 404, 'not-found', /needs a stream name/],
    ['broken percent-encoding', get('/streams/%E0%A4%A'), 400, 'bad-request', /./],
    ['the reserved name $all', post('/streams/$all', EVENT), 400, 'bad-stream-name', /reserved/],
    ['the name of a metastream', post('/streams/$$s', EVENT), 400, 'bad-stream-name', /it holds metadata/],
    ...INDEXES.flatMap((name): Row[] => [
      [
        `metadata of ${name}`,
        put(`/streams/${name}/metadata`, '{}'),
        400,
        'bad-stream-name',
        /has no metadata of its own/
      ],
      [
        `a metadata patch of ${name}`,
        { ...put(`/streams/${name}/metadata`, '{}'), method: 'PATCH' },
        400,
        'bad-stream-name',
        /has no metadata of its own/
      ]
    ]),
    [
      'retention of the log',
      put('/streams/$all/metadata', '{"maxCount":1}'),
      400,
      'invalid-metadata',
      /has no effect on/
    ],
    ['metadata of a metastream', put('/streams/$$s/metadata', '{}'), 400, 'bad-stream-name', /reserved|no metadata/],
    ['the reserved name of a category', post('/streams/$ce-cart', EVENT), 400, 'bad-stream-name', /reserved/],
    [
      'control characters in a name in a body',
      post('/events', '{"events":[{"stream":"a\\u0007","type":"T"}]}'),
      400,
      'bad-stream-name',
      /control/
    ],
    [
      'half a surrogate pair in a name',
      post('/events', '{"events":[{"stream":"\\udc00","type":"T"}]}'),
      400,
      'bad-stream-name',
      /surrogate/
    ],
    [
      'a name of dots',
      post('/events', '{"events":[{"stream":"..","type":"T"}]}'),
      400,
      'bad-stream-name',
      /cannot be "\." or/
    ]
  ],
  'input over the size limits': [
    [
      'an event that is too large',
      toStream(`{"type":"T","data":"${'x'.repeat(limits.event_bytes_max)}"}`),
      413,
      'event-too-large',
      /at most 4194304/
    ],
    [
      'a body that is too large',
      toStream(Buffer.alloc(limits.body_bytes_max + 1, 0x20)),
      413,
      'body-too-large',
      /33554432/
    ],
    [
      'a body on /events that is too large',
      post('/events', Buffer.alloc(limits.body_bytes_max + 1, 0x20)),
      413,
      'body-too-large',
      /33554432/
    ],
    ['too many events', toStream(`[${Array(4097).fill(EVENT)}]`), 413, 'batch-too-large', /at most 4096 events/],
    ['too many lines', toStream(`${EVENT}\n`.repeat(4097), NDJSON_TYPE), 413, 'batch-too-large', /at most 4096 events/],
    [
      'a gzip bomb',
      withEncoding('/streams/s', 'gzip', gzipSync(Buffer.alloc(limits.body_bytes_max + 1, 0x20))),
      413,
      'body-too-large',
      /more than 33554432 bytes after decompression/
    ],
    [
      'a gzip bomb on /events',
      withEncoding('/events', 'gzip', gzipSync(Buffer.alloc(limits.body_bytes_max + 1, 0x20))),
      413,
      'body-too-large',
      /more than 33554432 bytes after decompression/
    ]
  ],
  'an unknown content type or encoding': [
    [
      'a form',
      toStream('a=1', { 'content-type': 'application/x-www-form-urlencoded' }),
      415,
      'unsupported-media-type',
      /--json/
    ],
    [
      'a picture',
      toStream('x', { 'content-type': 'image/png' }),
      415,
      'unsupported-media-type',
      /does not accept a body of type "image\/png"/
    ],
    ['no content type', toStream('x', {}), 415, 'unsupported-media-type', /does not accept a body/],
    [
      'text without an event type',
      toStream('x', { 'content-type': 'text/plain' }),
      415,
      'unsupported-media-type',
      /Event-Type/
    ],
    ['a malformed content type', toStream('x', { 'content-type': ';;;' }), 415, 'unsupported-media-type', /./],
    [
      'NDJSON as the data of one event',
      toStream(EVENT, { ...NDJSON_TYPE, 'event-type': 'T' }),
      415,
      'unsupported-media-type',
      /does not accept a body/
    ],
    [
      'text on /events',
      post('/events', 'x', { 'content-type': 'text/plain' }),
      415,
      'unsupported-media-type',
      /application\/json and/
    ],
    [
      'an unknown encoding',
      withEncoding('/streams/s', 'zip', Buffer.from(EVENT)),
      415,
      'unsupported-media-type',
      /gzip/
    ],
    [
      'the encoding "constructor"',
      withEncoding('/streams/s', 'constructor', Buffer.from(EVENT)),
      415,
      'unsupported-media-type',
      /gzip/
    ],
    [
      'a body that is not gzip',
      withEncoding('/streams/s', 'gzip', Buffer.from(EVENT)),
      400,
      'bad-encoding',
      /cannot be decoded as Content-Encoding: gzip/
    ],
    [
      'a truncated gzip',
      withEncoding('/events', 'gzip', gzipSync(EVENT).subarray(0, 15)),
      400,
      'bad-encoding',
      /cannot be decoded as Content-Encoding: gzip/
    ],
    [
      'an empty gzip',
      withEncoding('/streams/s', 'gzip', Buffer.alloc(0)),
      400,
      'bad-encoding',
      /cannot be decoded as Content-Encoding: gzip/
    ]
  ],
  'an impossible Accept': [
    ['an image', get('/events', { accept: 'image/png' }), 406, 'not-acceptable', /application\/json/],
    [
      'JSON with weight 0',
      get('/streams/s', { accept: 'application/json;q=0' }),
      406,
      'not-acceptable',
      /application\/json/
    ],
    ['a page as one event', get('/events?format=event'), 406, 'not-acceptable', /allows no format of this/],
    [
      'one event as NDJSON',
      get('/events/0', { accept: 'application/x-ndjson' }),
      406,
      'not-acceptable',
      /formats of an event are/
    ],
    [
      'an unknown format',
      get('/events?format=xml'),
      400,
      'bad-parameter',
      /"format" must be "page", "event", "ndjson", "sse" or "atom", not "xml"/
    ]
  ],
  'unknown parameters and values': [
    ['a mistyped name', get('/events?lmit=1'), 400, 'unknown-parameter', /name "lmit"; did you mean "limit"/],
    [
      'a parameter of another path',
      get('/streams/s?category=a'),
      400,
      'unknown-parameter',
      /name "category"; did you mean/
    ],
    ['a parameter of pages on one event', get('/events/0?limit=1'), 400, 'unknown-parameter', /did you mean/],
    ['a mistyped parameter of a listing', get('/streams?prefx=a'), 400, 'unknown-parameter', /did you mean "prefix"/],
    // The path has no parameters, so the detail suggests none.
    [
      'a parameter on a path without parameters',
      post('/streams/s?limit=1', EVENT),
      400,
      'unknown-parameter',
      /^Unknown name "limit"(?!.*"")/
    ],
    [
      'a mistyped parameter of an append',
      post('/events?bach=5', EVENT),
      400,
      'unknown-parameter',
      /did you mean "batch"/
    ],
    ['__proto__', get('/events?__proto__=1'), 400, 'unknown-parameter', /Unknown name "__proto__"/],
    ['constructor', get('/events?constructor=1'), 400, 'unknown-parameter', /Unknown name "constructor"/],
    ['brackets', get('/events?type[]=T'), 400, 'unknown-parameter', /did you mean "type/],
    [
      'a limit of 0',
      get('/events?limit=0'),
      400,
      'bad-parameter',
      /"limit" must be a whole number from 1 to 4096, not 0/
    ],
    [
      'a limit too high',
      get('/events?limit=4097'),
      400,
      'bad-parameter',
      /"limit" must be a whole number from 1 to 4096, not 4097/
    ],
    [
      'text instead of a limit',
      get('/events?limit=all'),
      400,
      'bad-parameter',
      /"limit" must be a whole number from 1 to 4096, not "all"/
    ],
    [
      'two limits',
      get('/events?limit=1&limit=2'),
      400,
      'bad-parameter',
      /"limit" must be a whole number from 1 to 4096, not a list/
    ],
    ['an unknown order', get('/events?order=up'), 400, 'bad-parameter', /"order" must be "asc" or "desc", not "up"/],
    [
      'text instead of a boolean',
      get('/events?system=maybe'),
      400,
      'bad-parameter',
      /"system" must be true or false, not "maybe"/
    ],
    [
      'a wait that is too long',
      get('/events?atLeast=9&wait=61'),
      400,
      'bad-parameter',
      /"wait" must be a number from 0 to 60, not 61/
    ],
    [
      'an empty prefix',
      get('/events?stream.prefix=a&stream.prefix='),
      400,
      'bad-parameter',
      /"stream.prefix" is empty/
    ],
    ['an empty expression', get('/streams/s?type.regex='), 400, 'bad-parameter', /"type.regex" is empty/],
    ['an empty type', get('/events?type='), 400, 'bad-parameter', /"type" is empty: give it a value, or leave it out/],
    [
      'too many types',
      get(`/events?${Array(101).fill('type=T').join('&')}`),
      400,
      'bad-parameter',
      /"type" must have at most 100 entries; this one has 101/
    ],
    [
      'a batch size with a JSON document',
      post('/events?batch=5', '{"events":[]}'),
      400,
      'bad-parameter',
      /application\/x-ndjson/
    ],
    [
      'a batch size of 0',
      post('/events?batch=0', EVENT, NDJSON_TYPE),
      400,
      'bad-parameter',
      /"batch" must be a whole number from 1 to 4096, not 0/
    ]
  ],
  'bad expressions': [
    ['an unclosed group', expression('('), 400, 'bad-expression', /RE2 syntax/],
    ['look-ahead', expression('(?=a)'), 400, 'bad-expression', /Look-around and back-references are not part of it/],
    [
      'a back-reference',
      expression('(a)\\1'),
      400,
      'bad-expression',
      /Look-around and back-references are not part of it/
    ],
    ['nested repetition', expression('(a{1000}){1000}'), 400, 'bad-expression', /at most 1000 are allowed together/],
    ['an expression that is too long', expression('a'.repeat(1001)), 400, 'bad-expression', /at most 1000 characters/],
    // 980 characters that compile to 140,000 instructions.
    [
      'an expression that compiles to too many instructions',
      expression('a{1000}'.repeat(140)),
      400,
      'bad-expression',
      /Counted repetitions/
    ],
    [
      'an expression that needs 4,000 steps per character',
      expression('((.?){100}){10}[^a-z0-9]$'),
      400,
      'bad-expression',
      /about 40\d\d instructions; at most 1000/
    ],
    ['an unclosed class for streams', get('/events?stream.regex=%5B'), 400, 'bad-expression', /RE2 syntax/]
  ],
  'pages of other origins': [
    [
      'an append from another origin',
      withHeaders({ origin: 'http://evil.example' }),
      403,
      'origin-refused',
      /http:\/\/evil\.example may not write/
    ],
    ['an append from the origin null', withHeaders({ origin: 'null' }), 403, 'origin-refused', /may not write/],
    [
      'an append from another port',
      withHeaders({ origin: 'http://localhost:81', host: 'localhost:80' }),
      403,
      'origin-refused',
      /may not/
    ],
    [
      'an append on /events from another origin',
      post('/events', '{"events":[{"stream":"s","type":"T"}]}', { ...JSON_TYPE, origin: 'http://evil.example' }),
      403,
      'origin-refused',
      /may not write/
    ]
  ],
  'unknown addresses and unsupported methods': [
    ['an unknown address', get('/nothing'), 404, 'not-found', /There is no resource at \/nothing/],
    ['an unknown problem', get('/problems/constructor'), 404, 'not-found', /no problem "constructor"/],
    ['a missing stream', get('/streams/never'), 404, 'stream-not-found', /ever written to "never"/],
    [
      'PUT on the log',
      { method: 'PUT', url: '/events', payload: 'x' },
      405,
      'method-not-allowed',
      /supports .*GET.*POST/
    ],
    ['POST on one event', post('/events/0', EVENT), 405, 'method-not-allowed', /supports .*GET/],
    ['DELETE of the metrics', { method: 'DELETE', url: '/metrics' }, 405, 'method-not-allowed', /supports .*GET/]
  ],
  'bad metadata': [
    ['an array', metadata('[]'), 400, 'invalid-metadata', /a JSON object/],
    ['a truncated document', metadata('{"maxCount":'), 400, 'malformed-json', /expected/],
    ['an empty body', metadata(''), 400, 'invalid-metadata', /a JSON object/],
    [
      'a count of 0',
      metadata('{"maxCount":0}'),
      400,
      'invalid-metadata',
      /"maxCount" must be a whole number from 1, not 0/
    ],
    [
      'a count as text',
      metadata('{"maxCount":"5"}'),
      400,
      'invalid-metadata',
      /"maxCount" must be a whole number from 1, not "5"/
    ],
    [
      'an age as a number',
      metadata('{"maxAge":60}'),
      400,
      'invalid-metadata',
      /"maxAge" must be text like "PT1H" or "P30D", not 60/
    ],
    ['an age of 0', metadata('{"maxAge":"PT0S"}'), 400, 'invalid-metadata', /from 1 second/],
    [
      'an age in months',
      metadata('{"maxAge":"P1M"}'),
      400,
      'invalid-metadata',
      /"maxAge" must be text like "PT1H" or "P30D", not "P1M"/
    ],
    [
      'a negative truncation',
      metadata('{"truncateBefore":-1}'),
      400,
      'invalid-metadata',
      /"truncateBefore" must be a whole number from 0, not -1/
    ],
    ['a truncation beyond 2^63', metadata('{"truncateBefore":99999999999999999999}'), 400, 'invalid-metadata', /2\^63/],
    ['an unknown right', metadata('{"acl":{"reed":"ann"}}'), 400, 'invalid-metadata', /Unknown name "reed"/],
    ['a number in the ACL', metadata('{"acl":{"read":5}}'), 400, 'invalid-metadata', /acl/],
    ['a key of the dialect', metadata('{"$maxCount":5}'), 400, 'invalid-metadata', /Use the name "maxCount" instead/],
    ['a patch that is not an object', patch('[1]'), 400, 'invalid-metadata', /a JSON object/],
    [
      'a patch with an invalid value',
      patch('{"maxCount":{"a":1}}'),
      400,
      'invalid-metadata',
      /"maxCount" must be a whole number from 1, not an object/
    ],
    [
      'metadata as text',
      metadata('{}', { 'content-type': 'text/plain' }),
      415,
      'unsupported-media-type',
      /application\/json/
    ],
    [
      'a wrong version of the metadata',
      metadata('{}', { ...JSON_TYPE, 'if-match': '"7"' }),
      412,
      'wrong-expected-version',
      /but it does not exist/
    ],
    ['an unquoted tag', metadata('{}', { ...JSON_TYPE, 'if-match': '7' }), 400, 'bad-condition', /in double quotes/]
  ],
  'bad deletes': [
    ['an unknown parameter', remove('?hard=true'), 400, 'unknown-parameter', /Unknown name "hard"/],
    ['text instead of a boolean', remove('?permanent=maybe'), 400, 'bad-parameter', /permanent/],
    [
      'a wrong version of the stream',
      remove('', { 'if-match': '"7"' }),
      412,
      'wrong-expected-version',
      /last event is number 0/
    ],
    [
      'a delete with If-None-Match: *',
      remove('', { 'if-none-match': '*' }),
      412,
      'wrong-expected-version',
      /does not exist/
    ],
    [
      'a delete of a missing stream',
      { method: 'DELETE', url: '/streams/never' },
      404,
      'stream-not-found',
      /ever written/
    ],
    ...INDEXES.map(
      (name): Row => [
        `a delete of ${name}`,
        { method: 'DELETE', url: `/streams/${name}` },
        400,
        'bad-stream-name',
        /is an index and cannot be deleted/
      ]
    ),
    [
      'a delete of the log',
      { method: 'DELETE', url: '/streams/$all' },
      400,
      'bad-stream-name',
      /log cannot be deleted/
    ],
    ['a delete of a metastream', { method: 'DELETE', url: '/streams/$$s' }, 400, 'bad-stream-name', /cannot be deleted/]
  ],
  'bad conditions on events': [
    [
      'no items',
      matching({ items: [] }),
      400,
      'bad-condition',
      /"failIfEventsMatch.items" must have 1 to 1000 entries; this one has 0/
    ],
    ['missing items', matching({}), 400, 'bad-condition', /items/],
    ['an empty item', matching({ items: [{}] }), 400, 'bad-condition', /./],
    [
      'an item with empty lists',
      matching({ items: [{ types: [], tags: [] }] }),
      400,
      'bad-condition',
      /at least one type or tag/
    ],
    ['an unknown member', matching({ items: [{ streams: ['s'] }] }), 400, 'bad-condition', /./],
    ['a type that is a number', matching({ items: [{ types: [1] }] }), 400, 'bad-condition', /./],
    ['text instead of a position', matching({ items: [{ types: ['T'] }] }, 'head'), 400, 'bad-condition', /./],
    [
      'a position beyond the head',
      matching({ items: [{ types: ['T'] }] }, 999),
      409,
      'cursor-beyond-head',
      /ends at 0/
    ],
    ['too many items', matching({ items: Array(1001).fill({ types: ['T'] }) }), 400, 'bad-condition', /1000/],
    [
      'too many items in total',
      conditioned(Array(40).fill({ failIfEventsMatch: { items: Array(30).fill({ tags: ['t'] }) } })),
      400,
      'bad-condition',
      /together may have at most 1000 items/
    ],
    ['a condition that fails', matching({ items: [{ types: ['T'] }] }), 412, 'events-match', /T at position 0/]
  ],
  'features that are not built yet': [
    ['where on a page', get('/events?where=data.a%3D1'), 501, 'not-implemented', /`where`/],
    ['where on a live read', get('/events?where=data.a%3D1&format=sse'), 501, 'not-implemented', /`where`/]
  ],
  'invalid live reads': [
    ['a bad cursor', get('/events?format=sse&after=x'), 400, 'bad-cursor', /"after" must be a cursor/],
    ['a bad Last-Event-ID', get('/events?format=sse', { 'last-event-id': 'x' }), 400, 'bad-cursor', /Last-Event-ID/],
    ['a cursor beyond the head', get('/events?live=true&after=99'), 409, 'cursor-beyond-head', /last event \(0\)/],
    ['an unknown filter', get('/streams/s?format=sse&typ=T'), 400, 'unknown-parameter', /did you mean "type"/],
    ['an invalid expression', get('/events?format=sse&type.regex=('), 400, 'bad-expression', /./],
    ['the order desc', get('/events?format=sse&order=desc'), 400, 'bad-parameter', /order=desc/],
    ['the format page', get('/events?live=true&format=page'), 406, 'not-acceptable', /x-ndjson, text\/event-stream/],
    ['an Accept of JSON', get('/events?live=true', { accept: 'application/json' }), 406, 'not-acceptable', /live/],
    ['a position that is not reached', get('/events?live=true&atLeast=9'), 409, 'not-there-yet', /./],
    ['an unknown consumer', get('/events?format=sse&consumer=c'), 404, 'consumer-not-found', /PUT \/consumers/],
    ['a consumer on a page', get('/events?consumer=c'), 400, 'bad-parameter', /\/consumers\/\{name\}\/events/],
    [
      'takeover without a consumer',
      get('/events?format=sse&takeover=true'),
      400,
      'bad-parameter',
      /requires "consumer"/
    ]
  ],
  'invalid consumers': [
    ['no source', consumer({}), 400, 'invalid-body', /"source" is missing/],
    ['a source without events', consumer({ source: '/info' }), 400, 'invalid-body', /\/events or \/streams/],
    [
      'a source with an unknown filter',
      consumer({ source: '/events?typ=T' }),
      400,
      'invalid-body',
      /did you mean "type"/
    ],
    ['a source with a bound', consumer({ source: '/events?from=3' }), 400, 'invalid-body', /Unknown name "from"/],
    [
      'a stream source with a filter by category',
      consumer({ source: '/streams/s?category=c' }),
      400,
      'invalid-body',
      /Unknown name "category"/
    ],
    ['a source that is invalid UTF-8', consumer({ source: '/streams/%ff' }), 400, 'invalid-body', /percent-encoded/],
    ['a source with a bad expression', consumer({ source: '/events?type.regex=(' }), 400, 'bad-expression', /./],
    ['an unknown member', consumer({ source: '/events', size: 5 }), 400, 'invalid-body', /Unknown name "size"/],
    ['a buffer size of 0', consumer({ source: '/events', bufferSize: 0 }), 400, 'invalid-body', /bufferSize/],
    ['text instead of a duration', consumer({ source: '/events', expiresAfter: '1 week' }), 400, 'invalid-body', /P7D/],
    [
      'a duration of 0',
      consumer({ source: '/events', expiresAfter: 'PT0S' }),
      400,
      'invalid-body',
      /longer than 0 seconds/
    ],
    ['a start beyond the head', consumer({ source: '/events', from: '99' }), 409, 'cursor-beyond-head', /./],
    [
      'text instead of a start',
      consumer({ source: '/events', from: 'later' }),
      400,
      'bad-cursor',
      /"from" must be a cursor/
    ],
    [
      'a name that is too long',
      consumer({ source: '/events' }, 'n'.repeat(201)),
      400,
      'bad-parameter',
      /1 to 200 characters/
    ],
    ['invalid JSON', { ...consumer({}), payload: 'source' }, 400, 'malformed-json', /./],
    ['a list instead of an object', { ...consumer({}), payload: '[]' }, 400, 'invalid-body', /a JSON object/]
  ],
  'missing consumers': [
    ['a look-up', get('/consumers/c'), 404, 'consumer-not-found', /PUT/],
    ['a read', get('/consumers/c/events'), 404, 'consumer-not-found', /PUT/],
    [
      'an acknowledgement',
      { ...consumer({ cursor: '0', generation: 0 }), method: 'POST', url: '/consumers/c/ack' },
      404,
      'consumer-not-found',
      /./
    ],
    [
      'a reset',
      { ...consumer({ to: 'start' }), method: 'POST', url: '/consumers/c/reset' },
      404,
      'consumer-not-found',
      /./
    ],
    ['a delete', { method: 'DELETE', url: '/consumers/c' }, 404, 'consumer-not-found', /./]
  ]
}

for (const [what, rows] of Object.entries(tables)) {
  t.test(`${what}: the response is a problem with the allowed values, and nothing is written`, async (t) => {
    const { app, store, directory } = await openApp(t)
    await append(app, 's', EVENT)
    for (const [why, request, status, code, detail] of rows) {
      const before = store.log.head
      const answer = await app.inject({ ...request, headers: { accept: '*/*', ...request.headers } })
      const says = `${why} (${request.method} ${String(request.url).slice(0, 60)})`
      t.match(problemOf(answer), { status, code, type: `/problems/${code}`, title: /./, detail }, says)
      const isRead = request.method === 'GET'
      if (!isRead) t.match(problemOf(answer), { written: false, retry: Boolean }, says)
      t.equal(answer.statusCode, status, `${says}: the response has the status of the problem`)
      t.equal(store.log.head, before, `${says}: nothing is written`)
    }
    await stillServes(t, app)
    await app.close()
    t.same((await checkDirectory(directory)).disagreements, [], 'log and index agree')
  })
}

t.test('a server on loopback accepts local host names only', async (t) => {
  const { app, store } = await openApp(t, { hosts: ['store.example'] })
  for (const host of ['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example', 'localhost:x']) {
    const answer = await app.inject(withHeaders({ host }))
    t.match(problemOf(answer), { status: 421, code: 'host-refused', detail: /loopback/ }, `"${host}" is refused`)
  }
  t.equal(store.log.head, -1, 'nothing is written')
  for (const host of ['localhost', 'localhost:2113', 'app.localhost', '127.0.0.1:1', '[::1]:2113', 'store.example:9']) {
    t.equal((await app.inject(withHeaders({ host }))).statusCode, 201, `"${host}" is accepted`)
  }
})

t.test('pages of the same origin and of allowed origins may write', async (t) => {
  const { app } = await openApp(t, { allowOrigins: ['https://app.example'] })
  const same = withHeaders({ origin: 'http://localhost:2113', host: 'localhost:2113' })
  t.equal((await app.inject(same)).statusCode, 201, 'the same origin')
  t.equal((await app.inject(withHeaders({ origin: 'https://app.example' }))).statusCode, 201, 'an allowed origin')
  t.equal(
    (await app.inject(withHeaders({ origin: 'http://app.example' }))).statusCode,
    403,
    'an allowed host with another scheme'
  )
})

t.test('a streamed write stops at its first bad line and writes nothing after it', async (t) => {
  const line = (stream: string, more = '') => `{"stream":"${stream}","type":"T"${more}}`
  const bad: [string, string, string, RegExp][] = [
    ['a truncated line', '{"stream":"b"', 'malformed-json', /^Line 2(, column \d+)?: /],
    ['no stream', '{"type":"T"}', 'invalid-event', /^Line 2: "stream" is missing/],
    ['an unknown member', line('b', ',"dta":1'), 'invalid-event', /^Line 2: .*did you mean "data/],
    ['a reserved stream', line('$all'), 'bad-stream-name', /^Line 2: .*reserved/],
    ['two events on a line', `${line('b')}${line('c')}`, 'malformed-json', /^Line 2: .*line breaks lost/],
    [
      'text and bytes in one event',
      line('b', ',"dataText":"a","dataBase64":"YQ=="'),
      'invalid-event',
      /^Line 2(, column \d+)?: /
    ],
    ['text and JSON in one event', line('b', ',"data":1,"dataText":"a"'), 'invalid-event', /^Line 2(, column \d+)?: /],
    ['text without a content type', line('b', ',"dataText":"a"'), 'invalid-event', /^Line 2: .*contentType/],
    [
      'invalid base64',
      line('b', ',"contentType":"text/plain","dataBase64":"%%"'),
      'invalid-event',
      /^Line 2(, column \d+)?: /
    ],
    // A record stores the length of the content type in one byte, and exports print it unescaped.
    [
      'a content type that is too long',
      line('b', `,"contentType":"text/${'x'.repeat(300)}","dataText":"a"`),
      'invalid-event',
      /^Line 2: .*contentType/
    ],
    [
      'a line break in a content type',
      line('b', ',"contentType":"a\\nb","dataText":"a"'),
      'invalid-event',
      /^Line 2(, column \d+)?: /
    ],
    [
      'a content type with characters beyond ASCII',
      line('b', ',"contentType":"text/€","dataText":"a"'),
      'invalid-event',
      /^Line 2(, column \d+)?: /
    ]
  ]
  for (const [why, text, code, detail] of bad) {
    const { app, store } = await openApp(t, { directory: t.testdir({}) })
    const answer = await app.inject(post('/events?batch=2', `${line('a')}\n${text}\n${line('c')}\n`, NDJSON_TYPE))
    const said = answer.body
      .trimEnd()
      .split('\n')
      .map((one) => JSON.parse(one))
    t.match(said, [{ receipt: { lines: 1, appended: 1, position: 0 } }, { problem: { code, detail } }], why)
    t.equal(store.log.head, 0, `${why}: only the line before is written`)
    await app.close()
  }
})

t.test('a streamed write with a too long line keeps the lines before it', async (t) => {
  const { app, store } = await openApp(t)
  const endless = `{"stream":"b","type":"T","data":"${'x'.repeat(9 * 1024 * 1024)}`
  const answer = await app.inject(post('/events?batch=2', `{"stream":"a","type":"T"}\n${endless}`, NDJSON_TYPE))
  const said = answer.body
    .trimEnd()
    .split('\n')
    .map((one) => JSON.parse(one))
  t.match(
    said.at(-1),
    { problem: { status: 413, code: 'event-too-large', detail: /more than/ } },
    'the last line of the response is the problem'
  )
  t.match(said[0], { receipt: { lines: 1, appended: 1, position: 0 } }, 'the line before has its receipt')
  t.equal(store.log.head, 0, 'the line before is written')
})

t.test('a streamed write with an invalid content encoding gets a 4xx problem', async (t) => {
  const { app, store } = await openApp(t)
  const line = '{"stream":"a","type":"T"}\n'
  const cases: [string, Buffer, RegExp][] = [
    ['lines that are not gzip', Buffer.from(line), /gzip/],
    ['a truncated gzip', gzipSync(line.repeat(2)).subarray(0, 20), /gzip/]
  ]
  for (const [why, bytes, detail] of cases) {
    const headers = { ...NDJSON_TYPE, 'content-encoding': 'gzip' }
    const answer = await app.inject(post('/events', bytes, headers))
    const last = JSON.parse(answer.body.trimEnd().split('\n').at(-1) as string)
    t.match(last.problem ?? last, { status: 400, code: 'bad-encoding', detail }, why)
  }
  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, 0x61))
  const answer = await app.inject(post('/events', bomb, { ...NDJSON_TYPE, 'content-encoding': 'gzip' }))
  t.match(JSON.parse(answer.body), { problem: { status: 413, code: 'event-too-large' } }, 'a gzip bomb in one line')
  t.equal(store.log.head, -1, 'nothing is written')
})

t.test('names of members of Object.prototype are ordinary data', async (t) => {
  const { app } = await openApp(t)
  const data =
    '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"toString":null,"hasOwnProperty":[{"__proto__":[]}]}'
  for (const name of ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty']) {
    const body = `{"type":"${name}","tags":["${name}"],"data":${data},"metadata":${data}}`
    t.equal((await append(app, name, body)).statusCode, 201, `a stream and a type "${name}"`)
    const line = (await app.inject(`/streams/${name}?format=ndjson`)).body
    t.ok(line.includes(`"data":${data},"metadata":${data}}`), `"${name}": data and metadata are returned byte for byte`)
    t.equal((await app.inject(`/events?type=${name}&tag=${name}`)).json().events.length, 1, `found by "${name}"`)
    const many = `{"events":[{"stream":"${name}","type":"T"}],"conditions":[{"stream":"${name}","head":0}]}`
    const { heads } = (await app.inject(post('/events', many))).json()
    t.same(Object.entries(heads), [[name, 1]], `a condition on "${name}" is checked`)
  }
  t.equal(({} as { polluted?: number }).polluted, undefined, 'no prototype has changed')
})

t.test('a malformed HTTP message gets a problem', async (t) => {
  const { raw, store } = await listenRaw(t)
  const rows: [string, string, number][] = [
    ['a broken request line', 'GARBAGE\r\n\r\n', 400],
    ['a header without a colon', 'GET / HTTP/1.1\r\nHost localhost\r\n\r\n', 400],
    ['a control character in a header', 'GET / HTTP/1.1\r\nHost: localhost\r\nX: \x01\r\n\r\n', 400],
    ['a negative length', 'POST /streams/s HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n', 400],
    [
      'two lengths',
      'POST /streams/s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}',
      400
    ],
    [
      'a length and chunks',
      'POST /streams/s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400
    ],
    [
      'a bad chunk',
      'POST /streams/s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
      400
    ],
    ['a header that is too long', `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
    ['an address that is too long', `GET /streams/${'x'.repeat(20_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`, 431],
    ['no Host', 'GET /events HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
    [
      'an unknown expectation',
      'POST /streams/s HTTP/1.1\r\nHost: localhost\r\nExpect: a-pony\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
      417
    ]
  ]
  for (const [why, bytes, status] of rows) {
    const answer = await raw(bytes)
    t.equal(answer.status, status, `${why}: ${answer.text.slice(0, 60)}`)
    t.match(answer.headers['content-type'], /^application\/problem\+json/, `${why}: the answer is a problem`)
    t.match(answer.json(), { status, code: /./, detail: /./ }, `${why}: the problem has a code and a detail`)
  }
  t.equal(store.log.head, -1, 'nothing is written')
})

t.test('a broken transfer of a streamed write ends the response without a second one inside it', async (t) => {
  const { connect } = await listenRaw(t)
  const line = '{"stream":"a","type":"T"}\n'
  const socket = connect()
  socket.write(
    'POST /events?batch=1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n'
  )
  socket.write(`${line.length.toString(16)}\r\n${line}\r\n`)
  await socket.until(/"receipt"/)
  socket.write('not a chunk\r\n')
  const text = await socket.closed
  t.match(text, /^HTTP\/1\.1 200 /, 'the client gets the receipt')
  t.equal(text.match(/HTTP\/1\.1/g)?.length, 1, 'the connection has one response')
  t.notMatch(text, /\r\n0\r\n\r\n$/, 'the response is incomplete')
})

function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `t${i}`)
}

function expression(text: string): InjectOptions {
  return get(`/events?type.regex=${encodeURIComponent(text)}`)
}

function withEncoding(url: string, encoding: string, payload: Buffer): InjectOptions {
  return post(url, payload, { ...JSON_TYPE, 'content-encoding': encoding })
}

/** Returns the problem of a response, or a description of a response that is not a problem. */
function problemOf(answer: { headers: Record<string, unknown>; body: string; statusCode: number }): unknown {
  const type = String(answer.headers['content-type'])
  if (!type.startsWith('application/problem+json'))
    return { noProblem: type, status: answer.statusCode, body: answer.body }
  return JSON.parse(answer.body)
}

async function stillServes(t: Test, app: FastifyInstance): Promise<void> {
  const appended = await append(app, 's', { type: 'Good', data: 1 })
  t.equal(appended.statusCode, 201, 'an ordinary append is accepted afterwards')
  const { head } = appended.json()
  t.match(
    (await app.inject(`/streams/s/${head}`)).json(),
    { type: 'Good', data: 1, number: head },
    'the event can be read'
  )
}
