/** A share of the memory budget never grants bytes twice, and every waiting request is granted or rejected. */
import t from 'tap'
import { limits } from '../../src/limits.js'
import { MemoryShare } from '../../src/memory/memory-share.js'
import { StillClock } from '../helpers/clock.js'

function share(bytes = 100) {
  const clock = new StillClock()
  return { clock, memory: new MemoryShare('tests', bytes, clock) }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

t.test('bytes are granted while they fit, and again after their release', async (t) => {
  const { memory } = share()
  const first = await memory.take(60)
  t.equal(memory.tryTake(41), undefined, 'no more bytes than are free')
  const second = memory.tryTake(40)
  t.equal(memory.used, 100)
  first.shrink(10)
  t.equal(memory.used, 50, 'a part is released')
  first.shrink(30)
  t.equal(memory.used, 50, 'shrinking to a larger size does nothing')
  first.release()
  first.release()
  second?.release()
  t.equal(memory.used, 0, 'a second release does nothing')
})

t.test('waiting requests get memory in the order of arrival, before any later request', async (t) => {
  const { memory } = share()
  const held = await memory.take(90)
  const order: string[] = []
  const large = memory.take(80).then((hold) => {
    order.push('large')
    return hold
  })
  const small = memory.take(20).then((hold) => {
    order.push('small')
    return hold
  })
  await turn()
  t.equal(memory.tryTake(5), undefined, 'five bytes are free, but others wait')
  t.equal(memory.waiting, 2)
  held.release()
  await Promise.all([large, small])
  t.same(order, ['large', 'small'])
  t.equal(memory.used, 100)
})

t.test('a request for more than the whole share is granted when the share is unused', async (t) => {
  const { memory } = share()
  const held = await memory.take(1)
  const whole = memory.take(1000)
  await turn()
  t.equal(memory.waiting, 1)
  held.release()
  t.equal((await whole).bytes, 1000)
  t.equal(memory.tryTake(1), undefined)
})

t.test('a wait ends with a coded error after its time-out, and requests behind it continue', async (t) => {
  const { clock, memory } = share()
  await memory.take(50)
  const refused = memory.take(80)
  clock.move(limits.memory_wait_ms - 1)
  const behind = memory.take(50)
  clock.move(1)
  await t.rejects(refused, { code: 'overloaded', details: { retry: true, written: false } })
  await behind
  t.equal(memory.used, 100)
  t.equal(memory.waiting, 0)
})

t.test('a wait ends when the client disconnects', async (t) => {
  const { memory } = share()
  const held = await memory.take(100)
  const gone = new AbortController()
  const refused = memory.take(1, gone.signal)
  gone.abort()
  await t.rejects(refused, { code: 'overloaded' })
  await t.rejects(memory.take(1, gone.signal), { code: 'overloaded' })
  t.equal(memory.waiting, 0)
  held.release()
  t.equal(memory.used, 0)
})

t.test('the number of waiting requests is limited', async (t) => {
  const { clock, memory } = share(1)
  await memory.take(1)
  const waits = Array.from({ length: limits.memory_waiting_max }, () => memory.take(1))
  await t.rejects(memory.take(1), { code: 'overloaded' })
  clock.move(limits.memory_wait_ms)
  const settled = await Promise.allSettled(waits)
  t.ok(settled.every(({ status }) => status === 'rejected'))
})
