/**
 * Writes test/fixtures/format-N once, for a new format. An existing fixture is never written again: it proves that the
 * data written then can still be read.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildApp } from '../../routes/index.js'
import { FORMAT_VERSION } from '../../src/log/format.js'
import { Store } from '../../src/store/store.js'
import { projectFile } from './project.js'

const folder = projectFile(`test/fixtures/${process.argv[2] ?? `format-${FORMAT_VERSION}`}`)
if (existsSync(folder)) throw new Error(`${folder} exists already`)
const store = await new Store({ directory: folder }).open()
const app = await buildApp(store, { insecure: true })

async function append(stream: string, body: string | Buffer, headers: Record<string, string> = {}): Promise<void> {
  const { statusCode, body: problem } = await app.inject({
    method: 'POST',
    url: `/streams/${encodeURIComponent(stream)}`,
    headers: { 'content-type': 'application/json', ...headers },
    payload: body
  })
  if (statusCode !== 201) throw new Error(problem)
}

await append('cart-1', '{"type":"ItemAdded","data":{"sku":"A-1","price":1.0,"big":123456789012345678901234567890}}')
await append('cart-1', '{"type":"Ünïcode 漢字","data":"\\u00e9 😀","metadata":{"$correlationId":"c-1"}}')
await append('with id', '{"id":"5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11","type":"T","data":null}')
await append('keyed', '[{"type":"A"},{"type":"B"}]', { 'idempotency-key': 'order-17' })
await append('größe/%.-漢', '{"type":"T","occurred":"2026-11-23T10:15:29+01:00","tags":["customer:ann","ä"],"data":[]}')
await append('text', 'plain text', { 'content-type': 'text/plain', 'event-type': 'Note' })
await append('bytes', Buffer.from([0, 255, 1, 254]), {
  'content-type': 'application/octet-stream',
  'event-type': 'Blob'
})
await append('$system', '{"type":"$hidden"}')
for (let i = 0; i < 150; i++) await append('long-1', `{"type":"Counted","data":{"i":${i}}}`)
await append('ended', '{"type":"T"}')
await app.inject({ method: 'DELETE', url: '/streams/ended?permanent=true' })
const json = { 'content-type': 'application/json' }
await app.inject({ method: 'PUT', url: '/streams/text/metadata', headers: json, payload: '{"maxCount":5}' })
const consumer = '{"source":"/streams/long-1","from":"start"}'
await app.inject({ method: 'PUT', url: '/consumers/mailer', headers: json, payload: consumer })
await app.inject('/consumers/mailer/events?limit=20')
await app.inject({
  method: 'POST',
  url: '/consumers/mailer/ack',
  headers: json,
  payload: '{"cursor":"7","generation":0}'
})
const { body } = await app.inject('/events?format=ndjson&system=true&truncated=true&record=true')
writeFileSync(`${folder}.ndjson`, body)
await app.close()
for (const database of ['log', 'index', 'checkpoints']) {
  for (const name of ['LOG', 'LOG.old', 'LOCK']) rmSync(join(folder, database, name), { force: true })
}
