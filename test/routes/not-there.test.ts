/** An index stream without visible entries is answered like one that does not exist, in every form of request. */
import t, { type Test } from 'tap'
import { limits } from '../../src/limits.js'
import { append, ask, listen, openApp } from '../helpers/app.js'
import { LiveBlocks, LiveSocket } from '../helpers/live-clients.js'
import { admin, bearer, makeToken, makeUser, setRules } from '../helpers/people.js'

const ATOM = 'application/vnd.eventstore.atom+json'
const XML = 'application/atom+xml'

/** The reads of a stream that are compared. */
const FORMS: [rest: string, headers?: Record<string, string>][] = [
  [''],
  ['?order=desc'],
  ['?from=end'],
  ['?from=0&limit=1'],
  ['?format=ndjson'],
  ['/0'],
  ['/1'],
  ['/head'],
  ['/metadata'],
  ['', { accept: ATOM }],
  ['', { accept: XML }],
  ['', { accept: ATOM, 'if-none-match': '"0;-2060438500"' }],
  ['?embed=body'],
  ['/0', { accept: ATOM }],
  ['/0', { accept: 'application/json' }],
  ['/0', { accept: 'application/octet-stream' }],
  ['/0', { accept: XML }],
  ['/head', { accept: ATOM }],
  ['/0/forward/20', { accept: ATOM }],
  ['/0/forward/20', { accept: XML }],
  ['/head/backward/20', { accept: ATOM }],
  ['/9/20', { accept: ATOM }],
  ['/metadata/0/forward/20', { accept: ATOM }],
  ['', { 'if-none-match': '"1"' }],
  ['?wait=0'],
  ['?atLeast=0'],
  ['/0?atLeast=0']
]

t.test('an index stream without entries for the caller is answered like a missing one, in every form', async (t) => {
  const { app, store } = await openApp(t, { insecure: false, anonymous: true })
  const bob = await makeUser(store, 'bob')
  const { text } = await makeToken(store, 'bob', { read: ['bobs'] })
  const correlated = { type: 'Whispered', metadata: { $correlationId: 'abcde' } }
  await append(app, 'hidden-1', [correlated, correlated], admin)
  await setRules(app, 'hidden-1', { read: 'ann' })
  const pairs = [['$ce-hidden', '$ce-absent'], ['$et-Whispered', '$et-Something'], ['$bc-abcde', '$bc-fghij'], ['$category-hidden', '$category-absent']] as const // biome-ignore format: a list
  for (const [there, absent] of pairs) {
    for (const [rest, headers = {}] of FORMS) {
      for (const [name, who] of [
        ['Bob', bob],
        ['a token', bearer(text)],
        ['no credentials', {}]
      ] as [string, Record<string, string>][]) {
        const [one, other] = [await seen(there), await seen(absent)]
        t.equal(one.status, 404, `${name}: ${there}${rest} ${JSON.stringify(headers)}`)
        t.same(one, other, `${name}: ${there}${rest} ${JSON.stringify(headers)} is answered like a missing stream`)
        async function seen(stream: string) {
          const {
            statusCode,
            statusMessage,
            headers: said,
            body
          } = await ask(app, `GET /streams/${stream}${rest}`, { ...headers, ...who })
          const { 'request-id': id, date: _, 'content-length': __, ...same } = said
          const [name, same_] = [encodeURIComponent(stream), JSON.stringify(same)]
          const anonymous = (text: string) =>
            text.replaceAll(stream, '$x').replaceAll(name, '$x').replaceAll(String(id), 'id')
          return { status: statusCode, statusMessage, headers: anonymous(same_), body: anonymous(body) }
        }
      }
    }
    t.equal((await ask(app, `GET /streams/${there}`, admin)).statusCode, 200, `${there} exists for others`)
  }
})

