/** How the server judges jumps of the machine's clock. Each scenario is a list of clock readings. */
import t from 'tap'
import { systemClock } from '../src/time/clock.js'
import { SteadyTime } from '../src/time/steady-time.js'
import { seeded } from './helpers/random.js'

const START = Date.UTC(2030)
const HOUR = 3_600_000

/**
 * Seconds since the start; offset of the machine's clock from true time, ms; expected offset of the accepted time, ms.
 */
type Reading = [passed: number, off: number, believed: number]

const stories: Record<string, { readings: Reading[]; verdict: string | undefined; by?: number }> = {
  'a steady clock is followed': {
    readings: [
      [0, 0, 0],
      [0.004, 0, 0],
      [3600, 0, 0]
    ],
    verdict: undefined
  },
  'a jump of three hours that ends after four seconds is ignored': {
    readings: [
      [10, 3 * HOUR, 0],
      [12, 3 * HOUR, 0],
      [13.9, 3 * HOUR, 0],
      [14, 0, 0],
      [60, 0, 0]
    ],
    verdict: 'passed',
    by: 3 * HOUR
  },
  'a lasting jump of three hours forward is accepted after ten seconds': {
    readings: [
      [10, 3 * HOUR, 0],
      [19.9, 3 * HOUR, 0],
      [20, 3 * HOUR, 3 * HOUR],
      [90, 3 * HOUR, 3 * HOUR]
    ],
    verdict: 'believed',
    by: 3 * HOUR
  },
  'a lasting jump of one hour back is accepted after ten seconds': {
    readings: [
      [10, -HOUR, 0],
      [19.9, -HOUR, 0],
      [20, -HOUR, -HOUR],
      [21, -HOUR, -HOUR]
    ],
    verdict: 'believed',
    by: -HOUR
  },
  'a difference of one second is no jump and is followed at once': {
    readings: [
      [1, 1000, 1000],
      [2, 0, 0],
      [3, -1000, -1000]
    ],
    verdict: undefined
  },
  'slow drift is followed, however large it becomes': {
    readings: [
      [1, 400, 400],
      [2, 800, 800],
      [3, 1200, 1200],
      [4, 1600, 1600],
      [5, 2000, 2000]
    ],
    verdict: undefined
  },
  'two successive jumps are each accepted after ten seconds': {
    readings: [
      [10, HOUR, 0],
      [20, HOUR, HOUR],
      [30, 0, HOUR],
      [39, 0, HOUR],
      [40, 0, 0]
    ],
    verdict: 'believed',
    by: -HOUR
  },
  'a second jump before the first is accepted restarts the ten seconds': {
    readings: [
      [10, HOUR, 0],
      [18, 2 * HOUR, 0],
      [20, 2 * HOUR, 0],
      [27.9, 2 * HOUR, 0],
      [28, 2 * HOUR, 2 * HOUR]
    ],
    verdict: 'believed',
    by: 2 * HOUR
  },
  'two jumps that cancel each other are both ignored': {
    readings: [
      [10, HOUR, 0],
      [12, -HOUR, 0],
      [14, 0, 0],
      [30, 0, 0]
    ],
    verdict: 'passed',
    by: -HOUR
  },
  'a clock that keeps jumping is never accepted': {
    readings: [
      [9, HOUR, 0],
      [18, 2 * HOUR, 0],
      [27, HOUR, 0],
      [36, 2 * HOUR, 0],
      [45, HOUR, 0]
    ],
    verdict: 'judging',
    by: HOUR
  },
  'drift while a jump is being judged is accepted with the jump': {
    readings: [
      [10, HOUR, 0],
      [15, HOUR + 700, 0],
      [19, HOUR + 1400, 0],
      [20, HOUR + 1400, HOUR + 1400]
    ],
    verdict: 'believed',
    by: HOUR
  }
}

for (const [title, { readings, verdict, by }] of Object.entries(stories)) {
  t.test(title, async (t) => {
    const time = new SteadyTime()
    // The monotonic clock starts at an arbitrary value and has fractions of milliseconds.
    const read = (passed: number, off: number) => time.read(START + passed * 1000 + off, 7.3 + passed * 1000)
    t.equal(read(0, 0), START)
    for (const [passed, off, believed] of readings) {
      t.equal(read(passed, off), START + passed * 1000 + believed, `after ${passed} s`)
    }
    t.equal(time.jump?.verdict, verdict)
    t.equal(time.jump?.by, by)
  })
}

t.test('the system clock is judged by these rules', async (t) => {
  const { now } = Date
  t.teardown(() => {
    Date.now = now
  })
  const before = systemClock.now()
  Date.now = () => now() + HOUR
  t.ok(systemClock.now() < before + HOUR / 2)
  t.match(systemClock.jump?.(), { by: Number, verdict: 'judging' })
  Date.now = now
  t.ok(systemClock.now() >= before - 1)
  t.match(systemClock.jump?.(), { verdict: 'passed' })
})

t.test('the first reading is accepted with any value', async (t) => {
  t.equal(new SteadyTime().read(-5, 1e9), -5)
})

t.test('the accepted time is a whole number and follows either the elapsed time or the machine clock', async (t) => {
  const random = seeded(t)
  const time = new SteadyTime()
  let [passed, off, last, since] = [0, 0, START, 0]
  time.read(START, 0)
  for (let i = 0; i < 5000; i++) {
    const step = random.int(0, 1999) + 0.37
    passed += step
    if (random.chance(1 / 40)) {
      off = random.int(-3, 3) * HOUR
      since = passed
    }
    const believed = time.read(Math.round(START + passed + off), passed)
    if (!Number.isInteger(believed)) return t.fail(`reading ${i}: ${believed} is not a whole number`)
    const follows = Math.abs(believed - (START + passed + off)) <= 1
    const goesOn = Math.abs(believed - last - step) <= 2
    if (!follows && !goesOn) return t.fail(`reading ${i}: ${believed} follows neither the elapsed time nor the clock`)
    if (!follows && passed - since > 10_000) return t.fail(`reading ${i}: the jump is not accepted after ten seconds`)
    last = believed
  }
  t.pass('5,000 readings')
})
