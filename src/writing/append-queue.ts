/** Requests that wait for the writer, and what each of them weighs: a commit is bounded by the work that it makes. */
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
  /** What it holds in memory, about. */
  readonly bytes: number
  /** Index entries that it makes, and names that it looks up. */
  readonly weight: number
}

/** A request in the queue. */
export interface QueuedRequest extends SearchedRequest {
  readonly size: RequestSize
  /** When it came, by the clock's `elapsed`. */
  readonly since: number
  readonly resolve: (result: WriteResult) => void
  readonly reject: (error: Error) => void
}

/** What the objects of an event, a condition, an item or a name take beside its bytes, about. */
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

  /** The most that have waited at once. */
  get longest(): number {
    return this.#longest
  }

  get length(): number {
    return this.#waiting.length
  }

  /** @param first puts the request at the front @throws `overloaded` when too many wait */
  add(request: QueuedRequest, first: boolean): void {
    if (this.#waiting.length >= limits.append_queue_max) {
      throw new DaybookError(
        'overloaded',
        `${this.#waiting.length} appends are waiting for the disk. Try again later.`,
        {
          written: false,
          retry: true
        }
      )
    }
    this.#longest = Math.max(this.#longest, this.#waiting[first ? 'unshift' : 'push'](request))
  }

  /** Takes the requests that go into the next commit: all that wait, within the bounds of one commit, at least one. */
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
