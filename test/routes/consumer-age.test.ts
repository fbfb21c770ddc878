/** Expiry of unread consumers: only time in which a client could have read counts. */
import t, { type Test } from 'tap'
import { append, listen, openApp } from '../helpers/app.js'
import { StillClock } from '../helpers/clock.js'
import { LiveSocket } from '../helpers/live-clients.js'
import { eventually } from '../helpers/live-events.js'

const HOUR = 3_600_000
const YEAR = 365 * 24 * HOUR

/** Opens a server on a clock that a test moves, with a consumer that expires after an hour. */
async function openWithStillClock(t: Test) {
  const clock = new StillClock()
  const directory = t.testdir({})
  const opened = await listen(t, { directory, clock })
  const { app, store } = opened
  await append(app, 's', { type: 'T' })
  const define = (name: string, settings: object = { expiresAfter: 'PT1H' }) =>
    app.inject({ method: 'PUT', url: `/consumers/${name}`, payload: { source: '/streams/s', ...settings } })
  await define('c')
  const state = async () => (await app.inject('/consumers/c')).json().state
  /** Definitions are applied in order: once this one is done, all changes before it are. */
  const settled = () => define('settled', {})
  return { ...opened, clock, directory, define, state, settled, names: () => namesOf(store) }
}

const namesOf = ({ consumers }: Awaited<ReturnType<typeof openApp>>['store']) => consumers.all().map(({ name }) => name)

t.test(
  'a consumer without a reader is marked expired after expiresAfter, and removed after twice that time',
  async (t) => {
    const { app, url, clock, directory, define, state } = await openWithStillClock(t)
    await define('read')
    await define('kept', {})
    const socket = await LiveSocket.open(t, `${url}/consumers/read/events?heartbeat=0`)
    await socket.untilEvents(1)
    clock.move(0.9 * HOUR)
    t.equal(await state(), 'idle')
    clock.move(0.6 * HOUR)
    t.equal(await state(), 'expired')
    await app.inject('/consumers/c/events')
    t.equal(await state(), 'idle', 'a read makes it idle again')
    clock.move(1.5 * HOUR)
    t.equal(await state(), 'expired')
    t.equal((await app.inject('/consumers/read')).json().state, 'connected', 'a connected consumer does not age')
    await app.close()
    clock.move(30 * 24 * HOUR)
    const later = await openApp(t, { directory, clock })
    t.same(namesOf(later.store), ['c', 'kept', 'read'], 'time in which the server is stopped does not count')
    clock.move(0.9 * HOUR)
    t.same(namesOf(later.store), ['c', 'kept', 'read'])
    clock.move(0.2 * HOUR)
    await eventually('both are removed', () => later.store.consumers.size === 1)
    t.same(namesOf(later.store), ['kept'])
    t.equal((await later.app.inject('/consumers/c/events')).statusCode, 404)
  }
)

for (const [way, ahead] of [
  ['three hours ahead', 3 * HOUR],
  ['ten years ahead', 10 * YEAR],
  ['a year back', -YEAR]
] as const) {
  t.test(`a clock that is ${way}, for some seconds or for good, does not mark or remove a consumer`, async (t) => {
    const { clock, state, settled, names } = await openWithStillClock(t)
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
    t.equal(await state(), 'expired', 'time that has passed counts as usual')
    clock.move(HOUR)
    await eventually('the consumer is removed', () => !names().includes('c'))
  })
}

t.test('time in which the process is stopped or the machine sleeps does not remove a consumer', async (t) => {
  const { clock, state, settled, names } = await openWithStillClock(t)
  clock.move(0.5 * HOUR)
  // First the monotonic clock counts the pause, then only the wall clock does.
  clock.skip(24 * HOUR)
  clock.move(4000)
  clock.ahead = 24 * HOUR
  clock.move(4000)
  t.equal(await state(), 'idle')
  await settled()
  t.same(names(), ['c', 'settled'])
})

t.test(
  'a connected consumer does not age, even if the clock jumps; it ages after its reader has disconnected',
  async (t) => {
    const { store, url, clock, state, names } = await openWithStillClock(t)
    const socket = await LiveSocket.open(t, `${url}/consumers/c/events?heartbeat=0`)
    await socket.untilEvents(1)
    clock.ahead = 24 * HOUR
    clock.move(5 * HOUR)
    clock.ahead = -24 * HOUR
    clock.move(5 * HOUR)
    t.equal(await state(), 'connected')
    socket.close()
    await eventually('the reader is gone', () => store.consumers.get('c').subscription === undefined)
    t.equal(await state(), 'idle')
    clock.move(0.9 * HOUR)
    t.equal(await state(), 'idle')
    clock.move(0.2 * HOUR)
    t.equal(await state(), 'expired')
    t.same(names(), ['c'])
  }
)

t.test('a consumer that was last read under a clock that was ahead ages from the next start on', async (t) => {
  const { app, clock, directory } = await openWithStillClock(t)
  clock.ahead = 10 * YEAR
  await app.inject('/consumers/c/events')
  await app.close()
  clock.ahead = 0
  const later = await openApp(t, { directory, clock })
  const { active, state } = (await later.app.inject('/consumers/c')).json()
  t.equal(state, 'idle')
  t.equal(Date.parse(active), clock.now(), 'the last read is not in the future')
  clock.move(2.1 * HOUR)
  await eventually('the consumer is removed', () => later.store.consumers.size === 0)
})

t.test('the last-read time of a connected consumer is saved within a third of expiresAfter', async (t) => {
  const { store, url, clock } = await openWithStillClock(t)
  const socket = await LiveSocket.open(t, `${url}/consumers/c/events?heartbeat=0`)
  await socket.untilEvents(1)
  clock.move(5 * HOUR)
  await eventually(
    'the last-read time is saved',
    () => (store.places.get('consumer', 'c')?.active ?? 0) >= clock.now() - 0.3 * HOUR
  )
  t.pass('within a third of expiresAfter')
})
