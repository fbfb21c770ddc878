/** Where a page of a feed begins and how long it is, as its path says (reference 4). Pure. */
import type { PageAsked } from './feed/feed.js'
import { badRequest } from './refusal.js'

export interface PagePath {
  readonly direction: 'backward' | 'forward'
  /** Absent: the bare address of the stream. */
  readonly from?: string | undefined
  readonly count?: string | undefined
}

const PAGE_USUAL = 20
const PAGE_MAX = 4096

/** @throws a 400 as reference 4 says */
export function parsePage({ direction, from, count }: PagePath): PageAsked {
  return { direction, from: parsePageStart(direction, from), count: parseCount(count) }
}

function parsePageStart(direction: PagePath['direction'], from: string | undefined): bigint | undefined {
  if (from === undefined || (from === 'head' && direction === 'backward')) return undefined
  return parseEventNumber(from)
}

/** The number of an event. @throws a 400 */
export function parseEventNumber(text: string): bigint {
  const number = parseInteger(text)
  if (number === undefined || number < 0n) throw badRequest(`'${text}' is not valid event number`)
  return number
}

/** @param what EventStoreDB's message for one that is wrong */
export function parseCount(
  count: string | undefined,
  what = (text: string) => `'${text}' is not valid count. Should be positive integer`
): number {
  if (count === undefined) return PAGE_USUAL
  const number = parseInteger(count)
  if (number === undefined || number < 1n || number > 0x7fff_ffffn) throw badRequest(what(count))
  if (number > BigInt(PAGE_MAX)) throw badRequest(`Read size too big, should be less than ${PAGE_MAX} items`)
  return Number(number)
}

/** An integer as EventStoreDB reads one: a sign, leading zeros and spaces around it are allowed. */
function parseInteger(text: string): bigint | undefined {
  if (!/^ *[+-]?\d{1,40} *$/.test(text)) return undefined
  const number = BigInt(text.trim().replace('+', ''))
  return number > 0x7fff_ffff_ffff_ffffn ? undefined : number
}
