/** Audited changes that are planned together with other appends. */
import t from 'tap'
import { openApp } from '../helpers/app.js'
import { encodeEvent } from '../helpers/events.js'
import { makeUser, principalOf, setRules } from '../helpers/people.js'

t.test('a condition on events and an audited change fit in one commit, also when $audit has metadata', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  await makeUser(store, 'bob')
  await setRules(app, 'a', { read: 'bob' })
  await store.writer.append({
    kind: 'append',
    events: [encodeEvent('$$$audit', { type: '$metadata', data: { $maxAge: 100_000 } })],
    conditions: []
  })
  const actor = (login: string) => ({ principal: principalOf(store, login), address: '127.0.0.1', requestId: login })
  let release = () => {}
  const held = store.writer.inTurn(() => new Promise<void>((resolve) => void (release = resolve)))
  const rules = encodeEvent('$$b', { type: '$metadata', data: { $acl: { $r: 'bob' } } })
  const change = store.writer.append({ kind: 'append', events: [rules], conditions: [], by: actor('admin') })
  const by = actor('bob')
  const matches = [{ items: [{ types: [], tags: ['x'] }], after: -1, index: 0, seenBy: by.principal }]
  const decision = store.writer.append({ kind: 'append', events: [encodeEvent('c')], conditions: [], matches, by })
  while (store.writer.queued < 2) await new Promise((resolve) => setImmediate(resolve))
  release()
  await held
  t.equal((await change).events.length, 1)
  t.equal((await decision).events.length, 1)
})
