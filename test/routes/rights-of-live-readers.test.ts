/** Live readers are closed when they lose the right to read, and receive no event that was committed after that. */
import t from 'tap'
import { append } from '../helpers/app.js'
import { movedClock } from '../helpers/clock.js'
import { type Block, LiveBlocks, LiveLines, LiveSocket } from '../helpers/live-clients.js'
import { admin, asJson, bearer, type Credentials, makeToken, setRules, withAnn } from '../helpers/people.js'

t.test('a live reader that loses its right is closed, and receives nothing more', async (t) => {
  const { app, store, url, bob } = await withAnn(t)
  await setRules(app, 'secret-1', { read: ['ann', 'sales'] })
  const socket = await LiveSocket.open(t, `${url}/streams/secret-1`, bob)
  const stream = await LiveBlocks.open(t, `${url}/streams/secret-1`, bob)
  const lines = await LiveLines.open(t, `${url}/streams/secret-1?live=true`, bob)
  for (const reader of [socket, stream, lines]) await reader.untilEvents(1)
  await socket.until('the reader is live', (frames) => frames.some(({ frame }) => frame === 'caughtUp'))
  // Both at once: the event is in the log before any reader can have noticed the new rule.
  const rules = setRules(app, 'secret-1', { read: 'ann' })
  await Promise.all([rules, rules.then(() => append(app, 'secret-1', { type: 'Whispered' }, admin))])
  t.match(await socket.closed, { code: 4403, reason: 'not-permitted' })
  t.match(socket.all.at(-1), { frame: 'closing', code: 'not-permitted' })
  await stream.until('the closing event', (blocks: readonly Block[]) => blocks.some(({ event }) => event === 'closing'))
  await lines.until('the closing event', (all) => all.some((line) => line.includes('"problem"')))
  for (const reader of [socket, stream, lines])
    t.equal(reader.events.length, 1, 'no event after the change of the rule')
  t.equal(store.subscriptions.size, 0)
})

t.test('live readers are closed when their account changes, or their token is revoked or expires', async (t) => {
  const clock = movedClock()
  const { app, store, url, ann } = await withAnn(t, { clock })
  const { id, text } = await makeToken(store, 'ann', { read: ['*'] })
  const soon = await makeToken(store, 'ann', { read: ['*'] }, clock.now() + 3_600_000)
  for (const path of ['/events', '/streams/secret-1']) {
    clock.ahead = 0
    const open = (who: Credentials) => LiveSocket.open(t, `${url}${path}`, who)
    const [expiring, byToken, byPassword] = [await open(bearer(soon.text)), await open(bearer(text)), await open(ann)]
    clock.ahead = 3_600_000
    t.match(await expiring.closed, { code: 4401 }, `${path}: the token has expired`)
    t.equal(store.subscriptions.size, 2, 'the other readers continue')
    if (path === '/events') {
      await app.inject({ method: 'PUT', url: '/users/ann', headers: asJson(admin), payload: { fullName: 'Ann' } })
      t.match(await byToken.closed, { code: 4401 }, `${path}: the account was changed`)
    } else {
      await app.inject({ method: 'DELETE', url: `/tokens/${id}`, headers: ann })
      t.match(await byToken.closed, { code: 4401 }, `${path}: the token was revoked`)
      t.equal(store.subscriptions.size, 1, 'the reader with the password continues')
      await app.inject({ method: 'POST', url: '/users/ann/command/disable', headers: admin })
    }
    t.match(await byPassword.closed, { code: 4401 }, `${path}: the account was changed`)
  }
})

t.test('a live reader of a stream without rules is closed when the settings take the right away', async (t) => {
  const { app, url, bob } = await withAnn(t)
  const socket = await LiveSocket.open(t, `${url}/streams/order-1`, bob)
  await socket.untilEvents(1)
  const data = { $userStreamAcl: { $r: '$admins' } }
  const settings = append(app, '$settings', { type: '$settings', data }, admin)
  await Promise.all([settings, settings.then(() => append(app, 'order-1', { type: 'TooLate' }, admin))])
  t.match(await socket.closed, { code: 4403 })
  t.equal(socket.events.length, 1)
})

t.test('a deleted stream keeps its rules, also for the events that come after', async (t) => {
  const { app, url, ann, bob } = await withAnn(t)
  await app.inject({ method: 'DELETE', url: '/streams/secret-1', headers: admin })
  await t.rejects(LiveSocket.open(t, `${url}/streams/secret-1`, bob), /refused with 403/)
  const socket = await LiveSocket.open(t, `${url}/streams/secret-1`, ann)
  await append(app, 'secret-1', { type: 'Again' }, ann)
  await socket.untilEvents(1)
  t.equal((await app.inject({ url: '/streams/secret-1', headers: bob })).statusCode, 403)
})

t.test('after a rule change, a reader of the log receives exactly the events that it may read then', async (t) => {
  const { app, url, ann, bob } = await withAnn(t)
  const [anns, bobs] = [await LiveSocket.open(t, `${url}/events?from=end`, ann), await LiveSocket.open(t, `${url}/events?from=end`, bob)] // biome-ignore format: two of a kind
  for (const reader of [anns, bobs]) await reader.until('live', (all) => all.some(({ frame }) => frame === 'caughtUp'))
  const whisper = (type: string) => append(app, 'secret-1', { type }, admin)
  await whisper('ToAnn')
  await setRules(app, 'secret-1', { read: 'bob' })
  await whisper('ToBob')
  await append(app, 'order-1', { type: 'Last' }, admin)
  for (const reader of [anns, bobs]) await reader.until('the last event', () => reader.events.at(-1)?.type === 'Last')
  t.same(
    anns.events.map(({ type }) => type),
    ['ToAnn', 'Last']
  )
  t.same(
    bobs.events.map(({ type }) => type),
    ['ToBob', 'Last']
  )
})

t.test('events that wait for a slow reader are checked again when rules change', async (t) => {
  const { app, url, ann } = await withAnn(t)
  const reader = await LiveSocket.open(t, `${url}/events?from=end&credit=1`, ann)
  await reader.until('live', (all) => all.some(({ frame }) => frame === 'caughtUp'))
  for (let i = 0; i < 3; i++) await append(app, 'secret-1', { type: `Whispered${i}` }, admin)
  await append(app, 'order-1', { type: 'Last' }, admin)
  await reader.untilEvents(1)
  await setRules(app, 'secret-1', { read: 'bob' })
  reader.socket.send(JSON.stringify({ frame: 'credit', events: 10 }))
  await reader.until('the last event', () => reader.events.at(-1)?.type === 'Last')
  t.same(
    reader.events.map(({ type }) => type),
    ['Whispered0', 'Last']
  )
})
