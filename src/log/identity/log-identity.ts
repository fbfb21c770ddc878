/** The identity of the log, stored in its meta, and its renewal after a loss. */
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

/** A change of the log's identity at this start. */
export interface Renewal {
  readonly from: string
  readonly to: string
  /** Last position at which both logs hold the same event, -1: none. */
  readonly upTo: number
  /** Why the identity changed, for the operator. */
  readonly why: string
}

/** The end of a log, as stored in an index or a checkpoint. */
export interface NotedEnd extends LogReference {
  /** Position of the last record at the time of writing. */
  readonly head: number
}

export class LogIdentity {
  readonly #level: Level
  /** Directory of the log. */
  readonly #directory: string
  #lineage: Lineage
  #renewal: Renewal | undefined
  /** Positions whose loss an operator has accepted. */
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

  /** The change of identity at this start; undefined when the identity did not change. */
  get renewal(): Renewal | undefined {
    return this.#renewal
  }

  /** Returns the highest position that the log must once have had according to `noted`; at least `head`. */
  longest(noted: Iterable<NotedEnd>, head: number): number {
    let longest = head
    for (const one of noted) longest = Math.max(longest, this.#lineage.reachedBy(one, one.head))
    return longest
  }

  /**
   * Gives the log a new identity. The current one becomes an ancestor.
   * @param upTo last position at which both hold the same event: the head, or the position before the first loss
   * @param why the reason, for the operator
   * @throws DaybookError `storage-failed` when the meta cannot be written
   */
  async renew(upTo: number, why: string): Promise<void> {
    const from = this.#lineage.log
    const renewed = this.#lineage.renewed(upTo, limits.ancestors_max)
    await this.#writeMeta(renewed)
    this.#lineage = renewed
    this.#renewal = { from, to: renewed.log, upTo, why }
  }

  /**
   * Writes the meta if the database has another one, one of an older format, or none. Writes the copy of the meta too.
   * @throws DaybookError `storage-failed`
   */
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
 * Returns the meta of the log from the database. Returns its copy instead when the database has lost the meta, or
 * returns one from before a renewal because the newest was lost with a damaged table.
 * @param directory of the log
 * @returns undefined when the database is empty
 * @throws DaybookError `format-unknown`, `log-damaged`
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
      throw new DaybookError('log-damaged', 'the meta of the log is missing, but its events are there')
    }
    throw new DaybookError('format-unknown', 'the directory contains a LevelDB database that is not a Daybook log')
  }
  return undefined
}

/** Returns the meta of a new log, with a random identity. */
export function newLogMeta(): LogMeta {
  return { format: FORMAT_VERSION, log: randomUUID(), ancestors: [] }
}
