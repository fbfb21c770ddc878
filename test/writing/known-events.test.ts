/** Retried events are compared with those in the log. The bytes to read for the comparison are bounded. */
import t from 'tap'
import { limits } from '../../src/limits.js'
import { encodeEvent } from '../helpers/events.js'
import { openStore } from '../helpers/live-events.js'

const id = (i: number) => `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`

t.test(
  'small events with the ids of many large ones are refused before all are read, and other appends succeed',
  async (t) => {
    const store = await openStore(t)
    const before = limits.known_bytes_max
    t.teardown(() => Object.assign(limits, { known_bytes_max: before }))
    Object.assign(limits, { known_bytes_max: 4 * 1024 * 1024 })
    const large = 'x'.repeat(1024 * 1024)
    const ids = [...Array(20).keys()].map(id)
    for (const one of ids)
      await store.writer.append({
        kind: 'append',
        conditions: [],
        events: [encodeEvent('large', { id: one, data: large })]
      })
    const head = store.log.head
    let taken = 0
    const readAhead = store.log.readAhead.bind(store.log)
    store.log.readAhead = async function* (...asked) {
      for await (const records of readAhead(...asked)) {
        for (const record of records) taken += record.bytes.length
        yield records
      }
    }
    const events = ids.map((one) => encodeEvent('large', { id: one, data: 1 }))
    const [refused, other] = await Promise.allSettled([
      store.writer.append({ kind: 'append', conditions: [], events }),
      store.writer.append({ kind: 'append', conditions: [], events: [encodeEvent('other')] })
    ])
    t.match(refused, { status: 'rejected', reason: { code: 'event-id-reused', details: { written: false } } })
    t.equal(other.status, 'fulfilled', 'another append of the same group is committed')
    t.equal(store.log.head, head + 1)
    t.ok(taken < 2 * 8 * 1024 * 1024, `${taken} bytes were read`)
    const again = await store.writer.append({
      kind: 'append',
      conditions: [],
      events: [encodeEvent('large', { id: id(3), data: large })]
    })
    t.ok(again.replayed, 'a retry with the same events is answered as the first time')
  }
)
