/** Makes a damaged log usable without its lost records, after an operator has accepted the loss. */
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
  /** True when LevelDB cannot open the log without a repair. */
  readonly repair: boolean
  /** True when the identity of the log cannot be read. */
  readonly identityLost: boolean
  /** Unreadable positions below the head whose loss was not accepted earlier. */
  readonly gaps: PositionRanges
  /** Text about the damage, saved beside the old files. */
  readonly report: string
}

export interface RecoveredLog {
  /** Position of the last record, -1: none. */
  readonly head: number
  readonly identity: string
  /** Cursors of the old identity stay valid up to this position; -1: none is valid. */
  readonly upTo: number
  /** Path of the folder with the old files. */
  readonly keptIn: string
}

const UNFINISHED = '"daybook recover" was started and did not finish: run it again'

/**
 * Accepts the loss of records. Keeps the old files first. From its first change until its end, starts of the store are
 * refused, so that it can be killed at any moment and run again.
 * @param root the data directory, which no process has open
 * @param now milliseconds since 1970
 * @throws DaybookError `directory-in-use`, `directory-unusable`, `storage-failed`; `log-damaged` when there are
 * RANGES_MAX gaps or more
 */
export async function acceptLoss(root: string, now: number, loss: AcceptedLoss): Promise<RecoveredLog> {
  const directory = join(root, 'log')
  if (loss.gaps.ranges.length >= RANGES_MAX) {
    const gaps = `the log is damaged at ${loss.gaps}`
    throw new DaybookError('log-damaged', `${gaps}: too many gaps to recover, restore the directory from a backup`)
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
  /** Undefined: the meta is lost too. */
  readonly meta: LogMeta | undefined
  readonly witness: Witness
}

/** Gives the log a new identity, then writes the witness. */
async function renew({ level, directory, meta, witness }: LostLog, gaps: PositionRanges) {
  const head = await new StoredRecords(level, 0).findHead()
  const identity = new LogIdentity(level, directory, meta ?? newLogMeta())
  for (const [first, last] of gaps.ranges) identity.unreadable.add(first, last)
  // If the last event of a stream is in a gap, its number will be assigned again. So no cursor after the first gap is
  // safe.
  const upTo = Math.min(head, (gaps.first ?? Infinity) - 1)
  if (meta === undefined) await identity.write()
  else await identity.renew(upTo, 'an operator has accepted the loss of events')
  // These records were checked for the recovery plan, so the next start need not check them.
  witness.writeSynced({ head, verifiedTo: head })
  return { head, identity: identity.lineage.log, upTo: meta === undefined ? -1 : upTo }
}
