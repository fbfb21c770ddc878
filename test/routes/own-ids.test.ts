/** Event ids are unique in their stream, also an id that the server generated and a client sends back. */
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { checkDirectory } from '../../src/verify/check-directory.js'
import { append, openApp } from '../helpers/app.js'
import { projectFile } from '../helpers/project.js'

const json = { 'content-type': 'application/json' }

t.test('an id that the server generated is recognised when a client sends it back', async (t) => {
  const { app, store, directory } = await openApp(t)
  const [made] = (await append(app, 's', { type: 'A', data: { a: 1 } })).json().events
  const again = await append(app, 's', { type: 'A', data: { a: 1 }, id: made.id })
  t.match(again.json(), { replayed: true, events: [{ id: made.id, number: 0 }] })
  const other = await append(app, 's', { type: 'A', data: { a: 2 }, id: made.id })
  t.match(other.json(), { status: 409, code: 'event-id-reused', number: 0 })
  const dialect = await app.inject({
    method: 'POST',
    url: '/streams/s',
    headers: { ...json, 'es-eventtype': 'A', 'es-eventid': made.id },
    payload: '{"a":1}'
  })
  t.equal(dialect.statusCode, 201, 'the EventStoreDB dialect also treats it as a retry')
  t.equal(store.log.head, 0, 'nothing was written')
  await append(app, 'elsewhere', { type: 'A', id: made.id })
  t.equal(store.log.head, 1, 'in another stream it is another event')
  t.match((await append(app, 'elsewhere', { type: 'A', id: made.id })).json(), { replayed: true })
  await app.close()
  t.same((await checkDirectory(directory)).disagreements, [])
})

t.test('metadata, tombstones and audit records also get ids that contain their position', async (t) => {
  const { app, store } = await openApp(t)
  await append(app, 's', { type: 'A' })
  await app.inject({ method: 'PUT', url: '/streams/s/metadata', headers: json, payload: '{"maxCount":5}' })
  await app.inject({ method: 'DELETE', url: '/streams/s' })
  await append(app, 's', { type: 'B' })
  await app.inject({ method: 'DELETE', url: '/streams/s?permanent=true' })
  t.ok(store.log.head >= 5)
  let read = 0
  for await (const records of store.log.scan(0, store.log.head)) {
    read += records.length
    for (const record of records)
      t.equal(store.log.placeOfId(record.id), record.position, `${record.type}: ${record.idText}`)
  }
  t.equal(read, store.log.head + 1, 'all records were read')
})

t.test('an id that contains a position beyond the head is refused, in every form of body', async (t) => {
  const { app, store } = await openApp(t)
  const [made] = (await append(app, 's', { type: 'A' })).json().events
  for (const place of [1, 2, 0xffffffffffff]) {
    const id =
      place
        .toString(16)
        .padStart(12, '0')
        .replace(/^(.{8})/, '$1-') + made.id.slice(13)
    const native = await append(app, 's', { type: 'A', id })
    t.match(native.json(), { status: 400, code: 'bad-event-id', written: false }, id)
    const payload = JSON.stringify({ events: [{ stream: 't', type: 'A', id }] })
    t.equal((await app.inject({ method: 'POST', url: '/events', headers: json, payload })).statusCode, 400)
    const headers = { ...json, 'es-eventtype': 'A', 'es-eventid': id }
    const dialect = await app.inject({ method: 'POST', url: '/streams/s', headers, payload: '{}' })
    t.equal(dialect.statusCode, 400)
  }
  t.equal(store.log.head, 0, 'nothing was written')
})

t.test('ids in a log of format 1 are unique, including ids that its server generated', async (t) => {
  const directory = join(t.testdir({}), 'db')
  cpSync(projectFile('test/fixtures/format-1'), directory, { recursive: true })
  const { app, store } = await openApp(t, { directory })
  const { head } = store.log
  const { body } = await app.inject('/streams/long-1?limit=4096&format=ndjson')
  const events = body
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.equal(events.length, 150)
  for (const { id, number, type, data } of [events[0], events[77], events[149]]) {
    t.match((await append(app, 'long-1', { id, type, data })).json(), { replayed: true, events: [{ id, number }] })
  }
  t.equal(store.log.head, head)
})

t.test('importing an export into the same log writes nothing', async (t) => {
  const { app, store } = await openApp(t)
  await append(app, 's', [
    { type: 'A', data: { a: 1.5 } },
    { type: 'B', tags: ['x'], metadata: { m: 1 } }
  ])
  await append(app, 's', {
    type: 'C',
    id: '5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11',
    occurred: '2026-11-23T10:15:29+01:00'
  })
  const text = { 'content-type': 'text/plain', 'event-type': 'Note' }
  await app.inject({ method: 'POST', url: '/streams/text', headers: text, payload: 'plain' })
  await app.inject({ method: 'PUT', url: '/streams/s/metadata', headers: json, payload: '{"maxCount":50}' })
  await append(app, 'ended', { type: 'A' })
  await app.inject({ method: 'DELETE', url: '/streams/ended?permanent=true' })
  const { head } = store.log
  const { body } = await app.inject('/events?format=ndjson&system=true&truncated=true&record=true')
  const lines = body.split('\n').filter((line) => line !== '' && !line.includes('"stream":"$audit"'))
  const sent = lines.map(withOccurred).join('\n')
  const headers = { 'content-type': 'application/x-ndjson' }
  const answer = await app.inject({ method: 'POST', url: '/events?batch=2', headers, payload: sent })
  t.notMatch(answer.body, /problem/)
  t.equal(store.log.head, head, 'every event was in the log already')
})

/** Adds `occurred` as an import does: an event without it occurred when the log recorded it. */
function withOccurred(line: string): string {
  const { occurred, created } = JSON.parse(line)
  return occurred === undefined ? line.replace('{', `{"occurred":"${created}",`) : line
}
