/** Operators are obeyed also when the store stands still: that it cannot be written down stops nobody. */
import { Writable } from 'node:stream'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/time/clock.js'
import { append, listen } from '../helpers/app.js'
import { send } from '../helpers/http.js'
import { eventually } from '../helpers/live-events.js'
import { admin, makeUser, ops } from '../helpers/people.js'

/** A store whose disk is full, and does not look whether there is room again. */
async function stoodStill(t: Test) {
  const clock = { ...systemClock, after: (ms: number, callback: () => void) => (ms === 1000 ? () => {} : systemClock.after(ms, callback)) } // biome-ignore format: one line
  const told: string[] = []
  const control = { stop: () => told.push('stop'), reload: async () => void told.push('reload'), settings: [] }
  const logged: string[] = []
  const logTo = new Writable({
    write(chunk, _encoding, done) {
      logged.push(String(chunk))
      done()
    }
  })
  const { app, store, url } = await listen(t, { insecure: false, clock, control, logTo, logLevel: 'error' })
  const ann = await makeUser(store, 'ann')
  await append(app, 's', { type: 'T' }, admin)
  const { head } = store.log
  store.readOnlyMode.begin(new Error('no space left on device'))
  t.match((await append(app, 's', { type: 'T' }, admin)).json(), { status: 507, code: 'read-only' }, 'it stands still')
  const command = async (name: string, headers: Record<string, string>) =>
    (await send(`${url}/admin/${name}`, { method: 'POST', headers: { accept: '*/*', ...headers } })).status
  return { store, ann, head, told, logged, command }
}

for (const [who, headers] of [
  ['an operator', ops],
  ['an administrator', admin]
] as const) {
  t.test(`${who} stops a store that stands still, and has its settings read again`, async (t) => {
    const { store, head, told, logged, command } = await stoodStill(t)
    t.equal(await command('reloadconfig', headers), 200)
    t.same(told, ['reload'])
    t.equal(await command('shutdown', headers), 200)
    await eventually('it is told to stop', () => told.includes('stop'))
    t.equal(store.log.head, head, 'nothing could be written')
    for (const name of ['reloadconfig', 'shutdown']) {
      t.ok(logged.some((line) => line.includes('could not be recorded') && line.includes(name)), `${name} stands in the log`) // biome-ignore format: one line
    }
  })
}

t.test('others do not', async (t) => {
  const { told, ann, command } = await stoodStill(t)
  for (const name of ['reloadconfig', 'shutdown']) {
    t.equal(await command(name, {}), 401)
    t.equal(await command(name, ann), 403)
  }
  t.same(told, [])
})

t.test('what goes wrong otherwise leaves the command ungiven', async (t) => {
  const told: string[] = []
  const control = { stop: () => told.push('stop'), reload: async () => void told.push('reload'), settings: [] }
  const { store, url } = await listen(t, { insecure: false, control })
  store.writer.append = () => Promise.reject(new Error('a fault of ours'))
  for (const name of ['reloadconfig', 'shutdown']) {
    const { status } = await send(`${url}/admin/${name}`, { method: 'POST', headers: { accept: '*/*', ...ops } })
    t.equal(status, 500, `${name}: what is not written down is not done`)
  }
  t.same(told, [])
})
