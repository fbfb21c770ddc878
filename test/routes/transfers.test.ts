/** Long transfers over real sockets: NDJSON exports and streamed writes. */
import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { createInterface } from 'node:readline'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { encodeRemoved } from '../../src/log/format.js'
import type { Store } from '../../src/store/store.js'
import { transcribe } from '../../src/writing/import-as-log.js'
import { append, ask, listen } from '../helpers/app.js'
import { encodeEvent } from '../helpers/events.js'
import { send } from '../helpers/http.js'

t.test('an NDJSON export has one line per event, and a trailer at its end', async (t) => {
  const { url, store } = await listen(t)
  const events = Array.from({ length: 4000 }, (_, i) => encodeEvent('s', { data: i }))
  await store.writer.append({ events, conditions: [], kind: 'append' })
  const { text, headers, complete } = await send(`${url}/streams/s?trailer=true`, {
    headers: { accept: 'application/x-ndjson' }
  })
  t.ok(complete)
  t.match(headers['content-type'], /^application\/x-ndjson/)
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.same(lines.pop(), { end: { cursor: '3999', events: 4000 } })
  t.same(
    lines.map(({ data }) => data),
    Array.from({ length: 4000 }, (_, i) => i)
  )
  const some = await send(`${url}/events?format=ndjson&limit=3&order=desc`)
  t.equal(some.text.trimEnd().split('\n').length, 3)
})

t.test(
  'with record=true a line has all that its record can be restored from, for callers who may read the event',
  async (t) => {
    const { app, url, store } = await listen(t, { insecure: false, anonymous: true })
    await append(app, 'open-1', [
      { type: 'A', id: '5c1f7f3e-8a5b-4a57-9d0b-000000000001' },
      { type: 'B', data: 1 }
    ])
    await append(app, 'closed-1', { type: 'C' })
    await append(app, 'open-1', { type: 'D' })
    for (const stream of ['open-1', 'closed-1']) await remove(store, stream)
    const admin = { authorization: `Basic ${Buffer.from('admin:changeit').toString('base64')}` }
    const rule = await ask(app, 'PUT /streams/closed-1/metadata', admin, { acl: { read: 'admin' } })
    t.equal(rule.statusCode, 201)
    const read = async (query: string, headers = {}) => {
      const { text, status } = await send(`${url}/events?format=ndjson&record=true${query}`, { headers })
      t.equal(status, 200, text)
      return text === ''
        ? []
        : text
            .trimEnd()
            .split('\n')
            .map((line) => JSON.parse(line))
    }
    const lines = await read('')
    t.match(lines, [
      { type: 'A', record: { version: 1, kind: 'event', flags: 32, crc: /^[0-9a-f]{8}$/ } },
      { type: 'B', data: 1, record: { kind: 'event', flags: 8 } },
      { type: 'D' },
      {
        stream: 'open-1',
        number: 3,
        position: 4,
        cursor: '4',
        record: { kind: 'removed', flags: 8, hash: 'ab'.repeat(32) }
      }
    ])
    t.same(Object.keys(lines[3]), ['stream', 'number', 'position', 'cursor', 'created', 'record'])
    t.equal(lines.length, 4, 'hidden events are left out, removed or not')
    t.equal((await read('', admin)).length, 6)
    t.equal((await read('&stream=open-1')).length, 4)
    t.equal((await read('&type.not=A')).length, 2, 'a removed event has no known type, so the filter leaves it out')
    const plain = await send(`${url}/events?format=ndjson`)
    t.notMatch(plain.text, '"record"')
    t.equal(plain.text.trimEnd().split('\n').length, 3)
    for (const path of [
      '/events?record=true',
      '/events?record=true&format=ndjson&live=true',
      '/events?record=true&format=sse'
    ]) {
      t.match(
        JSON.parse((await send(url + path)).text),
        { status: 400, code: 'bad-parameter', parameter: 'record' },
        path
      )
    }
    t.match(JSON.parse((await send(`${url}/streams/open-1?record=true`)).text), { code: 'unknown-parameter' })
  }
)

/** Writes a removed record at the end of a stream. */
async function remove(store: Store, stream: string): Promise<void> {
  const number = (await store.sources.head(stream)) + 1
  const event = { stream, id: undefined, type: '', record: encodeRemoved(stream, Buffer.alloc(32, 0xab)) }
  await transcribe(store, [{ event, position: store.log.head + 1, number, created: store.log.lastCreated, line: 0 }])
  store.log.publishHead()
}

