/**
 * Where we answer otherwise than the original on purpose: scenario, exchanges by what they say, the statuses wanted
 * instead, and why. Everything not named here is the same.
 */
export interface Difference {
  readonly says: RegExp
  readonly status: readonly number[]
  readonly why: string
}

const NATIVE = 'the native form answers'
const NO_5XX = 'a client error is no 5xx'
const EITHER = 'either will do'
const LATER = 'what it asks for is not built yet; who may ask is decided as there'
const PROBLEM = 'a problem for whoever asks for JSON'
const PAGE = 'a browser gets our own page, which asks for the rest'

const table: Record<string, readonly Difference[]> = {
  '010-append': [{ says: /^no event id$/, status: [201], why: 'an id is made here; no second request is needed' }],
  '011-append-bodies': [{ says: /that is not JSON/, status: [400], why: 'a body that says it is JSON must be JSON' }],
  '012-append-refusals': [
    { says: /array of null/, status: [400], why: 'no inner text leaks' },
    { says: /expected version "\+1"/, status: [400], why: 'a number is digits' },
    { says: /content type in other case/, status: [201], why: 'media types have no case' },
    { says: /to \$all/, status: [400], why: 'nothing is written to $all' },
    { says: /same id twice in a batch/, status: [400], why: 'ids are unique in a stream' },
    { says: /more path than a stream has/, status: [405], why: EITHER }
  ],
  '013-idempotency': [
    {
      says: /^A again, at 0$|^D at 3$|stream exists, E|^and again$/,
      status: [201],
      why: 'an id that is in the stream is never written twice'
    },
    { says: /^C A, any$/, status: [400], why: 'an id that is in the stream is never written twice' }
  ],
  '016-incoming': [{ says: /without an id$/, status: [201], why: 'an id is made here; no second request is needed' }],
  '020-feed-pages': [{ says: /0\/forward\/5000/, status: [400], why: NO_5XX }],
  '021-feed-embed': [
    {
      says: /^embed=/,
      status: [200],
      why: 'the last event of this stream is no JSON though it says so, and was refused: one entry is missing'
    },
    { says: /embed twice/, status: [200], why: EITHER }
  ],
  '022-feed-xml': [
    { says: /event [23] as (application|text)\/xml/, status: [406], why: 'the original does not answer' }
  ],
  '023-accept': [
    {
      says: /^feed, accept (undefined|\*\/\*|application\/json|application\/json; charset=utf-8|application\/\*|APPLICATION\/JSON|)$/,
      status: [200],
      why: NATIVE
    },
    { says: /^(feed|event), accept text\/html/, status: [200], why: PAGE },
    { says: /^feed, accept text\/\*$/, status: [200], why: 'HTML is answered as JSON' },
    { says: /^event, accept (undefined|\*\/\*|application\/\*|)$/, status: [200], why: NATIVE },
    { says: /^event, accept text\/\*$/, status: [200], why: 'HTML is answered as JSON' },
    {
      says: /^page, accept (undefined|\*\/\*|application\/\*|text\/html.*|)$/,
      status: [200],
      why: 'a page as JSON says that it is'
    },
    { says: /format=(atomjson|eventjson|eventxml|html|nonsense)/, status: [400], why: NO_5XX }
  ],
  '024-single-event': [{ says: /^event (0|head)\/$/, status: [404], why: PROBLEM }],
  '025-links': [
    { says: /event 3, resolve false/, status: [200], why: EITHER },
    { says: /resolve false/, status: [200], why: 'not resolved when asked not to' }
  ],
  '030-delete': [
    { says: /delete a metastream/, status: [400], why: EITHER },
    { says: /delete \$all/, status: [400], why: EITHER }
  ],
  '040-metadata': [
    {
      says: /^metadata: (not JSON|an array|a number|empty|\$maxCount of 0|\$maxCount of -1|\$maxCount as a string|\$maxAge of 0|\$maxAge of 1\.5|\$tb of -1|\$acl as a string|\$acl\.\$r as a number)/,
      status: [400],
      why: 'metadata that would be ignored is refused'
    },
    { says: /, accept undefined$/, status: [200], why: NATIVE }
  ],
  '060-methods': [
    { says: /^OPTIONS \/(streams\/?|users\/|nothing\/here)$/, status: [200, 404], why: EITHER },
    { says: /^OPTIONS \/$/, status: [200], why: EITHER },
    { says: /^HEAD /, status: [200], why: 'HEAD is GET without a body' },
    { says: /^GET \/$|^GET \/streams\/?$/, status: [200], why: NATIVE },
    { says: /^GET \/streams\/[^/]+\/$/, status: [307], why: EITHER },
    { says: /^GET \/\/streams|favicon|^(PUT|PATCH|DELETE|POST) \/streams$/, status: [404], why: EITHER },
    {
      says: /^GET \/(nothing|STREAMS\/x|Ping)$|^GET \/streams\/(a\/b\/c\/d\/e|methods-1\/0\/)$/,
      status: [404],
      why: PROBLEM
    },
    { says: /^GET \/ping/, status: [200], why: 'the answer is our own' }
  ],
  '070-all': [
    { says: /data=\(\[/, status: [400], why: NO_5XX },
    { says: /delete \$all/, status: [400], why: EITHER },
    { says: /at 0$|at head$/, status: [404], why: 'nothing is ever written to a stream called $all' }
  ],
  '071-index-streams': [{ says: /not resolved/, status: [200], why: 'not resolved when asked not to' }],
  '100-forwarded-urls': [
    { says: /^trailing slash behind a proxy$/, status: [307], why: 'it keeps the scheme, the host and the prefix' },
    { says: /^description behind a proxy$/, status: [200], why: 'its addresses have the prefix' }
  ],
  '104-event-headers': [
    { says: /event id with spaces only/, status: [201], why: 'an id is made here; no second request is needed' },
    { says: /under the new product name/, status: [201], why: 'both names are known' }
  ],
  '122-failed-reads': [
    { says: /, feed as application\/json$|: no accept header$/, status: [404, 410], why: NATIVE },
    { says: /(, feed|\/0|number) as text\/html$/, status: [200], why: PAGE },
    { says: /\/metadata as text\/html$/, status: [200, 404, 410], why: 'HTML is answered as JSON' }
  ],
  '500-users': [{ says: /^create: (not JSON|empty)$/, status: [400], why: 'a request that does nothing is refused' }],
  '504-access-routes': [
    { says: /^GET \/: /, status: [200], why: NATIVE },
    { says: /^GET \/web: /, status: [404], why: LATER },
    { says: /^GET \/sys\/subsystems: (ops|admin)$/, status: [200], why: 'projections are not there yet' },
    { says: /^GET \/info: /, status: [200], why: 'projections are not there yet, and it says so' },
    {
      says: /^\w+ \/(admin\/(scavenge|mergeindexes|node|reloadconfig)).*: (ops|admin)$/,
      status: [501],
      why: LATER
    },
    {
      says: /^(PUT|DELETE|POST) \/subscriptions\/nothing\/g(\/replayParked)?: (ops|admin)$/,
      status: [501],
      why: LATER
    },
    { says: /^(GET \/subscriptions\/.*|POST .*\/n?ack\/x): (plain|ops|admin)$/, status: [501], why: LATER }
  ],
  '510-access': [
    {
      says: /^(nobody|ada|bob|ops|admin): GET \/info$/,
      status: [200],
      why: 'projections are not there yet, and it says so'
    },
    { says: /^(nobody|ada|bob|ops|admin): GET \/gossip$/, status: [200], why: 'a single node says what is true of it' },
    { says: /^admin: GET \/streams\/%24all/, status: [200], why: 'the last event was another one there' },
    { says: /^(ada|bob|ops|admin): GET \/stats$/, status: [200], why: 'a single node says what is true of it' },
    { says: /^(ada|bob|ops): GET \/streams\/%24(users|settings)$/, status: [403], why: NATIVE },
    { says: /^admin: GET \/streams\/%24users$/, status: [200], why: NATIVE },
    { says: /^admin: GET \/streams\/%24settings$/, status: [404], why: 'nobody has written settings here' },
    { says: /: GET \/streams\/%24(users|settings)$|^authorization: /, status: [401], why: NATIVE },
    { says: /^(ops|admin): GET \/sys/, status: [200], why: 'a single node says what is true of it' },
    { says: /^(ada|bob): POST \/projections/, status: [401], why: LATER },
    { says: /^(ada|bob): GET \/(projections?|subscriptions)/, status: [501], why: LATER },
    {
      says: /^(ops|admin): (GET|POST) \/(projections?|subscriptions|admin|info\/options)/,
      status: [501],
      why: LATER
    }
  ]
}

export function differenceOf(scenario: string, say: string): Difference | undefined {
  return table[scenario]?.find(({ says }) => says.test(say))
}
