/**
 * Problems (RFC 9457, native contract §6): one total table from code to status, title and page. A code without a row
 * does not compile.
 */
import type { DaybookError, ErrorCode } from '../../../src/errors.js'

export interface ProblemKind {
  readonly status: number
  readonly title: string
  /** What the page at /problems/{code} says: when it happens and what to do. */
  readonly help: string
}

export const problemKinds = {
  complete: {
    status: 200,
    title: 'Complete',
    help: 'Not an error: everything that a live reader asked for was sent. It need not come back.'
  },
  'too-slow': {
    status: 503,
    title: 'Too slow',
    help: 'A live reader took nothing for too long. It goes on from the cursor that it was told last.'
  },
  'bad-frame': {
    status: 400,
    title: 'Bad frame',
    help: 'Over WebSocket a client sends `{"frame":"ack","cursor":"41"}` (as a named consumer), `{"frame":"credit","events":100}`, `{"frame":"subscribe","sub":"a","source":"/streams/x"}` and `{"frame":"unsubscribe","sub":"a"}`; the first two may carry `sub`, too. The connection stays.'
  },
  'not-acknowledged': {
    status: 408,
    title: 'Not acknowledged',
    help: 'What was sent to a named consumer was sent again as often as `maxRetryCount` allows, and never acknowledged. It goes on after its last acknowledgement when it comes back.'
  },
  'limit-reached': {
    status: 409,
    title: 'Limit reached',
    help: 'There are as many as there may be (`limit`). Waiting does not help: remove some that nobody needs.'
  },
  'consumer-not-found': {
    status: 404,
    title: 'No such consumer',
    help: 'PUT /consumers/{name} with a `source` makes it. A GET never does.'
  },
  'consumer-exists': {
    status: 409,
    title: 'Another consumer has this name',
    help: '`differs` names what is not the same. DELETE it to make it anew, or POST /consumers/{name}/reset to move its place.'
  },
  'consumer-in-use': {
    status: 409,
    title: 'Consumer in use',
    help: 'One connection reads for a consumer. `takeover=true` ends it and begins a new generation.'
  },
  'consumer-removed': {
    status: 410,
    title: 'Consumer removed',
    help: 'It was deleted, or nobody came for twice its `expiresAfter`. PUT makes it anew.'
  },
  'stale-generation': {
    status: 409,
    title: 'An older generation',
    help: 'Since this reader came, another took the consumer over, or it was reset. Nothing was moved. Read again to get the present generation.'
  },
  'not-sent': {
    status: 409,
    title: 'Not sent',
    help: 'Only what was sent can be acknowledged. `last` is the last cursor that was.'
  },
  'malformed-json': {
    status: 400,
    title: 'Malformed JSON',
    help: 'The body is not JSON as RFC 8259 defines it. `detail` says where. A member name may stand only once.'
  },
  'invalid-utf8': {
    status: 400,
    title: 'Not UTF-8',
    help: 'JSON and text are UTF-8. Send other bytes as application/octet-stream with an Event-Type header.'
  },
  'invalid-body': {
    status: 400,
    title: 'Invalid body',
    help: 'The body is JSON but not what this address takes. `detail` names the member and what is allowed.'
  },
  'empty-batch': { status: 400, title: 'Nothing to append', help: 'An append has at least one event.' },
  'invalid-event': {
    status: 400,
    title: 'Invalid event',
    help: 'An event is an object with a `type` and optionally `data`, `metadata`, `id`, `occurred` and `tags`. `index` (or `line`) says which one.'
  },
  'invalid-metadata': {
    status: 400,
    title: 'Invalid stream metadata',
    help: 'Stream metadata is a JSON object: `maxAge`, `maxCount`, `truncateBefore`, `cacheControl`, `acl`, and members of your own. A member that would have no effect is refused, by an import too; `member` names it.'
  },
  'bad-event-id': {
    status: 400,
    title: 'Bad event id',
    help: 'An event id is a UUID, and stands once in a batch. One of the form that this log makes must be of an event that exists.'
  },
  'bad-tag': {
    status: 400,
    title: 'Bad tag',
    help: 'At most 32 tags of at most 256 bytes, without control characters.'
  },
  'bad-instant': {
    status: 400,
    title: 'Bad instant',
    help: 'An instant is RFC 3339 (2026-11-23T10:15:30Z), a date (2026-11-23) or an age (-15m, with s, m, h, d or w).'
  },
  'bad-cursor': {
    status: 400,
    title: 'Bad cursor',
    help: 'A bound is a cursor that was read here, `start`, `end`, or an instant.'
  },
  'bad-parameter': {
    status: 400,
    title: 'Bad parameter',
    help: 'A query parameter has a value that is not allowed. `detail` says which and what is.'
  },
  'unknown-parameter': {
    status: 400,
    title: 'Unknown parameter',
    help: 'No parameter is ignored: a mistyped filter would silently show the wrong events. `detail` names the nearest known one.'
  },
  'bad-expression': {
    status: 400,
    title: 'Bad expression',
    help: 'Expressions have RE2 syntax, which runs in linear time: no look-around, no back-references. Those of one read are bounded in length and in the instructions that they compile to.'
  },
  'bad-stream-name': {
    status: 400,
    title: 'Bad stream name',
    help: 'A name has 1 to 1024 bytes of UTF-8, no control characters, and is not "." or "..". The `$$` of metadata and the prefix of an index stream are not counted. Some names that begin with `$` are reserved.'
  },
  'bad-condition': {
    status: 400,
    title: 'Bad condition',
    help: '`If-Match: "7"`, `If-Match: *` or `If-None-Match: *`; on POST /events `{"stream","head"}` with a number, "none" or "exists". Conditions that disagree are refused.'
  },
  'bad-header': {
    status: 400,
    title: 'Bad header',
    help: 'A request header has a value that is not allowed. `detail` says which and what is.'
  },
  'bad-encoding': {
    status: 400,
    title: 'Bad content encoding',
    help: 'The body is not what its Content-Encoding says.'
  },
  'missing-event-type': {
    status: 400,
    title: 'Event type missing',
    help: 'This content type carries bare data: name the type in an Event-Type header.'
  },
  'bad-request': {
    status: 400,
    title: 'Bad request',
    help: 'The request is not well-formed HTTP, or its path is not.'
  },
  'sign-in-required': {
    status: 401,
    title: 'Sign in required',
    help: 'This needs an account: send `Authorization: Basic` with login and password (curl -u login:password), or `Authorization: Bearer` with a token. Where headers cannot be set, `?ticket=` with what POST /tickets gives.'
  },
  'wrong-credentials': {
    status: 401,
    title: 'Wrong credentials',
    help: 'There is no such account or token, the password is another one, it was disabled or revoked, or its time is over. Which of them is not said.'
  },
  'not-permitted': {
    status: 403,
    title: 'Not permitted',
    help: 'You are known, and may not do this. Access rules stand in the metadata of the stream (`acl`) and in `$settings`; a token may do less than its account.'
  },
  'tls-required': {
    status: 403,
    title: 'TLS required',
    help: 'Credentials were sent in plain text to a server that others can reach. Treat that password or token as compromised. Use https://, or serve with --tls-cert and --tls-key, or behind a proxy with --trust-proxy.'
  },
  'too-many-attempts': {
    status: 429,
    title: 'Too many attempts',
    help: 'Too many sign-ins from this address failed. `Retry-After` says when the next one is looked at.'
  },
  'too-many-requests': {
    status: 429,
    title: 'Too many requests',
    help: 'This address asks more often than the server allows. `Retry-After` says when to go on.'
  },
  'too-many-connections': {
    status: 429,
    title: 'Too many connections',
    help: 'This address has as many connections open as it may. Close some, or use them for several requests.'
  },
  'wrong-password': {
    status: 401,
    title: 'Wrong password',
    help: 'To change a password, the current one is needed.'
  },
  'invalid-user': {
    status: 400,
    title: 'Invalid user',
    help: 'A login is a name without ":" that does not begin with "$"; a password has 1 to 1024 bytes.'
  },
  'user-not-found': { status: 404, title: 'No such user', help: 'Logins are compared byte for byte.' },
  'user-exists': { status: 409, title: 'User exists', help: 'An account has this login, with another password.' },
  'last-administrator': {
    status: 409,
    title: 'Last administrator',
    help: 'Nobody else could administrate then. Make somebody else an administrator first.'
  },
  'token-not-found': {
    status: 404,
    title: 'No such token',
    help: "It was revoked, or is somebody else's. GET /tokens lists those that you may revoke."
  },
  'host-refused': {
    status: 421,
    title: 'Host refused',
    help: 'A server that listens on loopback answers only to local names, so that no web page can reach it by a name of its own. Add a name with --allow-host.'
  },
  'origin-refused': {
    status: 403,
    title: 'Origin refused',
    help: 'A web page of another origin may not do this here. On loopback pages of this machine may read, follow and write, without credentials. If the page is yours, start the server with --allow-origin and its origin (--allow-origin https://app.example): then it may do what its users may.'
  },
  'not-found': { status: 404, title: 'Not found', help: 'Nothing lives at this address. `/` lists what does.' },
  'method-not-allowed': {
    status: 405,
    title: 'Method not allowed',
    help: 'The address exists; `Allow` lists its methods.'
  },
  'upgrade-lost': {
    status: 426,
    title: 'Upgrade lost',
    help: 'A WebSocket handshake came without its "Upgrade: websocket". A proxy in front removes the headers Upgrade and Connection, as nginx does unless it is told to pass them on: `proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;`. Event streams (Accept: text/event-stream) and lines (live=true) need no upgrade.'
  },
  'expectation-failed': {
    status: 417,
    title: 'Expectation failed',
    help: 'The only expectation this server knows is `Expect: 100-continue`.'
  },
  'not-acceptable': {
    status: 406,
    title: 'Not acceptable',
    help: 'The address has no representation that `Accept` (or `format`) asks for. `available` lists them.'
  },
  'unsupported-media-type': {
    status: 415,
    title: 'Unsupported media type',
    help: 'The body has a content type that is not taken here. `Accept-Post` lists those that are.'
  },
  'request-timeout': {
    status: 408,
    title: 'Request timeout',
    help: 'The request did not arrive within the time a request may take.'
  },
  'uri-too-long': { status: 414, title: 'URI too long', help: 'The address is longer than the server takes.' },
  'headers-too-large': {
    status: 431,
    title: 'Headers too large',
    help: 'The request headers are larger than the server takes.'
  },
  'body-too-large': {
    status: 413,
    title: 'Body too large',
    help: 'A body has at most 32 MiB, after decompression. Send larger imports as a streamed write: NDJSON to POST /events?batch=500.'
  },
  'event-too-large': {
    status: 413,
    title: 'Event too large',
    help: 'Data and metadata of one event have at most 4 MiB together.'
  },
  'batch-too-large': { status: 413, title: 'Batch too large', help: 'One atomic batch has at most 4096 events.' },
  'page-too-large': {
    status: 400,
    title: 'Page too large',
    help: 'The events of this page are too large for one answer. Ask for fewer of them.'
  },
  'stream-not-found': { status: 404, title: 'Stream not found', help: 'Nothing was ever written to this stream.' },
  'stream-deleted': {
    status: 410,
    title: 'Stream deleted',
    help: 'The stream was deleted for ever: nothing can be read from it or appended to it.'
  },
  'event-not-found': {
    status: 404,
    title: 'Event not found',
    help: 'The stream or the log has not come so far; `head` names the last event.'
  },
  'event-removed': {
    status: 410,
    title: 'Event removed',
    help: 'The event was there and was removed. Its place stays.'
  },
  'cursor-beyond-head': {
    status: 409,
    title: 'Cursor beyond the head',
    help: 'The cursor points past the last event. It comes from another log, or this one was restored from an older backup: compare `log` with the one you know. A request that names its log in `Daybook-Log` is told where to go on.'
  },
  'log-changed': {
    status: 409,
    title: 'Another log',
    help: 'The cursor was read from the log that `Daybook-Log` (or `log`) of the request names. That log has lost its end or was restored, or is an unrelated one; here its positions and numbers stand for other events. `upTo` is the last position that both logs have in common, and `cursor` the cursor to go on from; events that were read after it are not in this log. Without `upTo` the logs have nothing in common: read from the start. From then on name the log that `log` says.'
  },
  'not-there-yet': {
    status: 409,
    title: 'Not there yet',
    help: 'The log has not reached the position asked for with `atLeast`. Ask again, or give a longer `wait`.'
  },
  'wrong-expected-version': {
    status: 412,
    title: 'Wrong expected version',
    help: 'The stream is not where the condition says. `head` is where it is, `missed` what was written in between. Read, decide again, append again.'
  },
  'events-match': {
    status: 412,
    title: 'Events in the way',
    help: 'An append said that no such event may be in the log (failIfEventsMatch), and there is one. `failed` names each condition that failed, with the position and type of the first event in the way. Read from there, decide again, append again.'
  },
  'event-id-reused': {
    status: 409,
    title: 'Event id reused',
    help: 'The stream holds an event with this id and other content. An id stands for one event; a retry sends the same content.'
  },
  'idempotency-key-reused': {
    status: 422,
    title: 'Idempotency-Key reused',
    help: 'The key was used on this stream for other events.'
  },
  'partial-replay': {
    status: 409,
    title: 'Partial replay',
    help: 'Some events of the batch are in the stream already and some are not, so it is neither a retry nor new.'
  },
  'not-implemented': {
    status: 501,
    title: 'Not implemented',
    help: 'The contract knows this, and this version of the server does not yet; or no address has this method.'
  },
  'index-switched-off': {
    status: 409,
    title: 'Index switched off',
    help: 'The server runs with --run-projections=none and keeps no lists of categories and types.'
  },
  overloaded: {
    status: 503,
    title: 'Overloaded',
    help: 'More is asked than can be done at this moment. Nothing was written; wait as long as Retry-After says and ask again.'
  },
  starting: { status: 503, title: 'Starting', help: 'The end of the log is being checked. `reason` says how far.' },
  stopping: { status: 503, title: 'Stopping', help: 'The server is going down; nothing was written.' },
  'read-only': {
    status: 507,
    title: 'Read-only',
    help: 'The disk is full, or refused a write. Reads go on; appends come back by themselves when there is space. `written` is false when nothing of this append is in the log, and "unknown" when it may be: send it again with the same ids.'
  },
  'storage-failed': {
    status: 500,
    title: 'Storage failed',
    help: 'The disk refused. `written` is false when nothing of the append is in the log, and "unknown" when it may be: send it again with the same ids.'
  },
  'index-damaged': {
    status: 500,
    title: 'Index damaged',
    help: 'An entry of the index on disk is not what was written. The log is the truth: stop the server, run "daybook verify --rebuild-index", start it again.'
  },
  'log-damaged': {
    status: 500,
    title: 'Log damaged',
    help: 'A record that was written cannot be read. `daybook verify` names everything that is wrong.'
  },
  internal: { status: 500, title: 'Internal error', help: 'A bug in the server. The log has it under the request id.' },
  'bad-configuration': {
    status: 409,
    title: 'Bad configuration',
    help: 'A flag, a variable or the config file is wrong. What there was before goes on.'
  },
  'directory-in-use': { status: 500, title: 'Directory in use', help: 'Another process holds the data directory.' },
  'directory-unusable': {
    status: 500,
    title: 'Directory unusable',
    help: 'The data directory cannot be opened or written.'
  },
  'format-unknown': { status: 500, title: 'Format unknown', help: 'The data directory was made by another version.' },
  'address-in-use': { status: 500, title: 'Address in use', help: 'Another process listens on the port.' },
  'resource-unusable': {
    status: 409,
    title: 'Resource unusable',
    help: 'A file or an address that a setting names cannot be used; `detail` says which, and why. What there was before goes on.'
  },
  'server-unreachable': {
    status: 502,
    title: 'Server unreachable',
    help: 'Nobody answers at the address a command was given.'
  },
  'import-refused': { status: 409, title: 'Import refused', help: 'The import cannot go on; `detail` says why.' }
} as const satisfies Record<ErrorCode, ProblemKind>

