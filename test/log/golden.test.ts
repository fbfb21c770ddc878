import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { checkDirectory } from '../../src/verify/check-directory.js'
import { append, openApp } from '../helpers/app.js'
import { projectFile } from '../helpers/project.js'

const GOLDEN_LOG = 'd5eb6f2f-dc74-4c63-b9ea-3ce51fa8fe37'

t.test('a directory of format 1 returns its events byte for byte and accepts new ones', async (t) => {
  const golden = projectFile('test/fixtures/format-1')
  const directory = join(t.testdir({}), 'db')
  cpSync(golden, directory, { recursive: true })
  t.same((await checkDirectory(directory)).disagreements, [], 'log and index agree')
  const { app, store } = await openApp(t, { directory })
  t.match(store.log, { id: GOLDEN_LOG, ancestors: [] }, 'it is the same log')
  t.equal((await app.inject('/events?format=ndjson&system=true')).body, readFileSync(`${golden}.ndjson`, 'utf8'))
  const long = (await app.inject('/streams/long-1?limit=200')).json()
  t.equal(long.events.length, 150)
  t.equal((await app.inject(`/streams/${encodeURIComponent('größe/%.-漢')}/0`)).json().type, 'T')
  const again = await append(app, 'keyed', '[{"type":"A"},{"type":"B"}]', { 'idempotency-key': 'order-17' })
  t.match(again.json(), { replayed: true }, 'a retry of an append made with format 1 is recognised')
  const head = store.log.head
  t.equal((await append(app, 'long-1', '{"type":"Counted"}')).json().position, head + 1)
})

t.test('a directory of format 2 is used without migration: records, index, ids, checkpoints', async (t) => {
  const golden = projectFile('test/fixtures/format-2')
  const directory = join(t.testdir({}), 'db')
  cpSync(golden, directory, { recursive: true })
  t.same((await checkDirectory(directory)).disagreements, [], 'log and index agree')
  const mark = join(directory, 'index', 'mark-of-this-folder')
  writeFileSync(mark, 'a rebuild of the index would delete this file')
  const { app, store } = await openApp(t, { directory })
  t.ok(existsSync(mark), 'the index is not rebuilt')
  t.match(store.log, { id: '78e1bdce-17ba-48f9-8c07-9143295b9b7d', ancestors: [] }, 'it is the same log')
  const lines = readFileSync(`${golden}.ndjson`, 'utf8')
  t.equal((await app.inject('/events?format=ndjson&system=true&truncated=true&record=true')).body, lines)
  const { head } = store.log
  const events = lines.split('\n').filter((line) => /"stream":"(with id|long-1)"/.test(line))
  t.equal(events.length, 151)
  for (const line of events.slice(0, 20)) {
    const { stream, id, type, data, number } = JSON.parse(line)
    const again = await append(app, stream, { id, type, data })
    t.match(again.json(), { replayed: true, events: [{ number }] }, `${stream}/${number} is recognised by its id`)
  }
  t.match((await app.inject('/consumers/mailer')).json(), { cursor: '7', generation: 0 }, 'a consumer has its cursor')
  t.match((await app.inject('/streams/ended')).json(), { status: 410 })
  t.equal(store.log.head, head)
  t.equal((await append(app, 'long-1', '{"type":"Counted"}')).json().events[0].number, 150)
})
