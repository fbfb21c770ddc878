/** The size of an event on disk, and the bytes that LevelDB writes for it, with and without compression. */
import { join } from 'node:path'
import { event } from './support/events.js'
import { bytesOnDisk, closeBare, openBare, tableBytes } from './support/leveldb.js'
import { removeFolder, temporaryFolder } from './support/processes.js'
import { count, type Report } from './support/report.js'
import type { Scale } from './support/scale.js'
import { fillStore } from './support/stores.js'

interface Bytes {
  readonly stored: number
  readonly written: number
}

export async function benchDisk(report: Report, { disk: events }: Scale): Promise<void> {
  const json = `${count(jsonBytes())} B of JSON`
  for (const compression of [false, true]) {
    const directory = temporaryFolder()
    const seconds = await fillStore(directory, { events, streams: 10_000, compression })
    const log = await bytesOf(join(directory, 'log'), compression)
    const index = await bytesOf(join(directory, 'index'), compression)
    removeFolder(directory)
    const says = (kind: keyof Bytes) => `${count(log[kind] / events)} log + ${count(index[kind] / events)} index`
    const mode = `compression ${compression ? 'on' : 'off (the default)'}`
    report.note('disk', `bytes an event on disk, ${mode}`, says('stored'), json)
    report.note('disk', `table bytes written an event, ${mode}`, says('written'), json)
    report.note('disk', `events a second in process, ${mode}`, count(events / seconds))
  }
}

/** Mean size of an event as a client sends it. */
function jsonBytes(): number {
  let sum = 0
  for (let i = 0; i < 1000; i++) sum += JSON.stringify(event(i)).length
  return sum / 1000
}

/**
 * Opening the database again moves the content of LevelDB's write-ahead log into a table, so that tables hold
 * everything.
 */
async function bytesOf(folder: string, compression: boolean): Promise<Bytes> {
  await closeBare(await openBare(folder, { compression }))
  const tables = [tableBytes(folder, 'LOG.old'), tableBytes(folder)]
  const written = tables.reduce((sum, { flushed, compacted }) => sum + flushed + compacted, 0)
  return { stored: bytesOnDisk(folder), written }
}
