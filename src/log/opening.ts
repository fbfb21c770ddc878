/** Opens the log of a directory: either to serve it, after checks that LevelDB does not make, or to inspect it. */
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
import { Witness, type WitnessContent } from './recovery/witness.js'
import { isDatabaseDamaged, openFailure } from './storage-faults.js'
import { lostPositions } from './tables/quarantine.js'

export interface LogOptions {
  directory: string
  clock: Clock
  /** False with `--unsafe-no-fsync`: a power cut then loses acknowledged events. */
  fsync: boolean
  compression: boolean
  /** Default: the sizes of the usual memory budget. */
  caches?: CacheSizes
}

/** The parts of an open log. */
export interface LogParts {
  readonly level: Level
  readonly identity: LogIdentity
  readonly records: StoredRecords
  readonly head: LogHead
}

/** Returns the directory of the log. @param directory the data directory */
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
      const advice = damageAdvice(options.directory)
      throw new DaybookError('log-damaged', `the last start was refused: ${refusal}. ${advice}`)
    }
    preserveEvidence(directory)
    level = await openLogLevel(directory, options).catch((error) => throwWithAdvice(error, options.directory))
    witness = Witness.open(join(options.directory, 'witness'))
    const meta = await readLogMeta(level, directory).catch((error) => throwWithAdvice(error, options.directory))
    parts = logParts(level, witness, meta ?? newLogMeta(), options)
    const witnessed = await parts.head.check(directory, onProgress)
    await writeWitnessAndMeta(parts, meta, witnessed)
    discardEvidence(directory)
    return parts
  } catch (error) {
    await level?.close()
    witness?.close()
    // The next start detects a damaged meta again, but not records that LevelDB's recovery has dropped now.
    if (parts !== undefined && isDaybookError(error) && error.code === 'log-damaged') {
      noteRefusalIfPossible(options.directory, directory, error.message)
    }
    throw openFailure('the log', error)
  }
}

/**
 * On a full disk the refusal cannot be saved. The witness then stays in its place, so the next start refuses too.
 */
function noteRefusalIfPossible(root: string, directory: string, reason: string): void {
  try {
    noteRefusal(root, directory, reason)
  } catch {}
}

/**
 * Writes the witness, and the meta if it changes.
 * @param meta the meta on disk; undefined: the directory is new
 * @param witnessed content of the witness at the start; undefined: it is new, missing or damaged
 */
async function writeWitnessAndMeta(
  { identity, head }: LogParts,
  meta: LogMeta | undefined,
  witnessed: WitnessContent | undefined
): Promise<void> {
  if (meta !== undefined && witnessed === undefined) {
    await identity.renew(head.position, 'the file "witness", which stores the end of the log, is missing or damaged')
    head.writeWitnessSynced()
  } else {
    // In a new directory the witness is written before the meta. A log with a meta but no witness has thus lost its
    // witness.
    if (meta === undefined) head.writeWitnessSynced()
    else head.writeWitnessIfSpace()
    await identity.write()
  }
}

/** The data on disk besides the records. */
export interface InspectedLog {
  format: number
  /** Content of the witness; undefined: it is missing or damaged. */
  witnessed: WitnessContent | undefined
  /** Why the identity of the log cannot be read; undefined: it can. */
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
    return { parts, format: meta?.format ?? FORMAT_VERSION, witnessed: await parts.head.find(), metaFault }
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

/** Throws the error, with advice for the operator if the cause is damage. In that case LevelDB has changed nothing. */
function throwWithAdvice(error: unknown, root: string): never {
  const isDamage = isDatabaseDamaged(error) || (isDaybookError(error) && error.code === 'log-damaged')
  if (!isDamage || !isDaybookError(error)) throw error
  const message = `${error.message}. Nothing was changed. ${damageAdvice(root)}`
  throw new DaybookError(error.code, message, error.details, error)
}

/** Returns what an operator can do about a log that does not open. @param root the data directory */
function damageAdvice(root: string): string {
  const recover = `"daybook recover --db ${root}" shows what is lost, and continues without it if you accept the loss`
  return `Restore the directory from a backup; or ${recover}`
}