t.test(
  'an export stops reading events while its client does not read, and ends when the client disconnects',
  async (t) => {
    const { url, store } = await listen(t)
    for (let i = 0; i < 60; i++) {
      const events = Array.from({ length: 50 }, () => encodeEvent('s', { data: 'x'.repeat(10_000) }))
      await store.writer.append({ events, conditions: [], kind: 'append' })
    }
    const read = async () =>
      Number(/daybook_read_events_total (\d+)/.exec(await store.metrics.registry.metrics())?.[1] ?? 0)
    const response = await new Promise<IncomingMessage>((resolve) =>
      request(`${url}/events?format=ndjson`, resolve).end()
    )
    response.pause()
    // Reading has stopped when the count stays the same six times in a row, with other requests answered in between.
    let before = -1
    for (let same = 0; same < 5; ) {
      const now = await read()
      same = now === before ? same + 1 : 0
      before = now
      for (let i = 0; i < 20; i++) await send(`${url}/ping`)
    }
    t.ok(before < 2500, `${before} of 3000 events (30 MB) were read for a reader that takes none`)
    response.destroy()
    for (let i = 0; i < 20; i++) await send(`${url}/ping`)
    t.ok((await read()) < 3000, 'the rest was not read')
  }
)

t.test('receipts are sent while the write continues', async (t) => {
  const { url, store } = await listen(t)
  const { sent, receipts } = startWrite(`${url}/events?batch=2`)
  const next = async () => JSON.parse((await receipts.next()).value as string)
  sent.write('{"stream":"a","type":"T"}\n{"stream":"b","type":"T"}\n{"stream":"a"')
  t.same(await next(), { receipt: { lines: 2, appended: 2, replayed: 0, position: 1 } })
  t.equal(store.log.head, 1, 'it is on disk while the client still sends')
  sent.write(',"type":"U"}\n{"stream":"a","type":"V"}\n')
  t.match(await next(), { receipt: { lines: 4, position: 3 } })
  sent.end('{"stream":"c","type":"T"}')
  t.match(await next(), { receipt: { lines: 5, appended: 1 } })
  t.ok((await receipts.next()).done)
})

t.test(
  'an invalid line ends a streamed write: lines before it are written, later ones are not, and the problem names it',
  async (t) => {
    const { url, store } = await listen(t)
    const lines = [
      '{"stream":"a","type":"1"}',
      '{"stream":"a","type":"2"}',
      '{"stream":"a"}',
      '{"stream":"a","type":"4"}'
    ]
    const { text, status } = await send(`${url}/events?batch=100`, ndjson(), lines.join('\n'))
    t.equal(status, 200)
    const answers = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    t.match(answers, [
      { receipt: { lines: 2, appended: 2 } },
      { problem: { code: 'invalid-event', line: 3, detail: /Line 3/ } }
    ])
    t.equal(store.log.head, 1)
  }
)

t.test('a streamed write can be sent again from its beginning: known lines are replayed', async (t) => {
  const { url, store } = await listen(t)
  const id = (i: number) => `5c1f7f3e-8a5b-4a57-9d0b-${String(i).padStart(12, '0')}`
  const lines = Array.from(
    { length: 1000 },
    (_, i) => `{"stream":"s-${i % 9}","type":"T","id":"${id(i)}","data":${i}}\n`
  )
  await send(`${url}/events?batch=100`, ndjson(), lines.slice(0, 333).join(''))
  const packed = gzipSync(lines.join(''))
  const { text } = await send(`${url}/events?batch=100`, ndjson({ 'content-encoding': 'gzip' }), packed)
  const receipts = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line).receipt)
  t.equal(
    receipts.reduce((sum, { appended }) => sum + appended, 0),
    667
  )
  t.equal(
    receipts.reduce((sum, { replayed }) => sum + replayed, 0),
    333
  )
  t.equal(store.log.head, 999)
})

function ndjson(headers: Record<string, string> = {}) {
  return { method: 'POST', headers: { 'content-type': 'application/x-ndjson', ...headers } }
}

function startWrite(url: string): { sent: ClientRequest; receipts: AsyncIterator<string> } {
  const sent = request(url, ndjson())
  sent.flushHeaders()
  async function* read() {
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    yield* createInterface({ input: response })
  }
  return { sent, receipts: read() }
}
