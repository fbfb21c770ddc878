/** Paced saves: a value that changes often is saved seldom, and its last change is always saved. */
import t from 'tap'
import { PacedSaves } from '../../src/dispatch/paced-saves.js'
import { StillClock } from '../helpers/clock.js'

function paced(intervalMs: number, savesMax: number) {
  const clock = new StillClock()
  const state = { value: 0, saved: [] as number[] }
  const saves = new PacedSaves(clock, { intervalMs, savesMax }, async () => {
    state.saved.push(state.value)
  })
  const set = (value: number) => {
    state.value = value
    saves.changed()
  }
  return { clock, saves, set, saved: state.saved }
}

t.test(
  'when the saves of an interval exceed the limit, the rest are combined into one save of the newest value',
  async (t) => {
    const { clock, saves, set, saved } = paced(1000, 2)
    const done: Promise<void>[] = []
    for (let value = 1; value <= 5; value++) {
      set(value)
      done.push(saves.saveInPace())
    }
    t.same(saved, [1, 2])
    set(6)
    clock.move(1000)
    await Promise.all(done)
    t.same(saved, [1, 2, 6])
    await saves.saveInPace()
    t.same(saved, [1, 2, 6, 6], 'the combined save counts in the new interval, which allows one more')
  }
)

t.test('a changed value is saved once an interval, and an unchanged one is not', async (t) => {
  const { clock, saves, set, saved } = paced(1000, 10)
  saves.saveIfDue()
  t.same(saved, [], 'an unchanged value is not saved')
  set(1)
  saves.saveIfDue()
  set(2)
  saves.saveIfDue()
  t.same(saved, [1], 'the second change waits for the end of the interval')
  clock.move(1000)
  saves.saveIfDue()
  saves.saveIfDue()
  t.same(saved, [1, 2])
})
