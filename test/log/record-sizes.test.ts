/** Upper bounds of record sizes are known before records are read, and are never too low. */
import { join } from 'node:path'
import t from 'tap'
import { RECORD_BYTES_MAX, RecordSizes } from '../../src/log/records/record-sizes.js'
import { Store } from '../../src/store/store.js'
import { encodeEvent } from '../helpers/events.js'
import { seeded } from '../helpers/random.js'

const OPENINGS = 6
const COMMITS = 25

for (const compression of [false, true]) {
  t.test(`the bound of records is at least their size (compression ${compression})`, async (t) => {
    const random = seeded(t)
    const directory = join(t.testdir({}), 'db')
    for (let opening = 0; opening < OPENINGS; opening++) {
      const store = await new Store({ directory, compression }).open()
      const { log } = store
      const compare = async (positions: number[]) => {
        const bound = await log.boundOf(positions)
        const bytes = (await log.readMany(positions)).reduce((sum, record) => sum + record.bytes.length, 0)
        if (bound < bytes) t.fail(`opening ${opening}: ${bytes} bytes at ${positions}, but the bound is ${bound}`)
      }
      for (let commit = 0; commit < COMMITS; commit++) {
        const events = Array.from({ length: random.int(1, 12) }, () => {
          // A repetitive text is compressed to far fewer bytes.
          const bytes = random.chance(0.05) ? random.int(100_000, 400_000) : random.int(1, 2000)
          const text = random.chance(0.5) ? 'x'.repeat(bytes) : random.bytes(Math.ceil(bytes / 50)).toString('hex')
          return encodeEvent(`s-${random.int(0, 5)}`, { data: { text } })
        })
        await store.writer.append({ kind: 'append', conditions: [], events })
        const first = random.int(0, log.head)
        await compare(Array.from({ length: Math.min(64, log.head - first + 1) }, (_, i) => first + i))
        await compare([...new Set(Array.from({ length: 10 }, () => random.int(0, log.head)))].sort((a, b) => a - b))
      }
      t.ok(log.head > 0)
      await store.close()
    }
  })
}

t.test('each record of unknown size counts as the largest possible record', async (t) => {
  const sizes = new RecordSizes({ compresses: false, approximateSize: async () => 0 })
  const positions = [...Array(40).keys()]
  t.equal(sizes.countWithin(positions, 0, RECORD_BYTES_MAX / 2), 1)
  t.equal(sizes.countWithin(positions, 0, 3 * RECORD_BYTES_MAX), 3)
  t.equal(sizes.boundOf(positions), 40 * RECORD_BYTES_MAX)
})
