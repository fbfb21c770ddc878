/** Opening the log of a directory: to serve it, after what LevelDB does not check is checked, or to look at it. */
import { join } from 'node:path'
import { DaybookError, isDaybookError } from '../errors.js'
import { type CacheSizes, usualCacheSizes } from '../memory/cache-sizes.js'
import type { Clock } from '../time/clock.js'
import { FORMAT_VERSION, type LogMeta } from './format.js'
import { LogIdentity, newLogMeta, readLogMeta } from './identity/log-identity.js'
import { Level } from './level.js'
import { StoredRecords } from './records/stored-records.js'
import { discardEvidence, earlierRefusal, noteRefusal, preserveEvidence, witnessPath } from './recovery/evidence.js'
import { LogHead } from './recovery/log-head.js'
import { type Testimony, Witness } from './recovery/witness.js'
import { isDatabaseDamaged, openFailure } from './storage-faults.js'
import { lostPositions } from './tables/quarantine.js'

export interface LogOptions {
  directory: string
  clock: Clock
  /** False is `--unsafe-no-fsync`: a power cut loses acknowledged events. */
  fsync: boolean
  compression: boolean
  /** Undefined: those of the usual memory budget. */
  caches?: CacheSizes
}

/** What a log is made of. */
export interface LogParts {
  readonly level: Level
  readonly identity: LogIdentity
  readonly records: StoredRecords
  readonly head: LogHead
}

/** The directory of a log. @param directory the data directory */
export function logDirectory(directory: string): string {
  return join(directory, 'log')
}

/** See `Log.open`. */
export async function openLog(
  options: LogOptions,
  onProgress: ((done: number, of: number) => void) | undefined
): Promise<LogParts> {
  const directory = logDirectory(options.directory)
  let level: Level | undefined
  let witness: Witness | undefined
  let parts: LogParts | undefined
  try {
    const refusal = earlierRefusal(directory)
    if (refusal !== undefined) {
      throw new DaybookError('log-damaged', `the last start was refused: ${refusal}. ${wayOut(options.directory)}`)
    }
    preserveEvidence(directory)
    level = await openLogLevel(directory, options).catch((error) => withWayOut(error, options.directory))
    witness = Witness.open(join(options.directory, 'witness'))
    const meta = await readLogMeta(level, directory).catch((error) => withWayOut(error, options.directory))
    parts = logParts(level, witness, meta ?? newLogMeta(), options)
    const testimony = await parts.head.check(directory, onProgress)
    await settle(parts, meta, testimony)
    discardEvidence(directory)
    return parts
  } catch (error) {
    await level?.close()
    witness?.close()
    // A damaged meta is found again at the next start; records that LevelDB has dropped are not.
    if (parts !== undefined && isDaybookError(error) && error.code === 'log-damaged') {
      noteRefusalIfPossible(options.directory, directory, error.message)
    }
    throw openFailure('the log', error)
  }
}

/** On a full disk it cannot be noted. The witness stays where it is then, and the next start finds the same. */
function noteRefusalIfPossible(root: string, directory: string, reason: string): void {
  try {
    noteRefusal(root, directory, reason)
  } catch {}
}

/**
 * Writes the witness, and the meta where it changes.
 * @param meta as it stands on disk; undefined: the directory is new
 * @param testimony what the witness said before; undefined: it is new, gone or damaged
 */
async function settle(
  { identity, head }: LogParts,
  meta: LogMeta | undefined,
  testimony: Testimony | undefined
): Promise<void> {
  if (meta !== undefined && testimony === undefined) {
    await identity.renew(head.position, 'the file "witness", which says how far the log was, is gone or damaged')
    head.testifySynced()
  } else {
    // In a new directory the witness comes before the meta: a log that has a meta and no witness has lost its witness.
    if (meta === undefined) head.testifySynced()
    else head.testifyIfRoom()
    await identity.write()
  }
}

/** What stands on disk beside the records. */
export interface InspectedLog {
  format: number
  /** What the witness says; undefined: nothing. */
  testimony: Testimony | undefined
  /** Why the log's identity is not known; undefined: it is. */
  metaFault: string | undefined
}

/** See `Log.openToInspect`. */
export async function openLogToInspect(options: LogOptions): Promise<InspectedLog & { parts: LogParts }> {
  const directory = logDirectory(options.directory)
  preserveEvidence(directory)
  const level = await openLogLevel(directory, options)
  let witness: Witness | undefined
  try {
    witness = Witness.open(witnessPath(options.directory, directory))
    let metaFault: string | undefined
    const meta = await readLogMeta(level, directory).catch((error) => {
      if (!isDaybookError(error) || error.code !== 'log-damaged') throw error
      metaFault = error.message
      return undefined
    })
    const parts = logParts(level, witness, meta ?? newLogMeta(), options)
    return { parts, format: meta?.format ?? FORMAT_VERSION, testimony: await parts.head.find(), metaFault }
  } catch (error) {
    await level.close()
    witness?.close()
    throw error
  }
}

function openLogLevel(directory: string, { compression, caches = usualCacheSizes }: LogOptions): Promise<Level> {
  return Level.open(directory, { writeBufferSize: caches.memtable, cacheSize: caches.logBlocks, compression })
}

function logParts(
  level: Level,
  witness: Witness,
  meta: LogMeta,
  { directory: root, caches = usualCacheSizes }: LogOptions
): LogParts {
  const directory = logDirectory(root)
  const identity = new LogIdentity(level, directory, meta)
  const records = new StoredRecords(level, caches.recentRecords, identity.unreadable)
  const head = new LogHead(records, witness, () => lostPositions(directory))
  return { level, records, identity, head }
}

/** Names the way out where an error comes from damage. LevelDB has changed nothing then. @throws the error */
function withWayOut(error: unknown, root: string): never {
  const isDamage = isDatabaseDamaged(error) || (isDaybookError(error) && error.code === 'log-damaged')
  if (!isDamage || !isDaybookError(error)) throw error
  throw new DaybookError(error.code, `${error.message}. Nothing was changed. ${wayOut(root)}`, error.details, error)
}

/** What an operator can do about a log that does not open. @param root the data directory */
function wayOut(root: string): string {
  return `Restore the directory from a backup; or "daybook recover --db ${root}" says what is lost, and goes on without it when you accept that`
}
