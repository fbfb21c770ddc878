/** A token may use a consumer if it may read the source of the consumer. This holds at every address of a consumer. */
import t from 'tap'
import { append, ask, listen, type openApp } from '../helpers/app.js'
import { LiveBlocks, LiveLines, LiveSocket } from '../helpers/live-clients.js'
import { admin, bearer, makeToken, makeUser } from '../helpers/people.js'

/** Opens a server with consumers of Ann: of the log, of an index stream, and of the streams x and y. */
async function withConsumers(t: Parameters<typeof openApp>[0]) {
  const { app, store, url } = await listen(t, { insecure: false })
  const ann = await makeUser(store, 'ann')
  await append(app, 'x', [{ type: 'T' }, { type: 'T' }], admin)
  await append(app, 'y', [{ type: 'T' }, { type: 'T' }], admin)
  const sources = { log: '/events', index: '/streams/$et-T', x: '/streams/x', y: '/streams/y' }
  for (const [name, source] of Object.entries(sources)) {
    t.equal((await ask(app, `PUT /consumers/${name}`, ann, { source })).statusCode, 201)
  }
  const tokenFor = async (scope: { read?: string[]; write?: string[] }) =>
    bearer((await makeToken(store, 'ann', scope)).text)
  const places = () => store.consumers.all().map(({ name, cursor, generation }) => `${name} ${cursor} ${generation}`)
  return { app, store, url, ann, sources, tokenFor, places }
}

/** Returns the requests that read a consumer, and those that change it or create another. */
function usesOf(name: string, source: string): { reads: [string, unknown?][]; changes: [string, unknown?][] } {
  return {
    reads: [[`GET /consumers/${name}`], [`GET /consumers/${name}/events`], [`POST /consumers/${name}/ack`, { cursor: '0', generation: 0 }]],
    changes: [
      [`PUT /consumers/${name}`, { source }],
      [`PUT /consumers/made-${name}`, { source }],
      [`POST /consumers/${name}/reset`, { to: 'start' }],
      [`DELETE /consumers/${name}`]
    ]
  } // biome-ignore format: a table
}

async function withConsumer(t: Parameters<typeof listen>[0]) {
  const { app, store, url } = await listen(t, { insecure: false })
  const ann = await makeUser(store, 'ann')
  for (let i = 0; i < 3; i++) await append(app, 'y', { type: 'T' }, admin)
  t.equal((await ask(app, 'PUT /consumers/log', ann, { source: '/events' })).statusCode, 201)
  const writer = bearer((await makeToken(store, 'ann', { write: ['*'] })).text)
  return { app, store, url, writer }
}

t.test('a token without a read scope cannot take over a consumer at any address', async (t) => {
  const { store, url, writer } = await withConsumer(t)
  const place = () => `${store.consumers.get('log').cursor} ${store.consumers.get('log').generation}`
  const before = place()
  await t.rejects(LiveSocket.open(t, `${url}/events?consumer=log&takeover=true`, writer), /403/, 'over WebSocket')
  const lines = await LiveLines.open(t, `${url}/events?consumer=log&takeover=true&live=true`, writer)
  t.equal(lines.status, 403, 'as NDJSON')
  const blocks = await LiveBlocks.open(t, `${url}/events?consumer=log&takeover=true`, writer)
  t.equal(blocks.status, 403, 'as an event stream')
  t.equal(place(), before, 'cursor and generation stay')
})

t.test('the list of consumers is empty for a token without a read scope', async (t) => {
  const { app, writer } = await withConsumer(t)
  t.same((await ask(app, 'GET /consumers', writer)).json().consumers, [])
})

t.test('a token without a read scope cannot use any consumer of its account', async (t) => {
  const { app, url, sources, tokenFor, places } = await withConsumers(t)
  const before = places()
  for (const scope of [{ write: ['*'] }, { write: ['*', '$*'] }]) {
    const who = await tokenFor(scope)
    for (const [name, source] of Object.entries(sources)) {
      const { reads, changes } = usesOf(name, source)
      for (const [call, body] of [...reads, ...changes]) {
        t.equal((await ask(app, call, who, body)).statusCode, 403, call)
      }
      await t.rejects(LiveSocket.open(t, `${url}/consumers/${name}/events?takeover=true`, who), /403/, `${name}, live`)
    }
  }
  t.same(places(), before, 'no consumer is moved or created')
})

t.test('a token with a read scope may read consumers of the log, but not change one that reads more', async (t) => {
  const { app, sources, tokenFor } = await withConsumers(t)
  const who = await tokenFor({ read: ['x'] })
  for (const name of ['log', 'index'] as const) {
    const { reads, changes } = usesOf(name, sources[name])
    for (const [call, body] of reads) t.equal((await ask(app, call, who, body)).statusCode, 200, call)
    for (const [call, body] of changes) t.equal((await ask(app, call, who, body)).statusCode, 403, call)
    const { events } = (await ask(app, `GET /consumers/${name}/events`, who)).json()
    t.ok(
      events.every(({ stream }: { stream: string }) => stream === 'x'),
      'it sees only events of its scope'
    )
  }
  const theirs = usesOf('x', '/streams/x')
  for (const [call, body] of [...theirs.reads, ...theirs.changes]) {
    t.match(String((await ask(app, call, who, body)).statusCode), /^20[014]$/, `${call}: of a stream in its scope`)
  }
  const others = usesOf('y', '/streams/y')
  for (const [call, body] of [...others.reads, ...others.changes]) {
    t.equal((await ask(app, call, who, body)).statusCode, 403, `${call}: of another stream`)
  }
})

t.test('a token for all streams may create and change consumers of the log', async (t) => {
  const { app, sources, tokenFor } = await withConsumers(t)
  const who = await tokenFor({ read: ['*'] })
  for (const [name, source] of Object.entries(sources)) {
    const { reads, changes } = usesOf(name, source)
    for (const [call, body] of [...reads, ...changes]) {
      t.match(String((await ask(app, call, who, body)).statusCode), /^20[014]$/, call)
    }
  }
})
