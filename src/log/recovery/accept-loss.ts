/** Making a log start again without what it has lost, after an operator has accepted that. */
import { join } from 'node:path'
import { DaybookError } from '../../errors.js'
import { limits } from '../../limits.js'
import type { LogMeta } from '../format.js'
import { LogIdentity, newLogMeta, readLogMeta } from '../identity/log-identity.js'
import { Level } from '../level.js'
import { type PositionRanges, RANGES_MAX } from '../position-ranges.js'
import { StoredRecords } from '../records/stored-records.js'
import { replaceDamagedTables } from '../tables/quarantine.js'
import { discardEvidence, noteRefusal } from './evidence.js'
import { keepOldFiles, syncFolder } from './kept-files.js'
import { Witness } from './witness.js'

export interface AcceptedLoss {
  /** LevelDB cannot open the log as it is. */
  readonly repair: boolean
  /** The identity of the log cannot be read. */
  readonly identityLost: boolean
  /** Positions below the head whose events cannot be read, and that were not given up before. */
  readonly gaps: PositionRanges
  /** What was found, as text, kept beside the old files. */
  readonly report: string
}

export interface RecoveredLog {
  /** Position of the last record, -1: none. */
  readonly head: number
  readonly identity: string
  /** The last position up to which cursors of the old identity stay valid. */
  readonly upTo: number
  /** Where the files are as they were before. */
  readonly keptIn: string
}

const UNFINISHED = '"daybook recover" was begun and did not end'

/**
 * Gives up what is lost. Starts are refused from the first change until all is done, so that it can be killed at any
 * moment and then run again. The old files are set aside first.
 * @param root the data directory, which no process has open @param now milliseconds
 * @throws `directory-in-use`, `directory-unusable`, `storage-failed`, `log-damaged` when there are too many gaps
 */
export async function acceptLoss(root: string, now: number, loss: AcceptedLoss): Promise<RecoveredLog> {
  const directory = join(root, 'log')
  if (loss.gaps.ranges.length >= RANGES_MAX) {
    throw new DaybookError('log-damaged', `the log is damaged at ${loss.gaps}: restore it from a backup`)
  }
  const keptIn = keepOldFiles(root, now, loss.report)
  noteRefusal(root, directory, UNFINISHED)
  await replaceDamagedTables(root, now)
  if (loss.repair) await Level.repair(directory)
  const level = await openLevel(directory)
  const witness = Witness.open(join(root, 'witness'))
  try {
    const meta = loss.identityLost ? undefined : await readLogMeta(level, directory)
    const recovered = await renew({ level, directory, meta, witness }, loss.gaps)
    syncFolder(root)
    discardEvidence(directory)
    syncFolder(directory)
    return { ...recovered, keptIn }
  } finally {
    await level.close()
    witness.close()
  }
}

function openLevel(directory: string): Promise<Level> {
  const sizes = { writeBufferSize: limits.write_buffer_bytes, cacheSize: 1024 * 1024 }
  return Level.open(directory, { ...sizes, compression: true })
}

interface LostLog {
  readonly level: Level
  readonly directory: string
  /** Undefined: it is lost, too. */
  readonly meta: LogMeta | undefined
  readonly witness: Witness
}

/** Writes the identity, then the witness. */
async function renew({ level, directory, meta, witness }: LostLog, gaps: PositionRanges) {
  const head = await new StoredRecords(level, 0).findHead()
  const identity = new LogIdentity(level, directory, meta ?? newLogMeta())
  for (const [first, last] of gaps.ranges) identity.unreadable.add(first, last)
  // A stream whose last event is lost gives its number to another one, so nothing after the first gap is certain.
  const upTo = Math.min(head, (gaps.first ?? Infinity) - 1)
  if (meta === undefined) await identity.write()
  else await identity.renew(upTo, 'an operator has given up what it lost')
  // The next start need not look at what was looked at now.
  witness.writeSynced({ head, verifiedTo: head })
  return { head, identity: identity.lineage.log, upTo: meta === undefined ? -1 : upTo }
}
