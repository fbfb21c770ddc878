/**
 * The integrity check: reads everything in a closed directory and names every disagreement. The log's records must be
 * whole, gapless, in time order and numbered without a gap in each stream; the index must say of each exactly that.
 */
import { Postings } from '../index/posting-lists.js'
import type { StoredRecord } from '../log/format.js'
import { Log } from '../log/log.js'
import { type Clock, systemClock } from '../time/clock.js'
import type { CheckReport, Disagreement } from './check-report.js'
import { IndexCheck } from './index-check.js'
import { LogCheck } from './log-check.js'

/** How many records are compared with the index at once. */
const CHUNK = 256

/**
 * Checks a directory that no process has open. LevelDB recovers its write-ahead logs in opening it; nothing else is
 * changed.
 * @param onProgress how many of how many positions were read
 * @param clock that of the machine which checks; events are warned of that it is behind
 * @throws `directory-in-use`, `directory-unusable`, `format-unknown`
 */
export async function checkDirectory(
  directory: string,
  onProgress?: (done: number, of: number) => void,
  clock: Clock = systemClock
): Promise<CheckReport> {
  const { log, testimony } = await Log.openToInspect({ directory, clock, fsync: true, compression: true })
  const found: Disagreement[] = []
  const logCheck = new LogCheck(found, clock.now())
  let postings: Postings | undefined
  try {
    logCheck.expectHead(log.head, testimony)
    postings = await openIndex(directory, log, found)
    const indexCheck = postings === undefined ? undefined : new IndexCheck(log, postings, found)
    const covered = postings?.goodTo ?? -1
    let chunk: StoredRecord[] = []
    for await (const place of log.inspect()) {
      logCheck.take(place)
      const { position, record } = place
      if (record !== undefined && position <= covered) chunk.push(record)
      if (chunk.length === CHUNK) {
        await indexCheck?.compare(chunk)
        chunk = []
        onProgress?.(position + 1, log.head + 1)
      }
    }
    await indexCheck?.compare(chunk)
    const streams = (await indexCheck?.finish(log.head)) ?? logCheck.streamsBegun
    onProgress?.(log.head + 1, log.head + 1)
    return { events: logCheck.events, streams, disagreements: found, warnings: logCheck.warnings() }
  } finally {
    await postings?.close()
    await log.close()
  }
}

/** @returns undefined when there is no index that could be compared; one of an older format is no disagreement */
async function openIndex(directory: string, log: Log, found: Disagreement[]): Promise<Postings | undefined> {
  const index = await Postings.openToInspect({ directory, compression: true }, log)
  if (index instanceof Postings) return index
  if (index === 'unusable') {
    found.push({
      code: 'index-unusable',
      detail: 'the index cannot be read; the next start, or --rebuild-index, makes it anew'
    })
  }
  return undefined
}
