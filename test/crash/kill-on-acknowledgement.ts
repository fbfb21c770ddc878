/**
 * Appends large batches one after the other and kills itself when the n-th is acknowledged. A batch that was
 * acknowledged before it was written would then be missing. `kill-on-acknowledgement.ts DIRECTORY N`.
 */
import { writeSync } from 'node:fs'
import { Store } from '../../src/store/store.js'
import { encodeEvent } from '../helpers/events.js'

const [, , directory, count] = process.argv as [string, string, string, string]
const store = await new Store({ directory }).open()
for (let batch = 1; ; batch++) {
  const events = Array.from({ length: 500 }, (_, i) => encodeEvent(`s-${i % 3}`, { data: `${i} `.repeat(1000) }))
  const result = await store.writer.append({ events, conditions: [], kind: 'append' })
  writeSync(1, `${result.events.at(-1)?.position}\n`)
  if (batch === Number(count)) process.kill(process.pid, 'SIGKILL')
}