export interface Problem {
  type: string
  code: string
  title: string
  status: number
  detail: string
  requestId?: string
  [member: string]: unknown
}

/** What a problem says of the request that it answers. */
export interface Refused {
  readonly id: string
  /** The path under which a proxy shows this server; `''` for none. */
  readonly prefix?: string
}

/** The problem a client sees. A 5xx that is not about load or state shows no internals. */
export function problemOf(error: DaybookError, request?: Refused): Problem {
  const kind: ProblemKind = problemKinds[error.code]
  const hidden = kind.status === 500
  const { prefix = '', id: requestId } = request ?? {}
  return {
    type: `${prefix}/problems/${error.code}`,
    code: error.code,
    title: kind.title,
    status: kind.status,
    detail: hidden ? kind.help : error.message,
    ...(requestId !== undefined && { requestId }),
    ...(hidden ? pick(error.details, ['written', 'retry']) : shownBehind(prefix, error.details))
  }
}

/** The members of a problem, the addresses among its `links` as the client reaches them. */
function shownBehind(prefix: string, { links, ...details }: Record<string, unknown>): Record<string, unknown> {
  if (links === undefined) return details
  const shown = Object.entries(links as Record<string, string>).map(([name, path]) => [name, prefix + path])
  return { ...details, links: Object.fromEntries(shown) }
}

function pick(details: Record<string, unknown>, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(details).filter(([name]) => names.includes(name)))
}
