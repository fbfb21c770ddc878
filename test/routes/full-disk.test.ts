/** The first write on a full disk gets the same response as later ones, 507. This holds for every kind of write. */
import t, { type Test } from 'tap'
import { Level } from '../../src/log/level.js'
import { ask, openApp } from '../helpers/app.js'

const EVENT = { type: 'T' }
const CONSUMER = { source: '/streams/s' }

/** Every call that writes, with its body and headers. */
const writes: Record<string, readonly [body?: unknown, headers?: Record<string, string>]> = {
  'POST /streams/s': [EVENT],
  'POST /streams/atom': [{ a: 1 }, { 'es-eventtype': 'T', 'es-eventid': '5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11' }],
  'POST /events': [{ events: [{ stream: 's', ...EVENT }] }],
  'DELETE /streams/s': [],
  'DELETE /streams/s?permanent=true': [],
  'PUT /streams/s/metadata': [{ maxCount: 5 }],
  'PATCH /streams/s/metadata': [{ maxCount: 6 }],
  'PUT /consumers/new': [CONSUMER],
  'DELETE /consumers/c': [],
  'POST /consumers/c/ack': [{ cursor: '0', generation: 0 }],
  'POST /consumers/c/reset': [{ to: 'start' }],
  'POST /users': [{ loginName: 'ann', fullName: 'Ann', groups: [], password: 'secret' }],
  'POST /users/ops/command/disable': [],
  'POST /users/ops/command/reset-password': [{ newPassword: 'other' }]
}

t.test('every write that meets a full disk is answered with 507', async (t) => {
  for (const [call, [body, headers]] of Object.entries(writes)) {
    const { app, store } = await openPrepared(t, call)
    const restore = failWrites()
    const answer = await ask(app, call, headers, body)
    restore()
    t.equal(answer.statusCode, 507, `${call}: ${answer.body}`)
    t.equal(answer.headers['retry-after'], '1', call)
    if (answer.body !== '') {
      t.match(answer.json(), { code: 'read-only', retry: true, written: /false|unknown/ }, call)
      t.notMatch(answer.body, /No space|\.log|\/tmp/, `${call}: the error names no paths`)
    }
    t.equal((await ask(app, 'GET /streams/s')).statusCode, 200, `${call}: reads still work`)
    await store.close()
  }
  const { app } = await openPrepared(t, 'streamed')
  const restore = failWrites()
  const lines = `${JSON.stringify({ stream: 's', ...EVENT })}\n`
  const streamed = await ask(app, 'POST /events?batch=10', { 'content-type': 'application/x-ndjson' }, lines)
  restore()
  t.match(streamed.body, /"status":507.*/, 'a streamed write reports the problem in its last line')
})

async function openPrepared(t: Test, name: string) {
  const directory = t.testdir({}).concat('/', name.replace(/\W/g, '-'))
  const opened = await openApp(t, { directory, ballastBytes: 0 })
  await ask(opened.app, 'POST /streams/s', {}, EVENT)
  await ask(opened.app, 'PUT /consumers/c', {}, CONSUMER)
  return opened
}

/** Makes every write fail as on a full disk. @returns a function that makes room again */
function failWrites(): () => void {
  const { writeSynced } = Level.prototype
  Level.prototype.writeSynced = () => Promise.reject(new Error('IO error: /tmp/x/000003.log: No space left on device'))
  return () => Object.assign(Level.prototype, { writeSynced })
}
