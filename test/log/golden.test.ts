import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { checkDirectory } from '../../src/streams/check.js'
import { append, openApp } from '../helpers/app.js'

const GOLDEN_LOG = 'd5eb6f2f-dc74-4c63-b9ea-3ce51fa8fe37'

t.test('a directory written in format 1 is read byte for byte, and written on', async (t) => {
  const golden = fileURLToPath(new URL('../fixtures/format-1', import.meta.url))
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
  t.match(again.json(), { replayed: true }, 'a retry across versions is recognised')
  const head = store.log.head
  t.equal((await append(app, 'long-1', '{"type":"Counted"}')).json().position, head + 1)
})
