/** How far a start trusts LevelDB's recovery. */
import { join } from 'node:path'
import t from 'tap'
import { limits } from '../../src/limits.js'
import { Witness, type WitnessContent } from '../../src/log/recovery/witness.js'
import { openApp } from '../helpers/app.js'
import { encodeEvent } from '../helpers/events.js'

const EVENT_BYTES = 1024 * 1024
const MEMTABLE_EVENTS = limits.write_buffer_bytes / EVENT_BYTES

t.test('records count as verified only when LevelDB has replaced the memtable after theirs', async (t) => {
  const { store, directory } = await openApp(t)
  const data = 'x'.repeat(EVENT_BYTES)
  const append = async (count: number) => {
    for (let i = 0; i < count; i++) {
      await store.writer.append({ kind: 'append', conditions: [], events: [encodeEvent('s', { data })] })
    }
  }
  const begun = store.log.head
  await append(MEMTABLE_EVENTS + 4)
  t.equal(witnessOf(directory).verifiedTo, begun, 'LevelDB may still be writing the first memtable to a table')
  await append(MEMTABLE_EVENTS + 2)
  t.equal(
    witnessOf(directory).verifiedTo,
    begun,
    'the records since the start are in the memtable before, or in this one'
  )
  await append(MEMTABLE_EVENTS + 2)
  const { verifiedTo, head } = witnessOf(directory)
  t.ok(verifiedTo > begun && verifiedTo <= head - 2 * MEMTABLE_EVENTS, `records up to ${verifiedTo} of ${head}`)
})

function witnessOf(directory: string): WitnessContent {
  const witness = Witness.open(join(directory, 'witness'))
  const content = witness.read()
  witness.close()
  if (content === undefined) throw new Error('the witness is empty')
  return content
}
