/**
 * The intended differences from the original: the scenario, its exchanges, the expected statuses, and the reason. All
 * other exchanges must have the same response.
 */
export interface Difference {
  /** Matches the names of the exchanges. */
  readonly exchange: RegExp
  /** The expected statuses. */
  readonly status: readonly number[]
  readonly why: string
}

const NATIVE = 'The native form sends this response.'
const NO_5XX = 'The original sends a 5xx for an error of the client.'
const EITHER = 'Clients do not depend on this response.'
const LATER = 'The feature is not built yet. It requires the same rights as in the original.'
const PROBLEM = 'A client that accepts JSON gets a problem document.'
const PAGE = 'A browser gets the HTML page, which requests the data itself.'

const ID_MADE = 'The server makes an event id, so the client needs no second request.'
const HTML_AS_JSON = 'A request for HTML gets JSON.'
const UNRESOLVED = 'The original resolves links even when the client asks for unresolved links.'
const SINGLE_NODE = 'A single node only reports what applies to it.'
const NO_PROJECTIONS = 'The response reports that projections are off, because they are not built yet.'
const NEVER_TWICE = 'An event whose id is already in the stream is never written again.'

const table: Record<string, readonly Difference[]> = {
  '010-append': [{ exchange: /^no event id$/, status: [201], why: ID_MADE }],
  '011-append-bodies': [
    { exchange: /that is not JSON/, status: [400], why: 'A body with a JSON content type must be valid JSON.' }
  ],
  '012-append-refusals': [
    { exchange: /array of null/, status: [400], why: 'The original sends the text of an internal error.' },
    {
      exchange: /expected version "\+1"/,
      status: [400],
      why: 'A plus sign is part of a number, so version 1 is compared.'
    },
    { exchange: /content type in other case/, status: [201], why: 'Media types are case-insensitive.' },
    { exchange: /to \$all/, status: [400], why: '$all accepts no writes.' },
    { exchange: /same id twice in a batch/, status: [400], why: 'Event ids are unique in a stream.' },
    { exchange: /more path than a stream has/, status: [405], why: EITHER }
  ],
  '013-idempotency': [
    {
      exchange: /^A again, at 0$|^D at 3$|stream exists, E|^and again$/,
      status: [201],
      why: NEVER_TWICE
    },
    { exchange: /^C A, any$/, status: [400], why: NEVER_TWICE }
  ],
  '016-incoming': [{ exchange: /without an id$/, status: [201], why: ID_MADE }],
  '020-feed-pages': [{ exchange: /0\/forward\/5000/, status: [400], why: NO_5XX }],
  '021-feed-embed': [
    {
      exchange: /^embed=/,
      status: [200],
      why: 'The last event of this stream is invalid JSON and was rejected, so one entry is missing.'
    },
    { exchange: /embed twice/, status: [200], why: EITHER }
  ],
  '022-feed-xml': [
    { exchange: /event [23] as (application|text)\/xml/, status: [406], why: 'The original sends no response.' }
  ],
  '023-accept': [
    {
      exchange:
        /^feed, accept (undefined|\*\/\*|application\/json|application\/json; charset=utf-8|application\/\*|APPLICATION\/JSON|)$/,
      status: [200],
      why: NATIVE
    },
    { exchange: /^(feed|event), accept text\/html/, status: [200], why: PAGE },
    { exchange: /^feed, accept text\/\*$/, status: [200], why: HTML_AS_JSON },
    { exchange: /^event, accept (undefined|\*\/\*|application\/\*|)$/, status: [200], why: NATIVE },
    { exchange: /^event, accept text\/\*$/, status: [200], why: HTML_AS_JSON },
    {
      exchange: /^page, accept (undefined|\*\/\*|application\/\*|text\/html.*|)$/,
      status: [200],
      why: 'A page in JSON has the content type application/json.'
    },
    { exchange: /format=(atomjson|eventjson|eventxml|html|nonsense)/, status: [400], why: NO_5XX }
  ],
  '024-single-event': [{ exchange: /^event (0|head)\/$/, status: [404], why: PROBLEM }],
  '025-links': [
    { exchange: /event 3, resolve false/, status: [200], why: EITHER },
    { exchange: /resolve false/, status: [200], why: UNRESOLVED }
  ],
  '030-delete': [
    { exchange: /delete a metastream/, status: [400], why: EITHER },
    { exchange: /delete \$all/, status: [400], why: EITHER }
  ],
  '040-metadata': [
    {
      exchange:
        /^metadata: (not JSON|an array|a number|empty|\$maxCount of 0|\$maxCount of -1|\$maxCount as a string|\$maxAge of 0|\$maxAge of 1\.5|\$tb of -1|\$acl as a string|\$acl\.\$r as a number)/,
      status: [400],
      why: 'Invalid metadata is rejected; the original stores and ignores it.'
    },
    { exchange: /, accept undefined$/, status: [200], why: NATIVE }
  ],
  '060-methods': [
    { exchange: /^OPTIONS \/(streams\/?|users\/|nothing\/here)$/, status: [200, 404], why: EITHER },
    { exchange: /^OPTIONS \/$/, status: [200], why: EITHER },
    { exchange: /^HEAD /, status: [200], why: 'HEAD responds like GET, without a body.' },
    { exchange: /^GET \/$|^GET \/streams\/?$/, status: [200], why: NATIVE },
    { exchange: /^GET \/streams\/[^/]+\/$/, status: [307], why: EITHER },
    { exchange: /^GET \/\/streams|favicon|^(PUT|PATCH|DELETE|POST) \/streams$/, status: [404], why: EITHER },
    {
      exchange: /^GET \/(nothing|STREAMS\/x|Ping)$|^GET \/streams\/(a\/b\/c\/d\/e|methods-1\/0\/)$/,
      status: [404],
      why: PROBLEM
    },
    { exchange: /^GET \/ping/, status: [200], why: '/ping has a response of its own.' }
  ],
  '070-all': [
    { exchange: /data=\(\[/, status: [400], why: NO_5XX },
    { exchange: /delete \$all/, status: [400], why: EITHER },
    {
      exchange: /at 0$|at head$/,
      status: [404],
      why: 'There is no stream with the name $all, because $all accepts no writes.'
    }
  ],
  '071-index-streams': [{ exchange: /not resolved/, status: [200], why: UNRESOLVED }],
  '100-forwarded-urls': [
    {
      exchange: /^trailing slash behind a proxy$/,
      status: [307],
      why: 'The redirect keeps the forwarded scheme, host and prefix.'
    },
    { exchange: /^description behind a proxy$/, status: [200], why: 'The addresses have the forwarded prefix.' }
  ],
  '104-event-headers': [
    { exchange: /event id with spaces only/, status: [201], why: ID_MADE },
    { exchange: /under the new product name/, status: [201], why: 'The headers of both product names are supported.' }
  ],
  '122-failed-reads': [
    { exchange: /, feed as application\/json$|: no accept header$/, status: [404, 410], why: NATIVE },
    { exchange: /(, feed|\/0|number) as text\/html$/, status: [200], why: PAGE },
    { exchange: /\/metadata as text\/html$/, status: [200, 404, 410], why: HTML_AS_JSON }
  ],
  '500-users': [
    { exchange: /^create: (not JSON|empty)$/, status: [400], why: 'A request without effect is rejected.' }
  ],
  '504-access-routes': [
    { exchange: /^GET \/: /, status: [200], why: NATIVE },
    { exchange: /^GET \/web: /, status: [404], why: LATER },
    { exchange: /^GET \/sys\/subsystems: (ops|admin)$/, status: [200], why: NO_PROJECTIONS },
    { exchange: /^GET \/info: /, status: [200], why: NO_PROJECTIONS },
    {
      exchange: /^\w+ \/(admin\/(scavenge|mergeindexes|node|reloadconfig)).*: (ops|admin)$/,
      status: [501],
      why: LATER
    },
    {
      exchange: /^(PUT|DELETE|POST) \/subscriptions\/nothing\/g(\/replayParked)?: (ops|admin)$/,
      status: [501],
      why: LATER
    },
    { exchange: /^(GET \/subscriptions\/.*|POST .*\/n?ack\/x): (plain|ops|admin)$/, status: [501], why: LATER }
  ],
  '510-access': [
    {
      exchange: /^(nobody|ada|bob|ops|admin): GET \/info$/,
      status: [200],
      why: NO_PROJECTIONS
    },
    { exchange: /^(nobody|ada|bob|ops|admin): GET \/gossip$/, status: [200], why: SINGLE_NODE },
    {
      exchange: /^admin: GET \/streams\/%24all/,
      status: [200],
      why: 'The last event in the log of the original was a different one.'
    },
    { exchange: /^(ada|bob|ops|admin): GET \/stats$/, status: [200], why: SINGLE_NODE },
    { exchange: /^(ada|bob|ops): GET \/streams\/%24(users|settings)$/, status: [403], why: NATIVE },
    { exchange: /^admin: GET \/streams\/%24users$/, status: [200], why: NATIVE },
    {
      exchange: /^admin: GET \/streams\/%24settings$/,
      status: [404],
      why: 'No settings have been written in this test.'
    },
    { exchange: /: GET \/streams\/%24(users|settings)$|^authorization: /, status: [401], why: NATIVE },
    { exchange: /^(ops|admin): GET \/sys/, status: [200], why: SINGLE_NODE },
    { exchange: /^(ada|bob): POST \/projections/, status: [401], why: LATER },
    { exchange: /^(ada|bob): GET \/(projections?|subscriptions)/, status: [501], why: LATER },
    {
      exchange: /^(ops|admin): (GET|POST) \/(projections?|subscriptions|admin|info\/options)/,
      status: [501],
      why: LATER
    }
  ]
}

export function differenceOf(scenario: string, say: string): Difference | undefined {
  return table[scenario]?.find(({ exchange }) => exchange.test(say))
}
