/** Types of reads: the request, its bounds, and the result as a page or as spans. */
import type { Viewer } from '../access/viewer.js'
import type { StoredRecord } from '../log/format.js'
import type { Filter } from './filter.js'
import type { Order, Range } from './walk.js'

/**
 * A bound of a read. A cursor is an event number when a stream is read, and a position when the whole log is read. An
 * instant is in milliseconds and is compared with `created`.
 */
export type Bound =
  | { readonly kind: 'cursor'; readonly value: number; readonly included: boolean }
  | { readonly kind: 'instant'; readonly value: number; readonly included: boolean }
  | { readonly kind: 'end' }

/** The bounds of a read, its order, and the cursor at which it resumes. */
export interface Bounds {
  /** `end` in descending order: the read returns only the last event within the upper bound. */
  readonly lower: Bound | undefined
  readonly upper: Bound | undefined
  readonly order: Order
  /** The read resumes after this cursor (in descending order before it). The event at the cursor is not returned. */
  readonly cursor?: number | undefined
}

/** The members of `Bounds` that may hold cursors. `lower` and `upper` are required. */
export type CursorBounds = Pick<Bounds, 'lower' | 'upper'> & Partial<Bounds>

export interface ReadRequest extends Bounds {
  readonly filter: Filter
  /** Replace each link event with the event it points at. */
  readonly resolveLinks: boolean
  /** On the log: also return events hidden by their stream's metadata. */
  readonly truncated: boolean
  /** Events that this viewer may not read are left out of the log and of index streams. Undefined: all are returned. */
  readonly viewer: Viewer | undefined
  /** Aborted when the client disconnects. The page then ends early. */
  readonly gone?: Pick<AbortSignal, 'aborted'> | undefined
}

/** Returns true for a read of the last event within its upper bound. Such a read returns at most one event. */
export function asksLast({ lower, order }: Pick<Bounds, 'lower' | 'order'>): boolean {
  return lower?.kind === 'end' && order === 'desc'
}

export interface EventPage {
  readonly events: readonly ReadResult[]
  /** The cursors that the bounds resolve to, both inclusive. */
  readonly range: Range
  /** The cursors examined for this page, matching or not. `first > last` when none were examined. */
  readonly covered: Range
  readonly head: number
}

/** A part of a read: the matching events between two cursors, both inclusive, in the order of the read. */
export interface Span {
  readonly from: number
  readonly to: number
  readonly events: readonly ReadResult[]
}

/** An event returned by a read. */
export interface ReadResult {
  readonly record: StoredRecord
  /** The event's number in the source, or its position when the log is read. A reader resumes after it. */
  readonly cursor: number
  /** The link event or the index stream entry that led to this event. */
  readonly link?: { readonly stream: string; readonly number: number } | undefined
}

/** Returns the part of the range that a page covers. @param reached last cursor that was examined */
export function coverage(range: Range, order: Order, reached: number | undefined, ended: boolean): Range {
  if (ended || reached === undefined) return range
  return order === 'asc' ? { first: range.first, last: reached } : { first: reached, last: range.last }
}
