/** Operators can stop and reload a read-only server, although the audit cannot record the command. */
import { Writable } from 'node:stream'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/time/clock.js'
import { append, listen } from '../helpers/app.js'
import { send } from '../helpers/http.js'
import { eventually } from '../helpers/live-events.js'
import { admin, makeUser, ops } from '../helpers/people.js'

/** Opens a store with a full disk that does not look whether there is room again. */
async function openReadOnly(t: Test) {
  const clock = { ...systemClock, after: (ms: number, callback: () => void) => (ms === 1000 ? () => {} : systemClock.after(ms, callback)) } // biome-ignore format: one line
  const commands: string[] = []
  const control = { stop: () => commands.push('stop'), reload: async () => void commands.push('reload'), settings: [] }
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
  t.match(
    (await append(app, 's', { type: 'T' }, admin)).json(),
    { status: 507, code: 'read-only' },
    'the store is read-only'
  )
  const command = async (name: string, headers: Record<string, string>) =>
    (await send(`${url}/admin/${name}`, { method: 'POST', headers: { accept: '*/*', ...headers } })).status
  return { store, ann, head, commands, logged, command }
}

for (const [who, headers] of [
  ['an operator', ops],
  ['an administrator', admin]
] as const) {
  t.test(`${who} can stop a read-only server and reload its settings`, async (t) => {
    const { store, head, commands, logged, command } = await openReadOnly(t)
    t.equal(await command('reloadconfig', headers), 200)
    t.same(commands, ['reload'])
    t.equal(await command('shutdown', headers), 200)
    await eventually('the process is told to stop', () => commands.includes('stop'))
    t.equal(store.log.head, head, 'nothing could be written')
    for (const name of ['reloadconfig', 'shutdown']) {
      t.ok(logged.some((line) => line.includes('could not be recorded') && line.includes(name)), `${name} is in the server log`) // biome-ignore format: one line
    }
  })
}

t.test('other callers cannot stop or reload a read-only server', async (t) => {
  const { commands, ann, command } = await openReadOnly(t)
  for (const name of ['reloadconfig', 'shutdown']) {
    t.equal(await command(name, {}), 401)
    t.equal(await command(name, ann), 403)
  }
  t.same(commands, [])
})

t.test('a server that is not read-only does not run a command that it cannot record in the audit', async (t) => {
  const commands: string[] = []
  const control = { stop: () => commands.push('stop'), reload: async () => void commands.push('reload'), settings: [] }
  const { store, url } = await listen(t, { insecure: false, control })
  store.writer.append = () => Promise.reject(new Error('a fault of ours'))
  for (const name of ['reloadconfig', 'shutdown']) {
    const { status } = await send(`${url}/admin/${name}`, { method: 'POST', headers: { accept: '*/*', ...ops } })
    t.equal(status, 500, `${name}: not recorded, so not done`)
  }
  t.same(commands, [])
})