t.test('in the dialect the metadata of an index stream does not reveal whether the stream exists', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const bob = await makeUser(store, 'bob')
  await append(app, 'hidden-1', [{ type: 'T' }, { type: 'T' }], admin)
  await setRules(app, 'hidden-1', { read: 'ann' })
  const answerOf = async (stream: string, rest: string) => {
    const { statusCode, headers, body } = await ask(app, `GET /streams/${stream}/${rest}`, { ...bob, accept: ATOM })
    return [statusCode, headers['content-type'], body]
  }
  for (const rest of ['metadata', 'metadata/0', 'metadata/1']) {
    t.same(await answerOf('$ce-hidden', rest), await answerOf('$ce-absent', rest), rest)
  }
})

t.test('an index stream with a visible entry exists, however many hidden entries follow', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const bob = await makeUser(store, 'bob')
  await append(app, 'long-1', { type: 'T' }, admin)
  for (let left = limits.scan_events_max; left > 0; left -= limits.batch_events_max) {
    await append(app, 'long-2', Array(Math.min(left, limits.batch_events_max)).fill({ type: 'T' }), admin)
  }
  await setRules(app, 'long-2', { read: 'ann' })
  const { statusCode, body } = await ask(app, 'GET /streams/$ce-long', bob)
  t.equal(statusCode, 200)
  t.match(JSON.parse(body).events, [{ stream: 'long-1' }])
})

/** Returns an answer without the parts that differ between any two requests, and with X for the name of the stream. */
function normalized(answer: { statusCode: number; headers: object; body: string }, stream: string): string {
  const { 'request-id': id, date: _, 'content-length': __, ...headers } = answer.headers as Record<string, unknown>
  return `${answer.statusCode} ${JSON.stringify(headers)} ${answer.body}`
    .replaceAll(stream, 'X')
    .replaceAll(encodeURIComponent(stream), 'X')
    .replaceAll(String(id), 'id')
    .replace(/("-?\d+;)[^"\\]+/g, '$1hash')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'time')
    .replace(/retry: \d+/, 'retry')
}

/**
 * Opens a server with a stream that only Ann may read. Pairs its index streams with missing ones; names of a pair have
 * the same length.
 */
async function withHidden(t: Test) {
  const opened = await listen(t, { insecure: false, anonymous: true })
  const { app, store } = opened
  const [bob, ann] = [await makeUser(store, 'bob'), await makeUser(store, 'ann')]
  const event = { type: 'Whispered', metadata: { $correlationId: 'abcde' } }
  await append(app, 'hidden-1', Array(7).fill(event), admin)
  await setRules(app, 'hidden-1', { read: 'ann' })
  const whisper = () => append(app, 'hidden-1', event, ann)
  const pairs = [['$ce-hidden', '$ce-absent'], ['$et-Whispered', '$et-Something'], ['$bc-abcde', '$bc-fghij'], ['$category-hidden', '$category-absent']] as const // biome-ignore format: a list
  return { ...opened, ann, bob, pairs, whisper }
}

t.test('waiting and live reads of a hidden index stream behave as for a missing one', async (t) => {
  const { app, store, bob, pairs } = await withHidden(t)
  const { text } = await makeToken(store, 'bob', { read: ['bobs'] })
  const waits: [rest: string, headers?: Record<string, string>][] = [
    ['?wait=1'],
    ['?wait=1&from=end'],
    ['?wait=1&after=-1'],
    ['?wait=1&after=3'],
    ['?wait=1&from=0&limit=2'],
    ['?wait=1&from=3'],
    ['?wait=1&from=99'],
    ['?wait=1&from=2020-01-01'],
    ['?wait=1&order=desc'],
    ['', { prefer: 'wait=1' }],
    ['?format=ndjson&live=true&limit=0'],
    ['?format=sse&live=false'],
    ['?format=sse&live=false&from=end'],
    ['?format=sse&live=false&after=3'],
    ['?format=ndjson&live=true&after=5'],
    ['?format=sse', { 'last-event-id': '4' }],
    ['/0/forward/5', { accept: ATOM, 'es-longpoll': '1' }],
    ['/3/forward/5', { accept: ATOM, 'es-longpoll': '1' }],
    ['/0/forward/5', { accept: XML, 'es-longpoll': '1' }]
  ]
  const callers = [bob, bearer(text), {}]
  const asked = pairs.flatMap(([there, absent]) =>
    waits.flatMap(([rest, headers]) => callers.map((who) => ({ there, absent, rest, headers: { ...headers, ...who } })))
  )
  // All at once, because one after the other they would take minutes.
  await Promise.all(
    asked.map(async ({ there, absent, rest, headers }) => {
      const [one, other] = await Promise.all(
        [there, absent].map(async (stream) => {
          return normalized(await ask(app, `GET /streams/${stream}${rest}`, headers), stream)
        })
      )
      t.equal(one, other, `${there}${rest} ${JSON.stringify(headers)}`)
    })
  )
})

