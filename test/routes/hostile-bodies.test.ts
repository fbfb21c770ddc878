/** Compression bombs, and bodies with too much data where little is expected, are refused at little cost. */
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { limits } from '../../src/limits.js'
import { append, ask, openApp } from '../helpers/app.js'
import { admin, makeUser } from '../helpers/people.js'

const MEGABYTE = 1024 * 1024

async function refusal(app: FastifyInstance, call: string, headers: Record<string, string>, payload: Buffer | string) {
  const [method, url] = call.split(' ') as ['POST', string]
  const typed = { accept: '*/*', 'content-type': 'application/json' }
  return (await app.inject({ method, url, headers: { ...typed, ...headers }, payload })).json()
}

const SMALL = [
  'POST /users',
  'PUT /users/bob',
  'POST /users/bob/command/reset-password',
  'POST /users/admin/command/change-password',
  'POST /tokens',
  'POST /tickets',
  'PUT /consumers/new',
  'PUT /consumers/there',
  'POST /consumers/there/ack',
  'POST /consumers/there/reset'
]

t.test('a body that is small compressed and large inflated is refused with the limit of its address', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  await makeUser(store, 'bob')
  await ask(app, 'PUT /consumers/there', admin, { source: '/events' })
  const { head } = store.log
  const bomb = Buffer.from(
    `{"source":"/streams/s","name":"x","loginName":"x","password":"${' '.repeat(40 * MEGABYTE)}"}`
  )
  const packed = { gzip: gzipSync(bomb), 'x-gzip': gzipSync(bomb), deflate: deflateSync(bomb), br: brotliCompressSync(bomb) } // biome-ignore format: a list
  const small = limits.small_body_bytes_max
  for (const [encoding, bytes] of Object.entries(packed)) {
    t.ok(bytes.length < small, `${encoding}: ${bytes.length} compressed bytes are within the limit`)
    for (const call of SMALL) {
      const problem = await refusal(app, call, { ...admin, 'content-encoding': encoding }, bytes)
      t.match(problem, { status: 413, code: 'body-too-large', limit: small }, `${call}, ${encoding}`)
    }
    for (const call of ['POST /streams/s', 'POST /events']) {
      const problem = await refusal(app, call, { ...admin, 'content-encoding': encoding }, bytes)
      t.match(problem, { status: 413, code: 'body-too-large', limit: limits.body_bytes_max }, `${call}, ${encoding}`)
    }
  }
  for (const call of SMALL) {
    const problem = await refusal(app, call, admin, `{"name":"${'x'.repeat(small)}"}`)
    t.match(problem, { status: 413, code: 'body-too-large', limit: small }, `${call}, not compressed`)
  }
  for (const call of ['PUT /streams/s/metadata', 'PATCH /streams/s/metadata']) {
    const problem = await refusal(app, call, { ...admin, 'content-encoding': 'gzip' }, gzipSync(`{"own":"${'x'.repeat(MEGABYTE)}"}`)) // biome-ignore format: one line
    t.match(problem, { status: 413, code: 'body-too-large', limit: limits.metadata_bytes_max }, call)
  }
  t.equal(store.log.head, head, 'nothing is written')
  t.equal(
    (await ask(app, 'PUT /consumers/new', admin, { source: '/events' })).statusCode,
    201,
    'a small body is accepted'
  )
})

t.test('a batch with too many events is refused without reading the rest', async (t) => {
  const { app, store } = await openApp(t)
  const most = limits.batch_events_max
  const list = (event: string, count: number) => Array(count).fill(event).join(',')
  // Each body ends in text that is no event. Only a parser that reads to the end finds it.
  const bodies = (count: number): [call: string, body: string, type: string][] => [
    ['POST /streams/s', `[${list('{"type":"T"}', count)},nonsense`, 'application/json'],
    ['POST /events', `{"events":[${list('{"stream":"s","type":"T"}', count)},nonsense`, 'application/json'],
    ['POST /streams/s', `${'{"type":"T"}\n'.repeat(count)}nonsense`, 'application/x-ndjson']
  ]
  for (const [call, body, type] of bodies(most + 1)) {
    const problem = await refusal(app, call, { 'content-type': type }, body)
    t.match(problem, { status: 413, code: 'batch-too-large', limit: most }, `${call} ${type}`)
  }
  for (const [call, body, type] of bodies(most - 1)) {
    const problem = await refusal(app, call, { 'content-type': type }, body)
    t.match(
      problem,
      { status: 400, code: 'invalid-event' },
      `${call} ${type}: a batch within the limit is read to its end`
    )
  }
  t.equal(store.log.head, -1, 'nothing is written')
  t.equal((await append(app, 's', `[${list('{"type":"T"}', most)}]`)).statusCode, 201)
})

