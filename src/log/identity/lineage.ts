/**
 * The identities that a log has had. A log whose end was lost goes on under a new identity, because the lost positions are
 * given to other events. The identities that it had before are its ancestors, each valid up to a position.
 */
import { randomUUID } from 'node:crypto'
import { type Ancestor, idBytes, positionOfId, positionOfRecordId, type StoredRecord } from '../format.js'

/** A log as an index or a checkpoint names it. */
export interface LogReference {
  readonly log: string
  readonly ancestors?: readonly Ancestor[] | undefined
}

/** The identity of a log and of those that it descends from, oldest first. Immutable. */
export class Lineage {
  readonly log: string
  readonly ancestors: readonly Ancestor[]
  /** 16 bytes. The ids that the log makes hold bits of it. */
  readonly identity: Buffer
  /** The identities whose ids can name events of this log, and the last position that each can name. */
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

  /** The position that an id names when this log made it, or an ancestor before it was cut; undefined for all others. */
  placeOf(id: Buffer): number | undefined {
    for (const { identity, upTo } of this.#makers) {
      const position = positionOfId(id, identity)
      if (position !== undefined && position <= upTo) return position
    }
    return undefined
  }

  /** True for a record whose id names the place where it stands. */
  made(record: StoredRecord): boolean {
    return this.#makers.some(({ identity }) => positionOfRecordId(record, identity) === record.position)
  }

  /**
   * @returns the last position at which the log of that identity and this one hold the same event: Infinity for this
   * log itself, -1 when they share none, undefined for an unrelated log
   */
  validUpTo(log: string): number | undefined {
    if (log === this.log) return Infinity
    const at = this.ancestors.findLastIndex((ancestor) => ancestor.log === log)
    // A later cut may have gone deeper.
    return at < 0 ? undefined : Math.min(...this.ancestors.slice(at).map(({ upTo }) => upTo))
  }

  /** As validUpTo, also for a log that only has an ancestor in common with this one. */
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
   * The last position that this log had when an index or a checkpoint named it.
   * @param head the last position, then, of the log that is named
   * @returns -1 when that says nothing of this log
   */
  reachedBy({ log, ancestors = [] }: LogReference, head: number): number {
    if (log === this.log) return head
    return ancestors.findLast((ancestor) => ancestor.log === this.log)?.upTo ?? -1
  }

  /** The lineage of the log that goes on where this one ends now. @param most ancestors to remember */
  renewed(upTo: number, most: number): Lineage {
    return new Lineage(randomUUID(), [...this.ancestors, { log: this.log, upTo }].slice(-most))
  }
}
