/**
 * The identities of a log over time. A log that has lost its end continues under a new identity, because the lost
 * positions are assigned to other events. Its earlier identities are its ancestors. Each is valid up to a position.
 */
import { randomUUID } from 'node:crypto'
import { type Ancestor, idBytes, positionOfId, positionOfRecordId, type StoredRecord } from '../format.js'

/** Names a log by its identity and ancestors, as stored in an index or a checkpoint. */
export interface LogReference {
  readonly log: string
  readonly ancestors?: readonly Ancestor[] | undefined
}

/** The identity of a log and its ancestors. Immutable. */
export class Lineage {
  readonly log: string
  /** Oldest first. */
  readonly ancestors: readonly Ancestor[]
  /** Identity of the log, 16 bytes. The ids that the log generates contain bits of it. */
  readonly identity: Buffer
  /**
   * The log and its ancestors: all logs that generated ids of events in this log, each with its last valid position.
   */
  readonly #makers: readonly { identity: Buffer; upTo: number }[]

  constructor(log: string, ancestors: readonly Ancestor[]) {
    this.log = log
    this.ancestors = ancestors
    this.identity = idBytes(log)
    this.#makers = [log, ...ancestors.map((ancestor) => ancestor.log)].map((maker) => ({
      identity: idBytes(maker),
      upTo: this.validUpTo(maker) ?? -1
    }))
  }

  /**
   * Returns the position in an id that this log generated, or an ancestor up to its last valid position; else
   * undefined.
   */
  placeOf(id: Buffer): number | undefined {
    for (const { identity, upTo } of this.#makers) {
      const position = positionOfId(id, identity)
      if (position !== undefined && position <= upTo) return position
    }
    return undefined
  }

  /** True for a record whose id contains its own position. */
  made(record: StoredRecord): boolean {
    return this.#makers.some(({ identity }) => positionOfRecordId(record, identity) === record.position)
  }

  /**
   * Returns the last position at which the log of that identity and this log hold the same event: Infinity for this
   * log's own identity, -1 when they share none, undefined for an unrelated log.
   */
  validUpTo(log: string): number | undefined {
    if (log === this.log) return Infinity
    const at = this.ancestors.findLastIndex((ancestor) => ancestor.log === log)
    // A later loss may have removed more records than an earlier one.
    return at < 0 ? undefined : Math.min(...this.ancestors.slice(at).map(({ upTo }) => upTo))
  }

  /** As `validUpTo`, but also finds a common ancestor of the two logs. */
  sharedWith({ log, ancestors = [] }: LogReference): number | undefined {
    const own = this.validUpTo(log)
    if (own !== undefined) return own
    let common = Infinity
    for (const ancestor of ancestors.toReversed()) {
      common = Math.min(common, ancestor.upTo)
      const valid = this.validUpTo(ancestor.log)
      if (valid !== undefined) return Math.min(common, valid)
    }
    return undefined
  }

  /**
   * Returns the last position that this log is certain to have reached when an index or a checkpoint was written.
   * @param head last position of the referenced log at that time
   * @returns -1 when the reference proves nothing about this log
   */
  reachedBy({ log, ancestors = [] }: LogReference, head: number): number {
    if (log === this.log) return head
    return ancestors.findLast((ancestor) => ancestor.log === this.log)?.upTo ?? -1
  }

  /**
   * Returns the lineage of a log with a new identity, of which this log is an ancestor.
   * @param upTo last position at which both hold the same event
   * @param ancestorsMax ancestors to keep; the oldest ones are dropped
   */
  renewed(upTo: number, ancestorsMax: number): Lineage {
    return new Lineage(randomUUID(), [...this.ancestors, { log: this.log, upTo }].slice(-ancestorsMax))
  }
}
