/**
 * Appends batches until it is killed. Every event has posting lists of its own, so the index grows as fast as possible.
 * `many-streams.ts DIRECTORY ROUND`. Prints a line for each opening step and for each acknowledged batch.
 */
import { writeSync } from 'node:fs'
import { Store } from '../../src/store/store.js'
import { CLIENTS, manyStreams } from '../helpers/many-streams.js'

const [, , directory, round] = process.argv as [string, string, string, string]
const say = (line: object) => writeSync(1, `${JSON.stringify(line)}\n`)

const store = new Store({ directory })
let { reason } = store
const polling = setInterval(() => {
  if (store.reason !== reason) say({ opening: (reason = store.reason) })
}, 1)
await store.open()
clearInterval(polling)
say({ opened: store.log.head })

async function client(name: number): Promise<void> {
  for (let batch = name; ; batch += CLIENTS) {
    const result = await store.writer.append(manyStreams(Number(round), batch))
    say({ batch, positions: result.events.map(({ position }) => position) })
  }
}

await Promise.all(Array.from({ length: CLIENTS }, (_, name) => client(name)))