t.test('short members of an event have a size limit for values of every type', async (t) => {
  const { app, store } = await openApp(t)
  const many = JSON.stringify(Array(20_000).fill('x'))
  const nested = `{"a":${'['.repeat(40_000)}${']'.repeat(40_000)}}`
  const deep = `[${'[1],'.repeat(30_000)}1]`
  for (const member of ['type', 'id', 'tags', 'occurred', 'stream']) {
    for (const value of [many, deep, `{"a":${many}}`]) {
      const event = `{${member === 'type' ? '' : '"type":"T",'}"${member}":${value}}`
      if (member !== 'stream') {
        const one = await refusal(app, 'POST /streams/s', {}, event)
        t.match(one, { status: 400, code: 'invalid-body', limit: limits.json_value_bytes_max }, member)
        const lines = await refusal(app, 'POST /streams/s', { 'content-type': 'application/x-ndjson' }, `${event}\n`)
        t.match(lines, { status: 400, code: 'invalid-body', line: 1 }, `${member}, as NDJSON`)
      }
      const named = member === 'stream' ? event : event.replace('{', '{"stream":"s",')
      const several = await refusal(app, 'POST /events', {}, `{"events":[${named}]}`)
      t.match(
        several,
        { status: 400, code: 'invalid-body', limit: limits.json_value_bytes_max },
        `${member}, in a batch of several streams`
      )
      const streamed = await refusal(app, 'POST /events', { 'content-type': 'application/x-ndjson' }, `${named}\n`)
      t.match(streamed, { problem: { status: 400, code: 'invalid-body', line: 1 } }, `${member}, streamed`)
    }
  }
  for (const member of ['type', 'data', 'tags']) {
    const problem = await refusal(app, 'POST /streams/s', {}, `{"type":"T","${member}":${nested}}`)
    t.equal(problem.status, 400, `${member}, nested deeply`)
  }
  t.equal((await append(app, 's', `{"type":"T","data":${many}}`)).statusCode, 201, 'data may be large')
  t.equal(store.log.head, 0)
})

t.test('conditions are limited in bytes, in number, and in the names that they list', async (t) => {
  const { app, store } = await openApp(t)
  const events = '"events":[{"stream":"s","type":"T"}]'
  const post = (conditions: unknown) =>
    refusal(app, 'POST /events', {}, `{${events},"conditions":${JSON.stringify(conditions)}}`)
  const match = (items: object[]) => ({ failIfEventsMatch: { items } })
  const most = limits.conditions_bytes_max
  t.match(await post(Array(6).fill('x'.repeat(most / 5))), { status: 400, code: 'invalid-body', limit: most }, 'bytes')
  t.match(await post('x'.repeat(most)), { status: 400 }, 'a single string')
  t.match(await post(Array.from({ length: limits.conditions_max + 1 }, (_, i) => ({ stream: `s-${i}`, head: 'none' }))), { status: 400, code: 'bad-condition' }, 'number') // biome-ignore format: one line
  const items = Array.from({ length: limits.match_items_max + 1 }, (_, i) => ({ types: [`T${i}`] }))
  t.match(await post([match(items.slice(0, 600)), match(items.slice(0, 600))]), { status: 400, code: 'bad-condition', limit: limits.match_items_max }, 'items') // biome-ignore format: one line
  const names = Array.from({ length: 100 }, (_, i) => `T${i}`)
  const wide = Array.from({ length: limits.match_names_max / 100 + 1 }, () => ({ types: names }))
  t.match(await post([match(wide)]), { status: 400, code: 'bad-condition' }, 'names')
  t.equal(store.log.head, -1, 'nothing is written')
  t.equal((await post([{ stream: 's', head: 'none' }, match(items.slice(0, 10))])).head ?? 0, 0)
  t.equal(store.log.head, 0)
})
