/** A server that becomes idle collects the garbage of a burst of work. */
import t from 'tap'
import { collectWhenIdle } from '../src/commands/serve/idle-memory.js'
import { StillClock } from './helpers/clock.js'

const MIB = 2 ** 20

t.test('garbage is collected when the server is idle and memory has grown since the last collection', async (t) => {
  const clock = new StillClock()
  let used = 100 * MIB
  let collections = 0
  const memory = { used: 0 }
  const heap = {
    used: () => used,
    collect() {
      collections++
      used = 110 * MIB
    }
  }
  const end = collectWhenIdle(clock, memory, heap)
  // collectWhenIdle measures the event loop of this test, so the test must be idle, too.
  const idle = async () => {
    await new Promise((resolve) => setTimeout(resolve, 200))
    clock.move(5_000)
  }
  await idle()
  t.equal(collections, 0, 'memory has not grown')
  used = 200 * MIB
  for (let i = 0; collections === 0 && i < 50; i++) await idle()
  t.equal(collections, 1)
  await idle()
  t.equal(collections, 1, 'the remaining memory is in use')
  used = 120 * MIB
  await idle()
  t.equal(collections, 1, 'small growth does not justify a collection')
  memory.used = 100 * MIB
  used = 220 * MIB
  for (let i = 0; i < 3; i++) await idle()
  t.equal(collections, 1, 'memory held by requests is not garbage')
  memory.used = 0
  for (let i = 0; collections === 1 && i < 50; i++) await idle()
  t.equal(collections, 2, 'memory released by requests is garbage')
  end()
  used = 400 * MIB
  await idle()
  t.equal(collections, 2, 'no collection after the end')
})
