/** Opens the data of a store in order: the log, the consumers' positions, and the index up to the log's end. */
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

/** The parts of a store that are loaded from disk. */
export interface StoreData {
  readonly tables: TableGuard
  readonly log: Log
  readonly places: Places
  readonly postings: Postings
  readonly poster: Poster
  readonly states: StreamStates
  /** Set when the index could not be written because the disk is full. It is complete in memory. */
  readonly indexNotWritten: Error | undefined
}

/** The context of an opening. */
export interface Opening {
  readonly clock: Clock
  readonly caches: CacheSizes
  /** Abort it to end the opening between two batches, with its reason. Index entries written until then stay valid. */
  readonly signal: AbortSignal
  readonly onProgress: OpeningProgress
  /** Receives a sentence for each fact that the operator should know. */
  readonly notices: string[]
}

/**
 * Opens the data of a directory. On failure, closes all parts again.
 * @throws `directory-in-use`, `directory-unusable`, `format-unknown`, `log-damaged`, `storage-failed`; the signal's
 * reason
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
      // Both may detect that the log was longer. Then the log gets a new identity before any request can see the old
      // one.
      signal.throwIfAborted()
      places = await Checkpoints.open(directory, log, clock, notices)
      opened.push(places)
      postings = await openPostings(log, { ...options, caches }, opening)
    } finally {
      reportRenewal(log, notices)
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
    log.publishHead()
    return { tables, log, places, postings, ...index }
  } catch (error) {
    for (const part of opened.reverse()) await part.close().catch(() => {})
    throw error
  }
}

/** Moves damaged tables aside before LevelDB opens them. */
async function guardTables(directory: string, { clock, signal, notices, onProgress }: Opening): Promise<TableGuard> {
  const step = 'the tables of the databases are being checked'
  const mebibytes = (bytes: number) => Math.floor(bytes / 2 ** 20)
  const tables = await TableGuard.open({
    directory,
    clock,
    markIndexDamaged: markDamaged,
    onProgress(done, of) {
      onProgress(step, mebibytes(done), mebibytes(of), 'MiB')
      signal.throwIfAborted()
    }
  })
  notices.push(...tables.notices)
  return tables
}

/**
 * Returns a callback for each batch. It reports progress, and throws the signal's reason when the opening is aborted.
 */
function steps({ signal, onProgress }: Opening, step: string): (done: number, of: number) => void {
  return (done, of) => {
    onProgress(step, done, of)
    signal.throwIfAborted()
  }
}

function reportRenewal({ renewal }: Log, notices: string[]): void {
  if (renewal === undefined) return
  const { from, to, upTo, why } = renewal
  const valid = upTo < 0 ? 'no position of' : `only positions up to ${upTo} of`
  notices.push(`the log has a new identity, ${to}: ${why}, so ${valid} the old identity ${from} can be relied on`)
}