t.test('a live reader of a hidden index stream learns nothing about it, not even that it grows', async (t) => {
  const { app, url, bob, pairs, whisper } = await withHidden(t)
  for (const [there, absent] of pairs) {
    const options = '?statistics=1&checkpointEvery=1&heartbeat=0'
    const [one, other] = await Promise.all(
      [there, absent].flatMap((name) => LiveSocket.open(t, `${url}/streams/${name}${options}`, bob))
    )
    const [lines, none] = await Promise.all(
      [there, absent].map((name) => LiveBlocks.open(t, `${url}/streams/${name}?from=end&checkpointEvery=1`, bob))
    )
    for (const reader of [lines, none]) await reader?.untilNamed('caughtUp')
    for (let i = 0; i < 3; i++) await whisper()
    // A reader that counts events of the list would have counted these by now.
    const statistics = (one?.all.filter(({ frame }) => frame === 'statistics').length ?? 0) + 2
    for (const socket of [one, other]) await socket?.untilFrame('statistics', statistics)
    const distinctFrames = (reader: { all: readonly object[] } | undefined, name: string) => [
      ...new Set(
        reader?.all.map((frame) =>
          JSON.stringify(frame)
            .replaceAll(name, 'X')
            .replace(/"retry":"\d+"/, 'retry')
        )
      )
    ]
    t.same(distinctFrames(one, there), distinctFrames(other, absent), `${there}, over WebSocket`)
    t.same(distinctFrames(lines, there), distinctFrames(none, absent), `${there}, as an event stream`)
    t.notMatch(JSON.stringify(one?.all), /"cursor":"\d/, 'no cursor of the list is sent')
    for (const socket of [one, other]) socket?.socket.terminate()
  }
  const reader = await LiveSocket.open(t, `${url}/streams/$ce-hidden`, bob)
  const blocks = await LiveBlocks.open(t, `${url}/streams/$ce-hidden?from=end`, bob)
  const poll = ask(app, 'GET /streams/$ce-hidden?wait=20', bob)
  await append(app, 'hidden-2', { type: 'Told' }, admin)
  await reader.untilEvents(1)
  await blocks.untilEvents(1)
  t.match(reader.events, [{ stream: 'hidden-2' }], 'an event that Bob may read comes at once')
  t.match(blocks.events, [{ stream: 'hidden-2' }])
  t.match((await poll).json(), { events: [{ stream: 'hidden-2' }] })
  await whisper()
  await append(app, 'hidden-2', { type: 'Told' }, admin)
  await reader.untilEvents(2)
  await setRules(app, 'hidden-2', { read: 'ann' })
  const before = reader.all.length
  await whisper()
  await reader.fence()
  const since = JSON.stringify(reader.all.slice(before).filter(({ frame }) => frame !== 'error'))
  t.equal(since, '[]', 'once the event is hidden again, nothing more is sent')
  t.equal((await ask(app, 'GET /streams/$ce-hidden', bob)).statusCode, 404)
})

t.test('a consumer of a hidden index stream reveals nothing about it', async (t) => {
  const { app, bob, ann, pairs, whisper } = await withHidden(t)
  const calls: [call: string, body?: (stream: string) => object][] = [
    ['PUT /consumers/NAME', (stream) => ({ source: `/streams/${stream}` })],
    ['GET /consumers/NAME'],
    ['GET /consumers/NAME/events'],
    ['GET /consumers/NAME/events?wait=1'],
    ['GET /consumers/NAME/events?format=ndjson'],
    ['GET /consumers/NAME'],
    ['POST /consumers/NAME/ack', () => ({ cursor: '3', generation: 1 })],
    ['POST /consumers/NAME/ack', () => ({ cursor: '99', generation: 1 })],
    ['POST /consumers/NAME/reset', () => ({ to: '3' })],
    ['POST /consumers/NAME/reset', () => ({ to: 'end' })],
    ['POST /consumers/NAME/reset', () => ({ to: '2020-01-01T00:00:00Z' })],
    ['DELETE /consumers/NAME'],
    ['PUT /consumers/NAME', (stream) => ({ source: `/streams/${stream}`, from: 'end' })],
    ['PUT /consumers/NAME', (stream) => ({ source: `/streams/${stream}`, from: '3' })],
    ['GET /consumers/NAME'],
    ['DELETE /consumers/NAME']
  ]
  for (const [there, absent] of pairs) {
    for (const [call, body] of calls) {
      const answers: string[] = []
      for (const [stream, name] of [
        [there, 'reader-1'],
        [absent, 'reader-2']
      ] as const) {
        const answer = await ask(app, call.replace('NAME', name), bob, body?.(stream))
        answers.push(normalized(answer, stream).replaceAll(name, 'NAME'))
      }
      t.equal(answers[0], answers[1], `${there}: ${call}`)
    }
  }
  await ask(app, 'PUT /consumers/anns', ann, { source: '/streams/$ce-hidden' })
  t.match(
    (await ask(app, 'GET /consumers/anns', ann)).json(),
    { lag: { events: 7 } },
    'the lag is shown to a caller who may read the stream'
  )
  await ask(app, 'PUT /consumers/bobs', bob, { source: '/streams/$ce-hidden' })
  t.match(
    (await ask(app, 'GET /consumers/bobs', admin)).json(),
    { lag: { events: 7 } },
    'the lag is shown to administrators'
  )
  t.match((await ask(app, 'GET /consumers/bobs', bob)).json(), { lag: { events: 0, seconds: 0 } })
  await append(app, 'hidden-2', { type: 'Told' }, admin)
  t.match((await ask(app, 'GET /consumers/bobs/events', bob)).json(), { events: [{ stream: 'hidden-2' }], head: 7 })
  await ask(app, 'POST /consumers/bobs/ack', bob, { cursor: '7', generation: 0 })
  await setRules(app, 'hidden-2', { read: 'ann' })
  await whisper()
  t.match((await ask(app, 'GET /consumers/bobs', bob)).json(), { cursor: '7', lag: { events: 0 } })
  t.match((await ask(app, 'GET /consumers/bobs/events', bob)).json(), { events: [], head: null })
  const again = await ask(app, 'GET /consumers/bobs/events?format=ndjson', bob)
  t.equal(again.body.trim().split('\n').length, 1, 'no event comes')
  t.match(JSON.parse(again.body), { subscribed: { cursor: '7', head: null } }, 'the cursor stays')
})

t.test('a consumer whose owner may no longer read the stream does not count its events', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const bob = await makeUser(store, 'bob')
  await append(app, 's', Array(5).fill({ type: 'T' }), admin)
  await ask(app, 'PUT /consumers/c', bob, { source: '/streams/s' })
  t.match((await ask(app, 'GET /consumers/c', bob)).json(), { lag: { events: 5 } })
  await setRules(app, 's', { read: 'ann' })
  const shown = (await ask(app, 'GET /consumers/c', bob)).json()
  t.match(shown, { lag: { events: 0, seconds: 0 }, standsStill: '"bob" may not read "s".' })
  for (const [call, body] of [
    ['ack', { cursor: '2', generation: 0 }],
    ['ack', { cursor: '99', generation: 0 }],
    ['reset', { to: '99' }],
    ['reset', { to: 'end' }]
  ] as const) {
    t.match((await ask(app, `POST /consumers/c/${call}`, bob, body)).json(), { status: 403, code: 'not-permitted' })
  }
  t.match((await ask(app, 'GET /consumers', bob)).json(), { consumers: [{ lag: { events: 0 } }] })
  t.match((await ask(app, 'GET /consumers/c', admin)).json(), { lag: { events: 5 } })
})
