/**
 * A page of a feed before it is written: what it says of itself and where its links lead (reference 7, 8.1, 12.2).
 * Pure. Numbers are bigints, since a client may ask from anywhere up to 2^63-1.
 */
import type { FeedEntry } from './entry.js'

export interface FeedLink {
  readonly relation: 'self' | 'first' | 'last' | 'next' | 'previous' | 'metadata'
  readonly url: string
}

export interface Feed {
  readonly title: string
  readonly selfUrl: string
  /** Milliseconds; undefined for a feed without an event. */
  readonly updated: number | undefined
  /** Undefined for the log. */
  readonly stream: string | undefined
  readonly headOfStream: boolean
  /** `selfUrl` and `eTag` stand in backward pages of streams only. */
  readonly backward: boolean
  /** The version in `eTag`: at the head of a stream. */
  readonly tagVersion: string | undefined
  readonly links: readonly FeedLink[]
  /** Newest first. */
  readonly entries: readonly FeedEntry[]
}

export interface PageAsked {
  readonly direction: 'backward' | 'forward'
  /** Undefined: the head. */
  readonly from: bigint | undefined
  readonly count: number
}

/** What is to be read for a page: numbers `first` to `last`; none when `first > last`. */
export interface Window {
  readonly first: number
  readonly last: number
  /** Nothing older (backward) or newer (forward) is left. */
  readonly end: boolean
  /** The page may change: it reaches the head. */
  readonly moving: boolean
}

/**
 * The numbers of a page of a stream.
 * @param last the stream's last number
 * @param least its lowest number that can be seen, which may lie beyond the last
 */
export function windowOf({ direction, from, count }: PageAsked, last: number, least: number): Window {
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
  // A page whose numbers are all cut off leads on, or a client would poll it for ever. Past the end it is a place to wait.
  const cutOff = highest < BigInt(least) && start <= end
  return {
    first: Number(max(BigInt(least), start)),
    last: Number(min(highest, end)),
    end: highest >= end && !cutOff,
    moving: end + 1n < start + BigInt(count)
  }
}

/** Where a page of a stream stands. */
export interface StreamPlace {
  /** The stream's last number. */
  readonly head: number
  /** Nothing older (backward) or newer (forward) is left. */
  readonly end: boolean
  /** Events that were read for it, shown or not. */
  readonly read: number
  /** The number that the page ended at, when it was full before its count. */
  readonly endedAt?: number | undefined
  /** The page was asked for from the head, and all events are cut off. */
  readonly cutOff: boolean
}

/** Links of a page of a stream. */
export function streamLinks(base: string, asked: PageAsked, place: StreamPlace): FeedLink[] {
  const { end, read, cutOff, endedAt } = place
  const { direction, count } = asked
  const page = (path: string) => `${base}/${path}/${count}`
  const links: FeedLink[] = [
    { relation: 'self', url: base },
    { relation: 'first', url: page('head/backward') }
  ]
  const head = BigInt(place.head)
  if (direction === 'backward') {
    const from = asked.from ?? head
    if (!end && !cutOff) {
      links.push({ relation: 'last', url: page('0/forward') })
      const older = endedAt === undefined ? from - BigInt(count) : BigInt(endedAt) - 1n
      links.push({ relation: 'next', url: page(`${older}/backward`) })
    }
    links.push({ relation: 'previous', url: page(`${cutOff ? 0n : min(from, head) + 1n}/forward`) })
  } else {
    const from = asked.from ?? 0n
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

/** Where a page of the log begins and ends, as cursors: forward reads at or after one, backward before one. */
export interface LogPlace {
  /** The cursor that this page was read from. */
  readonly from: number
  /** It was asked for from the very beginning, where nothing is older. */
  readonly origin: boolean
  /** The cursor that goes on in the same direction. */
  readonly next: number
  readonly end: boolean
  readonly entries: number
}

/** Links of a page of the log, whole or filtered. */
export function logLinks(
  base: string,
  { direction, count }: Pick<PageAsked, 'direction' | 'count'>,
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

/** Before everything. The first event has position 1 in this dialect, since EventStoreDB's is not 0 either. */
const ORIGIN = '0'.repeat(32)

/** A position of the log in this dialect: commit and prepare position, 16 hexadecimal digits each (reference 12.1). */
export function positionText(position: number): string {
  const half = (position + 1).toString(16).toUpperCase().padStart(16, '0')
  return half + half
}

/** @returns undefined when it is no position; -1 for the one before everything */
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
