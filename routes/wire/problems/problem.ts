/**
 * Problem documents (RFC 9457, native contract §6). One table maps every error code to its status, title and help page.
 * A code without a row does not compile.
 */
import type { DaybookError, ErrorCode } from '../../../src/errors.js'

export interface ProblemKind {
  readonly status: number
  readonly title: string
  /** Text of the page at /problems/{code}: when the problem happens and what to do about it. */
  readonly help: string
}

export const problemKinds = {
  complete: {
    status: 200,
    title: 'Complete',
    help: 'Not an error. The server has sent every event that the live read asked for. There is no need to reconnect.'
  },
  'too-slow': {
    status: 503,
    title: 'Too slow',
    help: 'The client of a live read accepted no data for too long, so the server ended the connection. Reconnect and continue after the last cursor you received.'
  },
  'bad-frame': {
    status: 400,
    title: 'Bad frame',
    help: 'The client sent a WebSocket frame that the server does not understand. Valid frames are `{"frame":"ack","cursor":"41"}` (named consumers only), `{"frame":"credit","events":100}`, `{"frame":"subscribe","sub":"a","source":"/streams/x"}` and `{"frame":"unsubscribe","sub":"a"}`. `ack` and `credit` may also carry `sub`. The connection stays open.'
  },
  'not-acknowledged': {
    status: 408,
    title: 'Not acknowledged',
    help: 'A named consumer did not acknowledge its events, although they were sent again as often as `maxRetryCount` allows. The server ended the connection. After a reconnect, the consumer continues after its last acknowledgement.'
  },
  'limit-reached': {
    status: 409,
    title: 'Limit reached',
    help: 'The maximum number of these resources exists already (`limit`). Waiting does not help: delete those that are no longer needed.'
  },
  'consumer-not-found': {
    status: 404,
    title: 'No such consumer',
    help: 'No consumer has this name. Create it with PUT /consumers/{name} and a `source`. Reading never creates a consumer.'
  },
  'consumer-exists': {
    status: 409,
    title: 'Another consumer has this name',
    help: 'A consumer with this name exists and has another definition. `differs` names the members that differ. To redefine the consumer, DELETE it and PUT it again. To move only its position, POST /consumers/{name}/reset.'
  },
  'consumer-in-use': {
    status: 409,
    title: 'Consumer in use',
    help: 'Another connection reads for this consumer, and only one may. Wait until it ends, or read with `takeover=true`: that ends the other connection and begins a new generation.'
  },
  'consumer-removed': {
    status: 410,
    title: 'Consumer removed',
    help: 'The consumer was deleted, or no client read for it during twice its `expiresAfter`. Create it again with PUT /consumers/{name}.'
  },
  'stale-generation': {
    status: 409,
    title: 'Stale generation',
    help: 'The connection or acknowledgement belongs to an older generation: since then another connection took the consumer over, or the consumer was reset. The acknowledgement has no effect. Read for the consumer again to get the current generation.'
  },
  'not-sent': {
    status: 409,
    title: 'Event not sent yet',
    help: 'The acknowledgement names a cursor after the last event that was sent to this consumer. Acknowledge `last`, the last cursor that was sent, or an earlier one.'
  },
  'malformed-json': {
    status: 400,
    title: 'Malformed JSON',
    help: 'The body is not valid JSON (RFC 8259), or an object repeats a member name. `detail` says where.'
  },
  'invalid-utf8': {
    status: 400,
    title: 'Not UTF-8',
    help: 'JSON and text must be encoded as UTF-8. Send other bytes as application/octet-stream with an Event-Type header.'
  },
  'invalid-body': {
    status: 400,
    title: 'Invalid body',
    help: 'The body is valid JSON, but does not have the members or values that this address requires. `detail` names the wrong member and what is allowed.'
  },
  'empty-batch': {
    status: 400,
    title: 'Nothing to append',
    help: 'The append contains no event. Send at least one.'
  },
  'invalid-event': {
    status: 400,
    title: 'Invalid event',
    help: 'An event must be an object with a `type`, and optionally `data`, `metadata`, `id`, `occurred` and `tags`. `index` (or, in NDJSON, `line`) says which event is wrong.'
  },
  'invalid-metadata': {
    status: 400,
    title: 'Invalid stream metadata',
    help: 'Stream metadata must be a JSON object with `maxAge`, `maxCount`, `truncateBefore`, `cacheControl`, `acl` or members of your own. A member that would have no effect (an invalid value or a misspelled name) is refused, also in an import; `member` names it.'
  },
  'bad-event-id': {
    status: 400,
    title: 'Bad event id',
    help: 'An event id must be a UUID that occurs once in the batch. An id of the form that this log generates itself is accepted only when an event with this id exists.'
  },
  'bad-tag': {
    status: 400,
    title: 'Bad tag',
    help: 'An event may have at most 32 tags. A tag has 1 to 256 bytes and no control characters.'
  },
  'bad-instant': {
    status: 400,
    title: 'Bad instant',
    help: 'An instant must be an RFC 3339 time (2026-11-23T10:15:30Z), a date (2026-11-23) or an age (-15m; units s, m, h, d, w).'
  },
  'bad-cursor': {
    status: 400,
    title: 'Bad cursor',
    help: 'A bound must be a cursor that this server returned, `start`, `end` or an instant.'
  },
  'bad-parameter': {
    status: 400,
    title: 'Bad parameter',
    help: 'A query parameter has a value that is not allowed. `detail` names the parameter and the allowed values.'
  },
  'unknown-parameter': {
    status: 400,
    title: 'Unknown parameter',
    help: 'This address does not know a query parameter of the request. Unknown parameters are refused, because a mistyped filter would silently return the wrong events. `detail` names the most similar known parameter.'
  },
  'bad-expression': {
    status: 400,
    title: 'Bad expression',
    help: 'A regular expression is invalid or too large. Use RE2 syntax, which runs in linear time and has no look-around and no back-references. All expressions of one read together are limited in length and in the number of instructions that they compile to.'
  },
  'bad-stream-name': {
    status: 400,
    title: 'Bad stream name',
    help: 'A stream name has 1 to 1024 bytes of UTF-8 and no control characters, and is not "." or "..". The prefix `$$` of a metadata stream and the prefix of an index stream do not count. Some names that begin with `$` are reserved.'
  },
  'bad-condition': {
    status: 400,
    title: 'Bad condition',
    help: 'A condition of the append is invalid, or two conditions contradict each other. Use `If-Match: "7"`, `If-Match: *` or `If-None-Match: *`; on POST /events `{"stream":"cart-1","head":7}`, with a number, "none" or "exists" as `head`.'
  },
  'bad-header': {
    status: 400,
    title: 'Bad header',
    help: 'A request header has a value that is not allowed. `detail` names the header and the allowed values.'
  },
  'bad-encoding': {
    status: 400,
    title: 'Bad content encoding',
    help: 'The body cannot be decoded as its Content-Encoding says. Compress it again, or send it without Content-Encoding.'
  },
  'missing-event-type': {
    status: 400,
    title: 'Event type missing',
    help: 'A body of this content type is the bare data of one event. Name the type of the event in an Event-Type header.'
  },
  'bad-request': {
    status: 400,
    title: 'Bad request',
    help: 'The request or its path is not well-formed HTTP.'
  },
  'sign-in-required': {
    status: 401,
    title: 'Sign in required',
    help: 'This request requires an account. Send `Authorization: Basic` with login and password (curl -u login:password), or `Authorization: Bearer` with a token. Where no header can be set, get a ticket from POST /tickets and send it as `?ticket=`.'
  },
  'wrong-credentials': {
    status: 401,
    title: 'Wrong credentials',
    help: 'The account or token does not exist, the password is wrong, the account is disabled, or the token is revoked or expired. For security the server does not say which.'
  },
  'not-permitted': {
    status: 403,
    title: 'Not permitted',
    help: 'The account may not do this. Access rules are in the metadata of the stream (`acl`) and in `$settings`. A token may have fewer rights than its account.'
  },
  'tls-required': {
    status: 403,
    title: 'TLS required',
    help: 'Credentials were sent in plain text to a server that other machines can reach. Treat that password or token as compromised. Use https://: start the server with --tls-cert and --tls-key, or behind a TLS proxy with --trust-proxy.'
  },
  'too-many-attempts': {
    status: 429,
    title: 'Too many attempts',
    help: 'Too many sign-ins from this IP address failed. Retry after the seconds in `Retry-After`; sign-ins before that are not checked.'
  },
  'too-many-requests': {
    status: 429,
    title: 'Too many requests',
    help: 'This IP address sends more requests than the server allows. Retry after the seconds in `Retry-After`.'
  },
  'too-many-connections': {
    status: 429,
    title: 'Too many connections',
    help: 'This IP address has the maximum number of connections open. Close some, or reuse them for several requests.'
  },
  'wrong-password': {
    status: 401,
    title: 'Wrong password',
    help: 'The current password is wrong. To change a password, send the current one as well.'
  },
  'invalid-user': {
    status: 400,
    title: 'Invalid user',
    help: 'A login must not contain ":" or begin with "$". A password has 1 to 1024 bytes.'
  },
  'user-not-found': {
    status: 404,
    title: 'No such user',
    help: 'No account has this login. Logins are case-sensitive: they are compared byte for byte.'
  },
  'user-exists': {
    status: 409,
    title: 'User exists',
    help: 'An account with this login exists already; its password is different, or it is disabled. Choose another login.'
  },
  'last-administrator': {
    status: 409,
    title: 'Last administrator',
    help: 'This would leave the server without an administrator. Make another account an administrator first.'
  },
  'token-not-found': {
    status: 404,
    title: 'No such token',
    help: 'The token was revoked, or belongs to another account. GET /tokens lists the tokens that you may revoke.'
  },
  'host-refused': {
    status: 421,
    title: 'Host refused',
    help: 'The Host header names another host. A server that listens on loopback answers only to local host names; this prevents attacks by DNS rebinding. To allow another name, start the server with --allow-host.'
  },
  'origin-refused': {
    status: 403,
    title: 'Origin refused',
    help: 'A web page of another origin sent this request, and may not do so. If the server listens on loopback, pages served from this machine may read, follow and write without credentials. If the page is yours, start the server with --allow-origin and the origin of the page (--allow-origin https://app.example). The page then has the rights of its users.'
  },
  'not-found': {
    status: 404,
    title: 'Not found',
    help: 'The server has no resource at this address. `GET /` lists the main addresses.'
  },
  'method-not-allowed': {
    status: 405,
    title: 'Method not allowed',
    help: 'The address exists, but not with this method. `Allow` lists its methods.'
  },
  'upgrade-lost': {
    status: 426,
    title: 'Upgrade header missing',
    help: 'A WebSocket handshake arrived without its "Upgrade: websocket" header. Probably a proxy removed the headers Upgrade and Connection. nginx does so unless configured otherwise: `proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;`. Server-sent events (Accept: text/event-stream) and NDJSON (live=true) need no upgrade.'
  },
  'expectation-failed': {
    status: 417,
    title: 'Expectation failed',
    help: 'The `Expect` header has an unknown value. The only one this server supports is `Expect: 100-continue`.'
  },
  'not-acceptable': {
    status: 406,
    title: 'Not acceptable',
    help: 'The address has none of the formats that `Accept` (or `format`) asks for. `available` lists its formats.'
  },
  'unsupported-media-type': {
    status: 415,
    title: 'Unsupported media type',
    help: 'This address does not accept bodies of this content type. `Accept-Post` lists the content types that it accepts.'
  },
  'request-timeout': {
    status: 408,
    title: 'Request timeout',
    help: 'The whole request did not arrive within the time limit. Send it again.'
  },
  'uri-too-long': { status: 414, title: 'URI too long', help: 'The address is longer than the server accepts.' },
  'headers-too-large': {
    status: 431,
    title: 'Headers too large',
    help: 'The request headers are larger than the server accepts.'
  },
  'body-too-large': {
    status: 413,
    title: 'Body too large',
    help: 'A body may have at most 32 MiB after decompression. Send larger imports as a streamed write: NDJSON to POST /events?batch=500.'
  },
  'event-too-large': {
    status: 413,
    title: 'Event too large',
    help: 'Data and metadata of one event may have at most 4 MiB together.'
  },
  'batch-too-large': {
    status: 413,
    title: 'Batch too large',
    help: 'One atomic batch may have at most 4096 events. Append the others in further batches.'
  },
  'page-too-large': {
    status: 400,
    title: 'Page too large',
    help: 'The events of this page are too large for one response. Request fewer events per page.'
  },
  'stream-not-found': { status: 404, title: 'Stream not found', help: 'No event was ever written to this stream.' },
  'stream-deleted': {
    status: 410,
    title: 'Stream deleted',
    help: 'The stream was deleted permanently. It cannot be read, and no event can be appended to it.'
  },
  'event-not-found': {
    status: 404,
    title: 'Event not found',
    help: 'The number or position is after the last event of the stream or log. `head` is the last event.'
  },
  'event-removed': {
    status: 410,
    title: 'Event removed',
    help: 'The event existed and was removed. Its number and position are not reused.'
  },
  'cursor-beyond-head': {
    status: 409,
    title: 'Cursor beyond the head',
    help: 'The cursor is after the last event. It comes from another log, or this log was restored from an older backup. Compare `log` with the log identity that you stored. Send the stored identity as `Daybook-Log`, and the response names the cursor to continue from.'
  },
  'log-changed': {
    status: 409,
    title: 'Log changed',
    help: 'The request names another log in `Daybook-Log` (or `log`). Either that log lost its last events or was restored from a backup, or it is an unrelated log. In this log, its positions and numbers refer to other events. `upTo` is the last position that both logs share, and `cursor` is the cursor to continue from. Events that you read after it are not in this log. Without `upTo`, the logs share nothing: read from the start. Send the new identity, `log`, from then on.'
  },
  'not-there-yet': {
    status: 409,
    title: 'Not there yet',
    help: 'The log has not reached the position `atLeast` yet. Retry, or send a longer `wait`.'
  },
  'wrong-expected-version': {
    status: 412,
    title: 'Wrong expected version',
    help: 'The last event of the stream is not the one that the condition expects. `head` is the number of its last event, and `missed` lists the first events after the expected one. Read what you missed, decide again and append again.'
  },
  'events-match': {
    status: 412,
    title: 'Matching events exist',
    help: 'The log contains an event that a condition of the append (failIfEventsMatch) excludes. `failed` names each failed condition, with the position and type of the first matching event. Read from there, decide again and append again.'
  },
  'event-id-reused': {
    status: 409,
    title: 'Event id reused',
    help: 'The stream contains an event with this id and different content. For a retry, send the same content. For a new event, use a new id.'
  },
  'idempotency-key-reused': {
    status: 422,
    title: 'Idempotency-Key reused',
    help: 'This Idempotency-Key was used on this stream for different events. Use a new key for new events.'
  },
  'partial-replay': {
    status: 409,
    title: 'Partial replay',
    help: 'Some events of the batch are in the stream already and some are not. A retry must contain exactly the events of the first attempt; a new batch must contain new ids only.'
  },
  'not-implemented': {
    status: 501,
    title: 'Not implemented',
    help: 'This version of the server does not support this feature of the API yet, or the server does not support this HTTP method at any address.'
  },
  'index-switched-off': {
    status: 409,
    title: 'Index switched off',
    help: 'The server was started with --run-projections=none, so it has no index of categories and types. Start it without this flag to use them.'
  },
  overloaded: {
    status: 503,
    title: 'Overloaded',
    help: 'The server has too much to do at this moment. Nothing was written. Retry after the seconds in Retry-After.'
  },
  starting: {
    status: 503,
    title: 'Starting',
    help: 'The server is starting and checks the end of the log. `reason` shows the progress. Retry later.'
  },
  stopping: {
    status: 503,
    title: 'Stopping',
    help: 'The server is shutting down. Nothing was written. Retry when it runs again.'
  },
  'read-only': {
    status: 507,
    title: 'Read-only',
    help: 'The disk is full, or a write to it failed. Reads still work. Appends work again without a restart as soon as the disk can be written. If `written` is false, nothing of this append is in the log. If it is "unknown", the append may be in the log: send it again with the same ids.'
  },
  'storage-failed': {
    status: 500,
    title: 'Storage failed',
    help: 'The disk could not be read or written. If `written` is false, nothing of this append is in the log. If it is "unknown", the append may be in the log: send it again with the same ids.'
  },
  'index-damaged': {
    status: 500,
    title: 'Index damaged',
    help: 'The index on disk is corrupt. It can be rebuilt from the log: stop the server, run "daybook verify --rebuild-index" and start it again.'
  },
  'log-damaged': {
    status: 500,
    title: 'Log damaged',
    help: 'A record of the log is corrupt and cannot be read. Run `daybook verify` to list every damaged record.'
  },
  internal: {
    status: 500,
    title: 'Internal error',
    help: 'A bug in the server. The log output of the server shows the error under this request id.'
  },
  'bad-configuration': {
    status: 409,
    title: 'Bad configuration',
    help: 'A flag, an environment variable or the config file is wrong. A running server keeps its previous configuration.'
  },
  'directory-in-use': {
    status: 500,
    title: 'Directory in use',
    help: 'Another process uses the data directory. Stop it, or choose another directory.'
  },
  'directory-unusable': {
    status: 500,
    title: 'Directory unusable',
    help: 'The data directory cannot be opened or written.'
  },
  'format-unknown': {
    status: 500,
    title: 'Format unknown',
    help: 'Another version of Daybook created the data directory, and this version cannot read it.'
  },
  'address-in-use': {
    status: 500,
    title: 'Address in use',
    help: 'Another process listens on this port. Stop it, or choose another port.'
  },
  'resource-unusable': {
    status: 409,
    title: 'Resource unusable',
    help: 'A file or an address that a setting names cannot be used. `detail` says which, and why. A running server keeps its previous configuration.'
  },
  'server-unreachable': {
    status: 502,
    title: 'Server unreachable',
    help: 'No server answers at the address that the command was given. Check the address, and that the server runs.'
  },
  'import-refused': {
    status: 409,
    title: 'Import refused',
    help: 'The import cannot continue. `detail` says why.'
  }
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

/** The request that a problem answers. */
export interface Refused {
  readonly id: string
  /** The path under which a proxy publishes this server; `''` for none. */
  readonly prefix?: string
}

/**
 * Returns the problem document for an error. A status of 500 hides internals: it shows the help text instead of the
 * message of the error, and of its details only `written` and `retry`.
 */
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

/** The details of an error, with the addresses in `links` under the path prefix of the proxy. */
function shownBehind(prefix: string, { links, ...details }: Record<string, unknown>): Record<string, unknown> {
  if (links === undefined) return details
  const shown = Object.entries(links as Record<string, string>).map(([name, path]) => [name, prefix + path])
  return { ...details, links: Object.fromEntries(shown) }
}

function pick(details: Record<string, unknown>, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(details).filter(([name]) => names.includes(name)))
}
