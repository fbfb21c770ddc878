/** Writes fail, the store stands still and comes back by itself: what that must never do to the log. */
import t, { type Test } from 'tap'
import { Store } from '../../src/store/store.js'
import { checkDirectory } from '../../src/verify/check-directory.js'
import { encodeEvent } from '../helpers/events.js'
import type { Failure } from '../helpers/faulty-disk.js'
import { seeded } from '../helpers/random.js'
import { failOnce, openSmall, type Setup, smallDisk, untilWritable, Workload } from '../helpers/still-standing.js'

const append = (store: Store, events: ReturnType<typeof encodeEvent>[]) =>
  store.writer.append({ events, conditions: [], kind: 'append' })

/** Events into many streams, with a tag each. */
const spread = (count: number, streams: number) =>
  Array.from({ length: count }, (_, i) => encodeEvent(`s-${i % streams}`, { tags: [`tag-${i}`] }))

/** Closes the store: log and index agree, and a store that opens the directory finds the same. */
async function endsWell(t: Test, { store, directory }: Setup): Promise<void> {
  const { head } = store.log
  await store.close()
  t.match(await checkDirectory(directory), { events: head + 1, disagreements: [] }, 'log and index agree')
  const again = await new Store({ directory }).open()
  t.equal(again.log.head, head)
  await again.close()
}

t.test(
  'a write-behind that fails in the middle of a commit lets no number skip, however soon there is space',
  async (t) => {
    const disk = smallDisk(t)
    const setup = await openSmall(t, disk)
    const { store } = setup
    disk.fault = failOnce('index write')
    const { events } = await untilWritable(setup, append(store, spread(4000, 400)))
    t.equal(events.at(-1)?.number, 9)
    const next = await append(store, spread(400, 400))
    t.same([...new Set(next.events.map(({ number }) => number))], [10], 'each stream goes on with its next number')
    t.same([next.events[0]?.position, store.postings.appliedTo], [4000, store.log.head])
    await endsWell(t, setup)
  }
)

for (const failure of ['before', 'after'] as const) {
  t.test(
    `whichever call fails ${failure} it is done, nothing acknowledged is lost and nothing is numbered twice`,
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
  t.test(`whichever call fails while the store recovers from a failed ${first}, it comes back later`, async (t) => {
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
        // Each round another of the calls of this name fails first, so that recovery begins at other places too.
        let passed = round++ % 4
        let begun = false
        let calls = 0
        disk.fault = (call) => {
          if (!begun) {
            if (call !== first || passed-- > 0) return undefined
            begun = true
            return failure
          }
          // The first call of recovery; those of the commit that goes on meanwhile are none of it.
          if (calls === 0 && call !== 'ballast freeBytes') return undefined
          if (++calls !== n) return undefined
          reached = true
          failed.add(call)
          return again
        }
        await workload.run()
        disk.fault = undefined
        t.same(await workload.faults(), [], `call ${n} after it`)
        // It was not called so often, or the store did not stand still for it: then another is tried.
        if (reached) n++
        else if (calls === 0) reached = true
      }
    }
    for (const call of ['ballast freeBytes', 'log reopen', 'log entries', 'log getMany', 'witness write', 'index reopen', 'index entries']) t.ok(failed.has(call), call) // biome-ignore format: one line
    await endsWell(t, setup)
  })
}

t.test('a disk that fails at random does no other harm', async (t) => {
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
