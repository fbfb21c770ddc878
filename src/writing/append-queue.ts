/** The queue of write requests, and the cost of each request: the work of one commit is bounded. */
import { DaybookError } from '../errors.js'
import { limits } from '../limits.js'
import { StoredRecord } from '../log/format.js'
import type { SearchedRequest } from './commit-loader.js'
import { type EventCondition, namesIn } from './plan/event-condition.js'
import type { AppendResult } from './plan/plan-append.js'
import type { DeleteResult } from './plan/plan-delete.js'
import type { AppendRequest } from './plan/write-request.js'

export type WriteResult = AppendResult | DeleteResult

export interface RequestSize {
  /** Approximate bytes of memory. */
  readonly bytes: number
  /** Number of index entries to write plus names to look up. */
  readonly weight: number
}

export interface QueuedRequest extends SearchedRequest {
  readonly size: RequestSize
  /** Arrival time, from the clock's `elapsed`. */
  readonly since: number
  readonly resolve: (result: WriteResult) => void
  readonly reject: (error: Error) => void
}

/** Approximate object overhead of an event, a condition, an item or a name, beside its own bytes. */
const OBJECT_BYTES = 100

export const DELETE_SIZE: RequestSize = { bytes: OBJECT_BYTES, weight: 1 }

export function sizeOfAppend(request: AppendRequest): RequestSize {
  const { events } = request
  let bytes = OBJECT_BYTES * events.length
  let weight = events.length
  for (const { id, record } of events) {
    bytes += record.bytes.length
    weight += new StoredRecord(0, record.bytes).tagCount
    if (id !== undefined) weight++
  }
  if (request.kind === 'append-by-place') weight++
  if (request.kind !== 'append') return { bytes, weight }
  weight += request.conditions.length
  for (const { stream } of request.conditions) bytes += OBJECT_BYTES + stream.length
  if (request.matches === undefined) return { bytes, weight }
  for (const { items } of request.matches) weight += 1 + items.length + namesIn(items)
  return { bytes: bytes + bytesOfMatches(request.matches), weight }
}

function bytesOfMatches(matches: readonly EventCondition[]): number {
  let bytes = 0
  for (const { items } of matches) {
    bytes += OBJECT_BYTES
    for (const { types, tags } of items) {
      bytes += OBJECT_BYTES
      for (const type of types) bytes += OBJECT_BYTES + type.length
      for (const tag of tags) bytes += OBJECT_BYTES + tag.length
    }
  }
  return bytes
}

export class AppendQueue {
  readonly #waiting: QueuedRequest[] = []
  #longest = 0

  /** The greatest length that the queue has had. */
  get longest(): number {
    return this.#longest
  }

  get length(): number {
    return this.#waiting.length
  }

  /**
   * Adds a request to the queue.
   * @param first puts the request at the front
   * @throws DaybookError `overloaded` when `append_queue_max` requests are waiting already
   */
  add(request: QueuedRequest, first: boolean): void {
    if (this.#waiting.length >= limits.append_queue_max) {
      throw new DaybookError(
        'overloaded',
        `${this.#waiting.length} appends are waiting for the disk, the most that may wait. Try again later.`,
        {
          written: false,
          retry: true
        }
      )
    }
    this.#longest = Math.max(this.#longest, this.#waiting[first ? 'unshift' : 'push'](request))
  }

  /** Removes and returns the requests of the next commit: as many as fit into one commit, and at least one. */
  take(): QueuedRequest[] {
    let bytes = 0
    let weight = 0
    let count = 0
    for (const { size } of this.#waiting) {
      bytes += size.bytes
      weight += size.weight
      if (count > 0 && (bytes > limits.commit_bytes_max || weight > limits.commit_work_max)) break
      count++
    }
    return this.#waiting.splice(0, count)
  }
}
