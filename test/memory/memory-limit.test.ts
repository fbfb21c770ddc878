/** The memory budget follows the machine or container, and a start with an impossible budget says what to set. */
import t from 'tap'
import { MemoryBudget } from '../../src/memory/memory-budget.js'
import { budgetBytes } from '../../src/memory/memory-limit.js'
import { StillClock } from '../helpers/clock.js'

const MIB = 2 ** 20

t.test('the default budget is 512 MiB or a quarter of the available memory, and at least 64 MiB', async (t) => {
  t.equal(budgetBytes(undefined, 24 * 1024 * MIB), 512 * MIB)
  t.equal(budgetBytes(undefined, 1024 * MIB), 256 * MIB)
  t.equal(budgetBytes(undefined, 240 * MIB), 64 * MIB)
})

t.test('a size may have a unit, a fraction and a space', async (t) => {
  const available = 24 * 1024 * MIB
  t.equal(budgetBytes('512MiB', available), 512 * MIB)
  t.equal(budgetBytes('1.5GiB', available), 1536 * MIB)
  t.equal(budgetBytes('134217728', available), 128 * MIB)
  for (const wrong of ['512MB', 'much', '-1', '']) {
    t.throws(() => budgetBytes(wrong, available), { code: 'bad-configuration', message: /such as 512MiB/ }, wrong)
  }
})

t.test('an impossible budget is rejected with what to set', async (t) => {
  t.throws(() => budgetBytes('63MiB', 1024 * MIB), { code: 'bad-configuration', message: /at least 64MiB/ })
  t.throws(() => budgetBytes('512MiB', 512 * MIB), { message: /do not fit into the 512MiB .* set --memory 352MiB/ })
  t.throws(() => budgetBytes(undefined, 128 * MIB), { message: /provide at least 224MiB/ })
})

t.test('the shares do not exceed the budget', async (t) => {
  for (const mib of [64, 100, 512, 4096]) {
    const memory = new MemoryBudget(new StillClock(), mib * MIB)
    const { memtable, ...caches } = memory.caches
    const cached = Object.values(caches).reduce((sum, bytes) => sum + bytes, 4 * memtable)
    const shares = memory.bodies.bytes + memory.appends.bytes + memory.reads.bytes + memory.largeReads.bytes
    t.ok(cached + shares <= mib * MIB, `${mib} MiB: ${cached} in caches, ${shares} for requests`)
    t.ok(cached + shares > 0.85 * mib * MIB, 'nearly all of the budget is used')
    t.ok(memory.bodies.bytes >= 6 * MIB, 'the largest event fits into the bodies as base64')
  }
})
