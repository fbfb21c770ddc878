/** A server that has become idle gives back what a burst of work left behind. */
import t from 'tap'
import { collectWhenIdle } from '../src/commands/serve/idle-memory.js'
import { StillClock } from './helpers/clock.js'

const MIB = 2 ** 20

t.test(
  'garbage is collected when the server is idle and has grown, and not again before it has grown again',
  async (t) => {
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
    // The loop of the test itself has to fall idle.
    const idle = async () => {
      await new Promise((resolve) => setTimeout(resolve, 200))
      clock.move(5_000)
    }
    await idle()
    t.equal(collections, 0, 'nothing has grown')
    used = 200 * MIB
    for (let i = 0; collections === 0 && i < 50; i++) await idle()
    t.equal(collections, 1)
    await idle()
    t.equal(collections, 1, 'what is left is in use')
    used = 120 * MIB
    await idle()
    t.equal(collections, 1, 'a little more is not worth a collection')
    memory.used = 100 * MIB
    used = 220 * MIB
    for (let i = 0; i < 3; i++) await idle()
    t.equal(collections, 1, 'what requests hold is in use')
    memory.used = 0
    for (let i = 0; collections === 1 && i < 50; i++) await idle()
    t.equal(collections, 2, 'and is garbage when they have given it back')
    end()
    used = 400 * MIB
    await idle()
    t.equal(collections, 2, 'it has ended')
  }
)
