/** Retention: which events are still visible under their stream's metadata (reference 7, 11). */

import type { Postings } from '../index/posting-lists.js'
import type { StreamStates } from '../index/stream-states.js'
import { family, type StoredRecord } from '../log/format.js'
import { firstVisible } from '../streams/metadata.js'
import type { StreamState } from '../streams/stream-state.js'
import type { Clock } from '../time/clock.js'

interface RetentionBounds {
  readonly state: StreamState
  /** Lowest visible event number. */
  readonly first: number
}

export class Retention {
  readonly #states: StreamStates
  readonly #postings: Postings
  readonly #clock: Clock

  constructor(states: StreamStates, postings: Postings, clock: Clock) {
    this.#states = states
    this.#postings = postings
    this.#clock = clock
  }

  /** Increases whenever hidden events may have become visible. */
  get revealed(): number {
    return this.#states.revealed
  }

  /** Returns the instant from which a stream's events are visible, milliseconds; undefined without a `maxAge`. */
  seenSince({ metadata }: StreamState): number | undefined {
    return metadata.maxAge === undefined ? undefined : this.#clock.now() - metadata.maxAge
  }

  /** Returns for each record whether it is visible; undefined when all are. A tombstone is always visible. */
  async seen(records: readonly StoredRecord[]): Promise<boolean[] | undefined> {
    if (this.#states.none) return undefined
    const bounds = new Map<string, RetentionBounds>()
    for (const record of records) {
      const name = record.streamBytes
      if (bounds.has(name) || !this.#states.concernsBytes(name)) continue
      bounds.set(name, await this.#boundsOf(record.stream))
    }
    if (bounds.size === 0) return undefined
    return records.map((record) => {
      const bound = bounds.get(record.streamBytes)
      return bound === undefined || record.tombstone || this.#isSeen(record, bound)
    })
  }

  /** Returns the visible records, in their order. */
  async visible(records: readonly StoredRecord[]): Promise<readonly StoredRecord[]> {
    const seen = await this.seen(records)
    return seen === undefined ? records : records.filter((_, i) => seen[i])
  }

  #isSeen(record: StoredRecord, { state, first }: RetentionBounds): boolean {
    if (state.tombstone || state.metadata.deleted || record.number < first) return false
    const since = this.seenSince(state)
    return since === undefined || record.created >= since
  }

  async #boundsOf(stream: string): Promise<RetentionBounds> {
    const state = await this.#states.of(stream)
    const head = await this.#postings.head(family.stream, stream)
    return { state, first: firstVisible(state.metadata, (head?.count ?? 0) - 1) }
  }
}
