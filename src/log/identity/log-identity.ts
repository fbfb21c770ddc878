/** The identity of the log as it stands in its meta, and its renewal when the end of the log was lost. */
import { randomUUID } from 'node:crypto'
import { DaybookError } from '../../errors.js'
import { limits } from '../../limits.js'
import {
  decodeLogMeta,
  encodeLogMeta,
  FORMAT_VERSION,
  isIntact,
  keyPosition,
  LOG_META_KEY,
  type LogMeta
} from '../format.js'
import type { Level } from '../level.js'
import { PositionRanges } from '../position-ranges.js'
import { Lineage, type LogReference } from './lineage.js'
import { readMetaCopy, writeMetaCopy } from './meta-copy.js'

/** A new identity that the log got at this start. */
export interface Renewal {
  readonly from: string
  readonly to: string
  /** The last position at which both hold the same event, -1: none. */
  readonly upTo: number
  /** Why the log must have been longer, for people. */
  readonly why: string
}

/** The end of a log, as an index or a checkpoint noted it. */
export interface NotedEnd extends LogReference {
  /** Position of its last record then. */
  readonly head: number
}

export class LogIdentity {
  readonly #level: Level
  /** That of the log. */
  readonly #directory: string
  #lineage: Lineage
  #renewal: Renewal | undefined
  /** Positions whose events an operator has given up. */
  readonly unreadable: PositionRanges

  /** @param directory of the log */
  constructor(level: Level, directory: string, { log, ancestors, unreadable }: LogMeta) {
    this.#level = level
    this.#directory = directory
    this.#lineage = new Lineage(log, ancestors)
    this.unreadable = new PositionRanges(unreadable)
  }

  get lineage(): Lineage {
    return this.#lineage
  }

  /** The new identity that the log got at this start, if it did. */
  get renewal(): Renewal | undefined {
    return this.#renewal
  }

  /** The last position that the log must have had by what was noted of it; at least `head`. */
  longest(noted: Iterable<NotedEnd>, head: number): number {
    let longest = head
    for (const one of noted) longest = Math.max(longest, this.#lineage.reachedBy(one, one.head))
    return longest
  }

  /**
   * Gives the log a new identity. The one that it has becomes an ancestor.
   * @param upTo the last position at which both hold the same event: where the log ends now, or before what it has lost
   * @param why for people
   * @throws `storage-failed` when it cannot be written
   */
  async renew(upTo: number, why: string): Promise<void> {
    const from = this.#lineage.log
    const renewed = this.#lineage.renewed(upTo, limits.ancestors_max)
    await this.#writeMeta(renewed)
    this.#lineage = renewed
    this.#renewal = { from, to: renewed.log, upTo, why }
  }

  /** Writes the identity where the database has another, an older format or none; and a copy beside it. @throws `storage-failed` */
  async write(): Promise<void> {
    const stored = await this.#level.get(LOG_META_KEY)
    const meta = this.#encoded(this.#lineage)
    if (stored?.equals(meta)) writeMetaCopy(this.#directory, meta)
    else await this.#writeMeta(this.#lineage)
  }

  async #writeMeta(lineage: Lineage): Promise<void> {
    const batch = this.#level.batch()
    const meta = this.#encoded(lineage)
    batch.put(LOG_META_KEY, meta)
    try {
      await this.#level.writeSynced(batch)
    } catch (cause) {
      throw new DaybookError('storage-failed', `cannot write the log's meta: ${(cause as Error).message}`, {}, cause)
    }
    writeMetaCopy(this.#directory, meta)
  }

  #encoded({ log, ancestors }: Lineage): Buffer {
    return encodeLogMeta({ log, ancestors, unreadable: this.unreadable.ranges })
  }
}

/**
 * The log's meta as it stands on disk; its copy when the database has lost it, or shows one from before a renewal, since
 * the newest was lost with a damaged table.
 * @param directory of the log
 * @returns undefined when the database is empty
 * @throws `format-unknown`, `log-damaged`
 */
export async function readLogMeta(level: Level, directory: string): Promise<LogMeta | undefined> {
  const stored = await level.get(LOG_META_KEY)
  const copy = readMetaCopy(directory)
  if (stored !== undefined) {
    const meta = decodeLogMeta(stored)
    return copy?.ancestors.some(({ log }) => log === meta.log) ? copy : meta
  }
  for await (const { key, value } of level.entries({ limit: 1 })) {
    if (copy !== undefined) return copy
    if (key.length === 8 && isIntact(keyPosition(key), value)) {
      throw new DaybookError('log-damaged', 'the meta of the log is gone, its events are not')
    }
    throw new DaybookError('format-unknown', 'the directory holds a LevelDB database that is not a Daybook log')
  }
  return undefined
}

/** The meta of a log that begins. */
export function newLogMeta(): LogMeta {
  return { format: FORMAT_VERSION, log: randomUUID(), ancestors: [] }
}
