/**
 * The model of a feed page before rendering: its properties and links (reference 7, 8.1, 12.2). Pure. Numbers are
 * bigints, because a client may request any start up to 2^63-1.
 */
import type { FeedEntry } from './entry.js'

export interface FeedLink {
  readonly relation: 'self' | 'first' | 'last' | 'next' | 'previous' | 'metadata'
  readonly url: string
}

export interface Feed {
  readonly title: string
  readonly selfUrl: string
  /** Milliseconds since the epoch; undefined for a feed without events. */
  readonly updated: number | undefined
  /** Undefined for the log. */
  readonly stream: string | undefined
  readonly headOfStream: boolean
  /** True for a backward page of a stream: only these have `selfUrl` and `eTag`. */
  readonly backward: boolean
  /** The version in `eTag`, for a page at the head of a stream. */
  readonly tagVersion: string | undefined
  readonly links: readonly FeedLink[]
  /** Newest first. */
  readonly entries: readonly FeedEntry[]
}

export interface PageRequest {
  readonly direction: 'backward' | 'forward'
  /** Undefined for the head. */
  readonly from: bigint | undefined
  readonly count: number
}

/** The event numbers to read for a page: `first` to `last`, both included; none when `first > last`. */
export interface Window {
  readonly first: number
  readonly last: number
  /** True when there are no older (backward) or newer (forward) events. */
  readonly end: boolean
  /** True when the page may still change because it reaches the head. */
  readonly moving: boolean
}

/**
 * Returns the numbers of a page of a stream.
 * @param last the stream's last number
 * @param least its lowest visible number, which may exceed `last`
 */
export function windowOf({ direction, from, count }: PageRequest, last: number, least: number): Window {
  const end = BigInt(last)
  if (direction === 'backward') {
    const start = from ?? end
    const lowest = start - BigInt(count) + 1n
    return {
      first: Number(max(BigInt(least), lowest)),
      last: Number(min(start, end)),
      end: lowest <= BigInt(least),
      moving: from === undefined || start > end
    }
  }
  const start = from ?? 0n
  const highest = start + BigInt(count) - 1n
  // A page whose events are all truncated must link to the next page, or a client would poll it without end. A page
  // beyond the head needs no such link: the client waits there.
  const cutOff = highest < BigInt(least) && start <= end
  return {
    first: Number(max(BigInt(least), start)),
    last: Number(min(highest, end)),
    end: highest >= end && !cutOff,
    moving: end + 1n < start + BigInt(count)
  }
}

/** The position of a page in its stream. */
export interface StreamPlace {
  /** The stream's last number. */
  readonly head: number
  /** True when there are no older (backward) or newer (forward) events. */
  readonly end: boolean
  /** Number of events read for the page, shown or not. */
  readonly read: number
  /** The last number read, when the page reached its size limit before its count. */
  readonly endedAt?: number | undefined
  /** True when the page starts at the head and all events are truncated. */
  readonly cutOff: boolean
}

/** Returns the links of a page of a stream. */
export function streamLinks(base: string, request: PageRequest, place: StreamPlace): FeedLink[] {
  const { end, read, cutOff, endedAt } = place
  const { direction, count } = request
  const page = (path: string) => `${base}/${path}/${count}`
  const links: FeedLink[] = [
    { relation: 'self', url: base },
    { relation: 'first', url: page('head/backward') }
  ]
  const head = BigInt(place.head)
  if (direction === 'backward') {
    const from = request.from ?? head
    if (!end && !cutOff) {
      links.push({ relation: 'last', url: page('0/forward') })
      const older = endedAt === undefined ? from - BigInt(count) : BigInt(endedAt) - 1n
      links.push({ relation: 'next', url: page(`${older}/backward`) })
    }
    links.push({ relation: 'previous', url: page(`${cutOff ? 0n : min(from, head) + 1n}/forward`) })
  } else {
    const from = request.from ?? 0n
    if (from > 0n) {
      links.push({ relation: 'last', url: page('0/forward') })
      links.push({ relation: 'next', url: page(`${from - 1n}/backward`) })
    }
    if (!end || read > 0) {
      const newest = endedAt === undefined ? from + BigInt(count) - 1n : BigInt(endedAt)
      links.push({ relation: 'previous', url: page(`${min(newest, head) + 1n}/forward`) })
    }
  }
  links.push({ relation: 'metadata', url: `${base}/metadata` })
  return links
}

/** The start and end of a page of the log, as cursors. Forward reads start at a cursor, backward reads before it. */
export interface LogPlace {
  /** The cursor at which the page starts. */
  readonly from: number
  /** True when the page starts at the beginning of the log. */
  readonly origin: boolean
  /** The cursor of the next page in the same direction. */
  readonly next: number
  readonly end: boolean
  readonly entries: number
}

/** Returns the links of a page of the log, whole or filtered. */
export function logLinks(
  base: string,
  { direction, count }: Pick<PageRequest, 'direction' | 'count'>,
  place: LogPlace,
  filtered: boolean
): FeedLink[] {
  const page = (cursor: number, towards: string) => `${base}/${positionText(cursor)}/${towards}/${count}`
  const links: FeedLink[] = [
    { relation: 'self', url: base },
    { relation: 'first', url: `${base}/head/backward/${count}` }
  ]
  if (direction === 'backward') {
    if (!place.end) {
      links.push({ relation: 'last', url: `${base}/${ORIGIN}/forward/${count}` })
      links.push({ relation: 'next', url: page(place.next, 'backward') })
    }
    links.push({ relation: 'previous', url: page(place.from, 'forward') })
  } else {
    if (!place.origin) {
      links.push({ relation: 'last', url: `${base}/${ORIGIN}/forward/${count}` })
      links.push({ relation: 'next', url: page(place.from, 'backward') })
    }
    if (!place.end || place.entries > 0) links.push({ relation: 'previous', url: page(place.next, 'forward') })
  }
  if (!filtered) links.push({ relation: 'metadata', url: `${base}/metadata` })
  return links
}

/** The position before the first event, which has position 1 in the dialect: in EventStoreDB it is not 0 either. */
const ORIGIN = '0'.repeat(32)

/** Returns a log position in the dialect: commit and prepare position, 16 hexadecimal digits each (reference 12.1). */
export function positionText(position: number): string {
  const half = (position + 1).toString(16).toUpperCase().padStart(16, '0')
  return half + half
}

/** Parses a position. Returns undefined for an invalid one, -1 for the position before the first event. */
export function parsePosition(text: string): number | undefined {
  if (!/^[0-7][0-9a-f]{15}[0-7][0-9a-f]{15}$/i.test(text)) return undefined
  return Number(min(BigInt(`0x${text.slice(0, 16)}`), BigInt(Number.MAX_SAFE_INTEGER))) - 1
}

function min(one: bigint, other: bigint): bigint {
  return one < other ? one : other
}

function max(one: bigint, other: bigint): bigint {
  return one > other ? one : other
}
