import t from 'tap'
import { append, openApp } from '../helpers/app.js'

t.test('an append returns the number and position of each event, and a read returns the events', async (t) => {
  const { app } = await openApp(t)
  const answer = await append(app, 'cart-1', { type: 'ItemAdded', data: { sku: 'A-1', qty: 2 } })
  t.equal(answer.statusCode, 201)
  t.equal(answer.headers.location, '/streams/cart-1/0')
  t.equal(answer.headers.etag, '"0"')
  t.match(answer.json(), { stream: 'cart-1', head: 0, replayed: false, events: [{ number: 0, position: 0 }] })

  const page = (await app.inject('/streams/cart-1')).json()
  t.match(page, {
    stream: 'cart-1',
    head: 0,
    atEnd: true,
    cursor: '0',
    events: [{ type: 'ItemAdded', data: { sku: 'A-1', qty: 2 } }]
  })
})

t.test('data and metadata come back byte for byte', async (t) => {
  const { app } = await openApp(t)
  const data = '{"a":1.0,"big":123456789012345678901234567890,"z":{"__proto__":{"x":1}},"e":"\\u00e9\\/é","n":-0.0e+10}'
  const body = `{"metadata": ${data},\n "type":"T","data":\n${data}\n}`
  t.equal((await append(app, 's', body)).statusCode, 201)
  const line = (await app.inject({ url: '/streams/s', headers: { accept: 'application/x-ndjson' } })).body
  t.ok(line.includes(`"data":${data},"metadata":${data}}`), line)
  t.equal(({} as { x?: number }).x, undefined)
})

t.test(
  'If-Match and If-None-Match are checked against the head; a failed condition returns the missed events',
  async (t) => {
    const { app } = await openApp(t)
    const event = { type: 'T' }
    t.equal((await append(app, 's', event, { 'if-match': '*' })).statusCode, 412)
    t.equal((await append(app, 's', event, { 'if-none-match': '*' })).statusCode, 201)
    t.equal((await append(app, 's', event, { 'if-none-match': '*' })).statusCode, 412)
    t.equal((await append(app, 's', event, { 'if-match': '"0"' })).statusCode, 201)
    t.equal(
      (await append(app, 's', event, { 'if-match': '"1;x9"' })).statusCode,
      201,
      'the ETag of a read is a valid condition'
    )
    const refused = await append(app, 's', event, { 'if-match': '"0"' })
    t.equal(refused.statusCode, 412)
    t.match(refused.json(), { code: 'wrong-expected-version', stream: 's', expected: 0, head: 2, written: false })
    t.same(
      refused.json().missed.map((one: { number: number }) => one.number),
      [1, 2]
    )
    const bads: Record<string, string>[] = [
      { 'if-match': '7' },
      { 'if-match': 'W/"7"' },
      { 'if-match': '"1"', 'if-none-match': '*' },
      { 'if-none-match': '"1"' }
    ]
    for (const bad of bads) {
      t.match((await append(app, 's', event, bad)).json(), { status: 400, code: 'bad-condition' }, JSON.stringify(bad))
    }
    t.equal((await app.inject('/streams/s')).json().head, 2, 'refused appends wrote nothing')
  }
)

t.test('a retry gets the first answer again; other content under the same id or key is refused', async (t) => {
  const { app } = await openApp(t)
  const id = '5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11'
  const first = (await append(app, 's', { id, type: 'T', data: 1 }, { 'if-none-match': '*' })).json()
  await append(app, 's', { type: 'Other' })
  const again = await append(app, 's', { id, type: 'T', data: 1 }, { 'if-none-match': '*' })
  t.equal(again.statusCode, 201)
  t.match(again.json(), { replayed: true, events: first.events })
  t.match((await append(app, 's', { id, type: 'T', data: 2 })).json(), { status: 409, code: 'event-id-reused' })
  t.match((await append(app, 's', [{ id, type: 'T', data: 1 }, { type: 'New' }])).json(), {
    status: 409,
    code: 'partial-replay'
  })
  t.equal(
    (await append(app, 'other', { id, type: 'T', data: 2 })).statusCode,
    201,
    'an id identifies an event within its stream only'
  )
  const key = { 'idempotency-key': 'order-17' }
  t.equal((await append(app, 'k', [{ type: 'A' }, { type: 'B' }], key)).json().replayed, false)
  t.equal((await append(app, 'k', [{ type: 'A' }, { type: 'B' }], key)).json().replayed, true)
  t.match((await append(app, 'k', [{ type: 'A' }], key)).json(), { status: 422, code: 'idempotency-key-reused' })
  t.match((await append(app, 'k', [{ type: 'A' }, { type: 'B' }, { type: 'C' }], key)).json(), { status: 422 })
})

t.test('acknowledged events are there after the store is closed and reopened', async (t) => {
  const { app, directory } = await openApp(t)
  for (let i = 0; i < 200; i++) await append(app, `s-${i % 3}`, { type: 'T', data: i })
  await app.close()
  const { app: next } = await openApp(t, { directory })
  const events = (await next.inject('/events?limit=1000')).json().events
  t.same(
    events.map((event: { data: number }) => event.data),
    Array.from({ length: 200 }, (_, i) => i)
  )
  t.equal((await append(next, 's-0', { type: 'T' })).json().position, 200)
})

t.test('invalid bodies are refused with a code for each mistake, and nothing is written', async (t) => {
  const { app } = await openApp(t)
  const cases: [unknown, number, string][] = [
    ['{"type":', 400, 'malformed-json'],
    ['{"type":"a","type":"b"}', 400, 'malformed-json'],
    ['[]', 400, 'empty-batch'],
    [{ data: 1 }, 400, 'invalid-event'],
    [{ type: 'T', dat: 1 }, 400, 'invalid-event'],
    [{ type: 'T', id: 'x' }, 400, 'invalid-event'],
    [{ type: 'T', occurred: 'yesterday' }, 400, 'invalid-event'],
    [{ type: 'T', tags: Array.from({ length: 33 }, (_, i) => `t${i}`) }, 400, 'invalid-event'],
    [{ type: 'T', data: 'x'.repeat(4 * 1024 * 1024) }, 413, 'event-too-large'],
    ['"text"', 400, 'invalid-event'],
    ['[[]]', 400, 'invalid-event'],
    [`{"type":"T","data":${'['.repeat(100_000)}`, 400, 'malformed-json']
  ]
  for (const [body, status, code] of cases) {
    const answer = await append(app, 's', body)
    t.match(answer.json(), { status, code }, JSON.stringify(body).slice(0, 60))
    t.equal(answer.statusCode, status)
  }
  t.equal((await app.inject('/streams/s')).statusCode, 404)
})
