/** A consumer that nobody reads is marked, then removed: by the time in which somebody could have come, and no other. */
import t, { type Test } from 'tap'
import { append, listen, openApp } from '../helpers/app.js'
import { StillClock } from '../helpers/clock.js'
import { LiveSocket } from '../helpers/live-clients.js'
import { eventually } from '../helpers/live-events.js'

const HOUR = 3_600_000
const YEAR = 365 * 24 * HOUR

/** A server on a clock that stands still, with a consumer that lasts an hour. */
async function still(t: Test) {
  const clock = new StillClock()
  const directory = t.testdir({})
  const opened = await listen(t, { directory, clock })
  const { app, store } = opened
  await append(app, 's', { type: 'T' })
  const define = (name: string, settings: object = { expiresAfter: 'PT1H' }) =>
    app.inject({ method: 'PUT', url: `/consumers/${name}`, payload: { source: '/streams/s', ...settings } })
  await define('c')
  const state = async () => (await app.inject('/consumers/c')).json().state
  /** Changes are made one after the other: when this one was made, those before it were. */
  const settled = () => define('settled', {})
  return { ...opened, clock, directory, define, state, settled, names: () => namesOf(store) }
}

const namesOf = ({ consumers }: Awaited<ReturnType<typeof openApp>>['store']) => consumers.all().map(({ name }) => name)

t.test('expiresAfter: nobody came for so long, and it is marked; for twice as long, and it is removed', async (t) => {
  const { app, url, clock, directory, define, state } = await still(t)
  await define('read')
  await define('kept', {})
  const socket = await LiveSocket.open(t, `${url}/consumers/read/events?heartbeat=0`)
  await socket.untilEvents(1)
  clock.move(0.9 * HOUR)
  t.equal(await state(), 'idle')
  clock.move(0.6 * HOUR)
  t.equal(await state(), 'expired')
  await app.inject('/consumers/c/events')
  t.equal(await state(), 'idle', 'who reads it wakes it')
  clock.move(1.5 * HOUR)
  t.equal(await state(), 'expired')
  t.equal((await app.inject('/consumers/read')).json().state, 'connected', 'one that is read does not age')
  await app.close()
  clock.move(30 * 24 * HOUR)
  const later = await openApp(t, { directory, clock })
  t.same(namesOf(later.store), ['c', 'kept', 'read'], 'while the server was away nobody could come')
  clock.move(0.9 * HOUR)
  t.same(namesOf(later.store), ['c', 'kept', 'read'])
  clock.move(0.2 * HOUR)
  await eventually('they are removed', () => later.store.consumers.size === 1)
  t.same(namesOf(later.store), ['kept'])
  t.equal((await later.app.inject('/consumers/c/events')).statusCode, 404)
})

for (const [way, ahead] of [
  ['three hours ahead', 3 * HOUR],
  ['ten years ahead', 10 * YEAR],
  ['a year back', -YEAR]
] as const) {
  t.test(`a clock that is ${way} for some seconds, or for good, removes no consumer and marks none`, async (t) => {
    const { clock, state, settled, names } = await still(t)
    clock.ahead = ahead
    clock.move(4000)
    t.equal(await state(), 'idle')
    clock.ahead = 0
    clock.move(4000)
    t.equal(await state(), 'idle')
    clock.ahead = ahead
    clock.move(0.9 * HOUR)
    t.equal(await state(), 'idle')
    await settled()
    t.same(names(), ['c', 'settled'])
    clock.move(0.2 * HOUR)
    t.equal(await state(), 'expired', 'what has passed counts as always')
    clock.move(HOUR)
    await eventually('it is removed', () => !names().includes('c'))
  })
}

t.test('a server that was stopped, or whose machine slept, removes no consumer for it', async (t) => {
  const { clock, state, settled, names } = await still(t)
  clock.move(0.5 * HOUR)
  // A clock that goes on meanwhile, and one that does not.
  clock.skip(24 * HOUR)
  clock.move(4000)
  clock.ahead = 24 * HOUR
  clock.move(4000)
  t.equal(await state(), 'idle')
  await settled()
  t.same(names(), ['c', 'settled'])
})

t.test(
  'one that is read all the time does not age, whatever the clock says; when its reader goes it begins to',
  async (t) => {
    const { store, url, clock, state, names } = await still(t)
    const socket = await LiveSocket.open(t, `${url}/consumers/c/events?heartbeat=0`)
    await socket.untilEvents(1)
    clock.ahead = 24 * HOUR
    clock.move(5 * HOUR)
    clock.ahead = -24 * HOUR
    clock.move(5 * HOUR)
    t.equal(await state(), 'connected')
    socket.close()
    await eventually('its reader is gone', () => store.consumers.get('c').subscription === undefined)
    t.equal(await state(), 'idle')
    clock.move(0.9 * HOUR)
    t.equal(await state(), 'idle')
    clock.move(0.2 * HOUR)
    t.equal(await state(), 'expired')
    t.same(names(), ['c'])
  }
)

t.test('a consumer that was read last under a clock that was ahead ages from the next start on', async (t) => {
  const { app, clock, directory } = await still(t)
  clock.ahead = 10 * YEAR
  await app.inject('/consumers/c/events')
  await app.close()
  clock.ahead = 0
  const later = await openApp(t, { directory, clock })
  const { active, state } = (await later.app.inject('/consumers/c')).json()
  t.equal(state, 'idle')
  t.equal(Date.parse(active), clock.now(), 'nobody read in ten years from now')
  clock.move(2.1 * HOUR)
  await eventually('it is removed', () => later.store.consumers.size === 0)
})

t.test('while a consumer is read, its checkpoint is written often enough for a server that is killed', async (t) => {
  const { store, url, clock } = await still(t)
  const socket = await LiveSocket.open(t, `${url}/consumers/c/events?heartbeat=0`)
  await socket.untilEvents(1)
  clock.move(5 * HOUR)
  await eventually('it was saved', () => (store.places.get('consumer', 'c')?.active ?? 0) >= clock.now() - 0.3 * HOUR)
  t.pass('within a third of its time')
})
