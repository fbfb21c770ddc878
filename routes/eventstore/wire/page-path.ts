/** Parses the start and the length of a feed page from its path (reference 4). Pure. */
import type { PageRequest } from './feed/feed.js'
import { badRequest } from './refusal.js'

export interface PagePath {
  readonly direction: 'backward' | 'forward'
  /** Absent for the plain address of the stream. */
  readonly from?: string | undefined
  readonly count?: string | undefined
}

const PAGE_DEFAULT = 20
const PAGE_MAX = 4096

/** Parses the path of a page. @throws a 400 (reference 4) */
export function parsePage({ direction, from, count }: PagePath): PageRequest {
  return { direction, from: parsePageStart(direction, from), count: parseCount(count) }
}

function parsePageStart(direction: PagePath['direction'], from: string | undefined): bigint | undefined {
  if (from === undefined || (from === 'head' && direction === 'backward')) return undefined
  return parseEventNumber(from)
}

/** Parses the number of an event. @throws a 400 */
export function parseEventNumber(text: string): bigint {
  const number = parseInteger(text)
  if (number === undefined || number < 0n) throw badRequest(`'${text}' is not valid event number`)
  return number
}

/** Parses the length of a page. @param what makes EventStoreDB's message for an invalid count @throws a 400 */
export function parseCount(
  count: string | undefined,
  what = (text: string) => `'${text}' is not valid count. Should be positive integer`
): number {
  if (count === undefined) return PAGE_DEFAULT
  const number = parseInteger(count)
  if (number === undefined || number < 1n || number > 0x7fff_ffffn) throw badRequest(what(count))
  if (number > BigInt(PAGE_MAX)) throw badRequest(`Read size too big, should be less than ${PAGE_MAX} items`)
  return Number(number)
}

/** Parses an integer as EventStoreDB does: a sign, leading zeros and surrounding spaces are allowed. */
function parseInteger(text: string): bigint | undefined {
  if (!/^ *[+-]?\d{1,40} *$/.test(text)) return undefined
  const number = BigInt(text.trim().replace('+', ''))
  return number > 0x7fff_ffff_ffff_ffffn ? undefined : number
}
