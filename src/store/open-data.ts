/** Opens what a store has on disk, in order: the log, the places of consumers, and the index up to the log's end. */
import { Checkpoints } from '../dispatch/checkpoints.js'
import type { Places } from '../dispatch/places.js'
import type { Poster } from '../index/index-entries.js'
import type { Postings } from '../index/posting-lists.js'
import { markDamaged } from '../index/storage/damage-marker.js'
import type { StreamStates } from '../index/stream-states.js'
import { Log } from '../log/log.js'
import { isDatabaseDamaged, openFailure } from '../log/storage-faults.js'
import { TableGuard } from '../log/tables/table-guard.js'
import type { CacheSizes } from '../memory/cache-sizes.js'
import type { Clock } from '../time/clock.js'
import { bringUpIndex, openPostings } from './open-index.js'
import type { OpeningProgress, StoreOptions } from './store-options.js'

/** The parts that are read from disk. */
export interface StoreData {
  readonly tables: TableGuard
  readonly log: Log
  readonly places: Places
  readonly postings: Postings
  readonly poster: Poster
  readonly states: StreamStates
  /** The index is up to the log in memory, and could not be written: the disk is full. */
  readonly indexNotWritten: Error | undefined
}

/** What accompanies an opening. */
export interface Opening {
  readonly clock: Clock
  readonly caches: CacheSizes
  /** Aborted: the opening ends between two batches, with the signal's reason. What was written of the index stays good. */
  readonly signal: AbortSignal
  readonly onProgress: OpeningProgress
  /** Gets a sentence for each thing that the operator should know. */
  readonly notices: string[]
}

/**
 * Opens the data of a directory. When that fails, everything is closed again.
 * @throws `directory-in-use`, `directory-unusable`, `format-unknown`, `log-damaged`, `storage-failed`; the signal's reason
 */
export async function openData(options: StoreOptions, opening: Opening): Promise<StoreData> {
  const { directory, fsync = true, compression = false } = options
  const { clock, signal, notices, caches } = opening
  const opened: { close(): Promise<void> }[] = []
  signal.throwIfAborted()
  try {
    const tables = await guardTables(directory, opening)
    opened.push(tables)
    const reading = steps(opening, 'the end of the log is being checked')
    const log = await Log.open({ directory, clock, fsync, compression, caches }, reading)
    opened.push(log)
    let postings: Postings
    let places: Places
    try {
      // Both may show that the log was longer: then it gets its new identity before any request sees one.
      signal.throwIfAborted()
      places = await Checkpoints.open(directory, log, clock, notices)
      opened.push(places)
      postings = await openPostings(log, { ...options, caches }, opening)
    } finally {
      noteRenewal(log, notices)
    }
    opened.push({ close: () => postings.close() })
    const bringUp = () => bringUpIndex(log, postings, caches, steps(opening, 'the index is catching up with the log'))
    const index = await bringUp().catch(async (error) => {
      if (!isDatabaseDamaged(error)) throw openFailure('the index', error)
      await postings.close()
      postings = await openPostings(log, { ...options, caches, rebuildIndex: true }, opening)
      return bringUp()
    })
    signal.throwIfAborted()
    log.announce()
    return { tables, log, places, postings, ...index }
  } catch (error) {
    for (const part of opened.reverse()) await part.close().catch(() => {})
    throw error
  }
}

/** Sets damaged tables aside before LevelDB meets them. */
async function guardTables(directory: string, { clock, signal, notices, onProgress }: Opening): Promise<TableGuard> {
  const what = 'the tables of the databases are being checked'
  const mebibytes = (bytes: number) => Math.floor(bytes / 2 ** 20)
  const tables = await TableGuard.open({
    directory,
    clock,
    markIndexDamaged: markDamaged,
    onProgress(done, of) {
      onProgress(what, mebibytes(done), mebibytes(of), 'MiB')
      signal.throwIfAborted()
    }
  })
  notices.push(...tables.notices)
  return tables
}

/** Called after each batch: reports how far it is, and ends the opening when it is abandoned. */
function steps({ signal, onProgress }: Opening, what: string): (done: number, of: number) => void {
  return (done, of) => {
    onProgress(what, done, of)
    signal.throwIfAborted()
  }
}

function noteRenewal({ renewal }: Log, notices: string[]): void {
  if (renewal === undefined) return
  const { from, to, upTo, why } = renewal
  const valid = upTo < 0 ? 'nothing of' : `only what stands up to position ${upTo} of`
  notices.push(`the log has a new identity, ${to}: ${why}, so ${valid} ${from} is certain to be in it`)
}
