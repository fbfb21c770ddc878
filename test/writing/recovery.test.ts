/**
 * After a failed write the store is read-only and recovers by itself. These tests check the log after such recoveries.
 */
import t, { type Test } from 'tap'
import { Store } from '../../src/store/store.js'
import { checkDirectory } from '../../src/verify/check-directory.js'
import { encodeEvent } from '../helpers/events.js'
import type { Failure } from '../helpers/faulty-disk.js'
import { seeded } from '../helpers/random.js'
import { failOnce, openSmall, type Setup, smallDisk, untilWritable, Workload } from '../helpers/still-standing.js'

const append = (store: Store, events: ReturnType<typeof encodeEvent>[]) =>
  store.writer.append({ events, conditions: [], kind: 'append' })

/** Appends events with a tag each to many streams. */
const spread = (count: number, streams: number) =>
  Array.from({ length: count }, (_, i) => encodeEvent(`s-${i % streams}`, { tags: [`tag-${i}`] }))

/** Closes the store, and checks that log and index agree, also in a store that opens the directory again. */
async function endsWell(t: Test, { store, directory }: Setup): Promise<void> {
  const { head } = store.log
  await store.close()
  t.match(await checkDirectory(directory), { events: head + 1, disagreements: [] }, 'log and index agree')
  const again = await new Store({ directory }).open()
  t.equal(again.log.head, head)
  await again.close()
}

t.test(
  'a background flush that fails during a commit leaves no gap in the numbers, however soon there is space',
  async (t) => {
    const disk = smallDisk(t)
    const setup = await openSmall(t, disk)
    const { store } = setup
    disk.fault = failOnce('index write')
    const { events } = await untilWritable(setup, append(store, spread(4000, 400)))
    t.equal(events.at(-1)?.number, 9)
    const next = await append(store, spread(400, 400))
    t.same([...new Set(next.events.map(({ number }) => number))], [10], 'each stream continues with its next number')
    t.same([next.events[0]?.position, store.postings.appliedTo], [4000, store.log.head])
    await endsWell(t, setup)
  }
)

for (const failure of ['before', 'after'] as const) {
  t.test(
    `if any call fails ${failure} its effect, no acknowledged event is lost and no number is used twice`,
    async (t) => {
      const disk = smallDisk(t)
      const setup = await openSmall(t, disk)
      const workload = new Workload(setup)
      const failed = new Map<string, number>()
      for (let n = 1, reached = true; reached; n++) {
        reached = false
        let calls = 0
        disk.fault = (call) => {
          if (++calls !== n) return undefined
          reached = true
          failed.set(call, (failed.get(call) ?? 0) + 1)
          return failure
        }
        await workload.run()
        disk.fault = undefined
        t.same(await workload.faults(), [], `call ${n}`)
      }
      t.comment(Object.fromEntries(failed))
      for (const call of ['log writeSynced', 'index getMany', 'index write', 'witness write'])
        t.ok(failed.has(call), call)
      await endsWell(t, setup)
    }
  )
}

for (const first of ['log writeSynced', 'witness write', 'index getMany']) {
  t.test(`if any call fails during the recovery from a failed ${first}, the store recovers later`, async (t) => {
    const disk = smallDisk(t)
    const setup = await openSmall(t, disk)
    const workload = new Workload(setup)
    const failed = new Set<string>()
    let round = 0
    const failures: [Failure, Failure][] = [
      ['before', 'after'],
      ['after', 'before']
    ]
    for (const [failure, again] of failures) {
      for (let n = 1, reached = true; reached; ) {
        reached = false
        // In each round another call of this name fails first, so that recovery begins in different states.
        let passed = round++ % 4
        let begun = false
        let calls = 0
        disk.fault = (call) => {
          if (!begun) {
            if (call !== first || passed-- > 0) return undefined
            begun = true
            return failure
          }
          // This is the first call of recovery. Calls of the concurrent commit are not counted.
          if (calls === 0 && call !== 'ballast freeBytes') return undefined
          if (++calls !== n) return undefined
          reached = true
          failed.add(call)
          return again
        }
        await workload.run()
        disk.fault = undefined
        t.same(await workload.faults(), [], `call ${n} after it`)
        // There were fewer such calls, or the store did not become read-only: try another round.
        if (reached) n++
        else if (calls === 0) reached = true
      }
    }
    for (const call of ['ballast freeBytes', 'log reopen', 'log entries', 'log getMany', 'witness write', 'index reopen', 'index entries']) t.ok(failed.has(call), call) // biome-ignore format: one line
    await endsWell(t, setup)
  })
}

t.test('random disk failures lose no acknowledged event and use no number twice', async (t) => {
  const random = seeded(t)
  const disk = smallDisk(t)
  const setup = await openSmall(t, disk)
  const workload = new Workload(setup)
  for (let round = 0; round < 20; round++) {
    let left = random.int(1, 12)
    const share = random.pick([0.02, 0.1, 0.5])
    disk.fault = () => {
      if (left === 0 || !random.chance(share)) return undefined
      left--
      return random.pick(['before', 'after'] as const)
    }
    await workload.run()
    disk.fault = undefined
    t.same(await workload.faults(), [], `round ${round}`)
  }
  await endsWell(t, setup)
})
