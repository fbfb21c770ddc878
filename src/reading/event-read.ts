/** What a read asks for, and what it gives: a page, or spans to the end of its range. */
import type { Viewer } from '../access/viewer.js'
import type { StoredRecord } from '../log/format.js'
import type { Filter } from './filter.js'
import type { Order, Range } from './walk.js'

/**
 * A bound of a read. A cursor is an event number on one stream and a position on the whole log; an instant is
 * compared with `created`, milliseconds.
 */
export type Bound =
  | { readonly kind: 'cursor'; readonly value: number; readonly included: boolean }
  | { readonly kind: 'instant'; readonly value: number; readonly included: boolean }
  | { readonly kind: 'end' }

/** Bounds, the end from which they are read, and how far an earlier page got. */
export interface Bounds {
  /** `end` in falling order: the read gives the last event within the upper bound, and no other. */
  readonly lower: Bound | undefined
  readonly upper: Bound | undefined
  readonly order: Order
  /** The read goes on strictly after this cursor; in falling order strictly before it. */
  readonly cursor?: number | undefined
}

/** What of the bounds holds cursors. */
export type CursorBounds = Pick<Bounds, 'lower' | 'upper'> & Partial<Bounds>

export interface ReadRequest extends Bounds {
  readonly filter: Filter
  /** Show the events that links point at. */
  readonly resolveLinks: boolean
  /** On the log: also events that their stream's metadata hides. */
  readonly truncated: boolean
  /** Events that the viewer may not read are left out of the log and of index streams. Undefined: sees everything. */
  readonly viewer: Viewer | undefined
  /** Aborted when the client has gone: then a page ends where it is. */
  readonly gone?: Pick<AbortSignal, 'aborted'> | undefined
}

/** True for a read of the last event within its upper bound: it gives one event, and no other. */
export function asksLast({ lower, order }: Pick<Bounds, 'lower' | 'order'>): boolean {
  return lower?.kind === 'end' && order === 'desc'
}

export interface EventPage {
  readonly events: readonly ReadResult[]
  /** What the bounds came to, both included. */
  readonly range: Range
  /** The cursors this page has dealt with, matched or not; `first > last` when none. */
  readonly covered: Range
  readonly head: number
}

/** A part of a read: the events found between two cursors, both included, in the order of the read. */
export interface Span {
  readonly from: number
  readonly to: number
  readonly events: readonly ReadResult[]
}

/** An event as a read found it. */
export interface ReadResult {
  readonly record: StoredRecord
  /** Its number where it was found, or on the log its position: a reader goes on after it. */
  readonly cursor: number
  /** The link or the place in an index stream through which it was found. */
  readonly link?: { readonly stream: string; readonly number: number } | undefined
}

/** The part of the range that a page has covered. */
export function coverage(range: Range, order: Order, reached: number | undefined, ended: boolean): Range {
  if (ended || reached === undefined) return range
  return order === 'asc' ? { first: range.first, last: reached } : { first: reached, last: range.last }
}
