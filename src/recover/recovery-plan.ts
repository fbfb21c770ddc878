/** Finds out what prevents a directory from starting, which events are lost, and which remain. */
import { Postings } from '../index/posting-lists.js'
import { isMarkedDamaged } from '../index/storage/damage-marker.js'
import { indexDirectory } from '../index/storage/index-store.js'
import { Level } from '../log/level.js'
import { Log } from '../log/log.js'
import { type InspectedLog, logDirectory } from '../log/opening.js'
import { PositionRanges } from '../log/position-ranges.js'
import { droppedByLevelDb, earlierRefusal } from '../log/recovery/evidence.js'
import { InspectionView } from '../log/recovery/inspection-view.js'
import { isDatabaseDamaged } from '../log/storage-faults.js'
import { replaceDamagedTables } from '../log/tables/quarantine.js'
import type { Clock } from '../time/clock.js'

export interface RecoveryPlan {
  /** Why LevelDB cannot open the log; undefined: it can. */
  readonly unopened: string | undefined
  /** Why the identity of the log cannot be read; undefined: it can. */
  readonly identityLost: string | undefined
  /** Why the last start was refused, or that a recovery was not finished; undefined: it was not refused. */
  readonly refused: string | undefined
  /**
   * LevelDB's message about dropped data. Only if the witness is missing or damaged, so that the old head is unknown.
   */
  readonly dropped: string | undefined
  /** Position of the last remaining event, -1: none. */
  readonly head: number
  /** When that event was written, milliseconds since 1970; undefined when it cannot be read. */
  readonly headCreated: number | undefined
  /** Last position that was acknowledged, according to the witness; undefined: unknown. */
  readonly acknowledged: number | undefined
  /** Unreadable positions up to the head whose loss was not accepted earlier. */
  readonly gaps: PositionRanges
  /** When the last event before the first gap was written, milliseconds since 1970; undefined: unknown. */
  readonly beforeGaps: number | undefined
}

export interface PlanOptions {
  /** True: read the whole log, not only what a start reads. */
  readonly thorough: boolean
  readonly clock: Clock
  /** Called with the number of positions read and the number of positions to read. */
  readonly onProgress: (done: number, of: number) => void
}

/**
 * Inspects a directory that no process has open, as a start does, without changing it.
 * @throws DaybookError `directory-in-use`, `directory-unusable`, `format-unknown`, `storage-failed`
 */
export async function planRecovery(directory: string, options: PlanOptions): Promise<RecoveryPlan> {
  const view = InspectionView.make(directory)
  try {
    // LevelDB would end the process when it reads a damaged table.
    await replaceDamagedTables(view.directory, options.clock.now())
    const opened = await openView(view, options.clock)
    try {
      view.removeOthers()
      return await planFor(directory, view, opened, options)
    } finally {
      await opened.log.close()
    }
  } catch (error) {
    throw view.errorOf(error)
  } finally {
    view.remove()
  }
}

/** True when the directory cannot start without a recovery. */
export function isNeeded({ unopened, identityLost, refused, dropped, head, acknowledged = head, gaps }: RecoveryPlan) {
  return (
    unopened !== undefined ||
    identityLost !== undefined ||
    refused !== undefined ||
    dropped !== undefined ||
    acknowledged > head ||
    gaps.size > 0
  )
}

type OpenedView = InspectedLog & { log: Log; unopened: string | undefined }

/** Opens the log in the view. If LevelDB cannot open it, repairs it, in the view only. */
async function openView(view: InspectionView, clock: Clock): Promise<OpenedView> {
  const options = { directory: view.directory, clock, fsync: false, compression: true }
  try {
    return { ...(await Log.openToInspect(options)), unopened: undefined }
  } catch (error) {
    if (!isDatabaseDamaged(error)) throw error
    await Level.repair(logDirectory(view.directory))
    return { ...(await Log.openToInspect(options)), unopened: view.named((error as Error).message) }
  }
}

async function planFor(
  directory: string,
  view: InspectionView,
  { log, witnessed, metaFault, unopened }: OpenedView,
  { thorough, onProgress }: PlanOptions
): Promise<RecoveryPlan> {
  const known = unopened === undefined && witnessed !== undefined && !thorough
  const from = known ? Math.min(witnessed.verifiedTo, await indexedUpTo(view, log), log.head) + 1 : 0
  const gaps = new PositionRanges()
  let last: number | undefined
  let beforeGaps: number | undefined
  for await (const { position, record, fault } of log.inspect(Math.max(0, from - 1))) {
    if (record !== undefined) last = record.created
    else if (position < from) continue
    else if (!log.unreadable.has(position)) {
      if (gaps.size === 0) beforeGaps = last
      gaps.add(position)
    }
    if (fault !== undefined && position === log.head) last = undefined
    if ((position & 0x3fff) === 0) onProgress(position - from, log.head - from + 1)
  }
  const dropped = witnessed === undefined ? droppedByLevelDb(logDirectory(view.directory)) : undefined
  return {
    unopened,
    identityLost: metaFault,
    refused: earlierRefusal(logDirectory(directory)),
    dropped,
    head: log.head,
    headCreated: last,
    acknowledged: witnessed?.head,
    gaps,
    beforeGaps
  }
}

/** Returns the last position that a usable index covers, -1 without one. A start reads the log after this position. */
async function indexedUpTo(view: InspectionView, log: Log): Promise<number> {
  const { directory } = view
  if (isMarkedDamaged(indexDirectory(directory))) return -1
  const index = await Postings.openToInspect({ directory, compression: true }, log)
  if (!(index instanceof Postings)) return -1
  try {
    return droppedByLevelDb(indexDirectory(directory)) === undefined ? index.goodTo : -1
  } finally {
    await index.close()
  }
}
