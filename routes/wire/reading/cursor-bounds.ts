/** Parses the bounds of a read (native contract §2): cursors, `start`, `end`, instants. */
import { DaybookError } from '../../../src/errors.js'
import type { Bound, Bounds } from '../../../src/reading/event-read.js'

const AGES = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const

const CURSOR = /^(-1|\d{1,16})$/

export interface BoundParameters {
  from?: string | undefined
  after?: string | undefined
  to?: string | undefined
  before?: string | undefined
}

/** The query parameters that bound a read, and the cursor from which it continues. */
export interface PlaceParameters extends BoundParameters {
  cursor?: string | undefined
}

/** Parses the number or position of one event in a path. @param name name of the parameter @throws `bad-parameter` */
export function parseEventPlace(name: string, text: string): number | 'head' {
  if (text === 'head') return text
  const place = Number(text)
  if (/^\d{1,16}$/.test(text) && Number.isSafeInteger(place)) return place
  throw new DaybookError('bad-parameter', `"${name}" must be a number from 0, or "head", not "${text.slice(0, 60)}".`, {
    parameter: name,
    in: 'params'
  })
}

/** Parses a cursor from a request. @param name name of the parameter @throws `bad-cursor` */
export function parseCursor(name: string, text: string): number {
  const value = Number(text)
  if (CURSOR.test(text) && Number.isSafeInteger(value)) return value
  throw new DaybookError('bad-cursor', `"${name}" must be a cursor, not "${text.slice(0, 60)}".`, { parameter: name })
}

/**
 * Parses the bounds of a read.
 * @param now current time in milliseconds, from which ages count
 * @throws `bad-cursor`, `bad-instant`; `bad-parameter` if one side has two bounds
 */
export function parseBounds(query: PlaceParameters, now: number): Omit<Bounds, 'order'> {
  return {
    lower: parseSide(LOWER, query.from, query.after, now),
    upper: parseSide(UPPER, query.to, query.before, now),
    cursor: query.cursor === undefined ? undefined : parseCursor('cursor', query.cursor)
  }
}

/** True for an age (`-15m`): a bound that means a different instant at every request. */
export function isAge(text: string | undefined): boolean {
  return text !== undefined && /^-\d+[a-z]$/.test(text)
}

/** One side of a range, and the names of the parameters that bound it. */
interface Side {
  /** The parameter of an inclusive bound. */
  readonly including: keyof BoundParameters
  /** The parameter of an exclusive bound. */
  readonly excluding: keyof BoundParameters
  readonly isLower: boolean
}

const LOWER: Side = { including: 'from', excluding: 'after', isLower: true }
const UPPER: Side = { including: 'to', excluding: 'before', isLower: false }

function parseSide(
  side: Side,
  included: string | undefined,
  excluded: string | undefined,
  now: number
): Bound | undefined {
  if (included !== undefined && excluded !== undefined) {
    throw new DaybookError('bad-parameter', `Send "${side.including}" or "${side.excluding}", not both.`)
  }
  const text = included ?? excluded
  return text === undefined ? undefined : parseBound(side, text, included !== undefined, now)
}

function parseBound(side: Side, text: string, included: boolean, now: number): Bound | undefined {
  const lower = side.isLower
  if (lower && text === 'start') return { kind: 'cursor', value: 0, included: true }
  if (lower && text === 'end') return { kind: 'end' }
  if (CURSOR.test(text)) {
    const value = Number(text)
    if (Number.isSafeInteger(value)) return { kind: 'cursor', value, included }
  }
  const instant = parseInstant(text, now)
  if (instant !== undefined) return { kind: 'instant', value: instant, included }
  const name = included ? side.including : side.excluding
  const code = /^[-\d]/.test(text) && /[-:TZ]/.test(text.slice(1)) ? 'bad-instant' : 'bad-cursor'
  throw new DaybookError(
    code,
    `"${name}" must be ${lower ? 'a cursor, start, end' : 'a cursor'} or an instant (RFC 3339, a date, or an age like -15m), not "${text.slice(0, 60)}".`,
    { parameter: name }
  )
}

/**
 * Parses an instant: RFC 3339, a date (midnight UTC) or an age. A space before the offset is read as `+`, because
 * clients often forget to percent-encode the `+`.
 * @returns milliseconds since the Unix epoch; undefined if the text is not an instant
 */
export function parseInstant(text: string, now: number): number | undefined {
  const age = /^-(\d{1,9})([smhdw])$/.exec(text)
  if (age !== null) return now - Number(age[1]) * AGES[age[2] as keyof typeof AGES]
  const parts = /^(\d{4})-(\d\d)-(\d\d)(?:[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?([Zz]|[+ -]\d\d:\d\d))?$/.exec(text)
  if (parts === null) return undefined
  const [, year, month, day, hour = '00', minute = '00', second = '00', fraction = '', zone = 'Z'] = parts
  if (Number(day) > new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate()) return undefined
  const value = Date.parse(
    `${year}-${month}-${day}T${hour}:${minute}:${second}.${fraction.slice(0, 3).padEnd(3, '0')}${zone.toUpperCase().replace(' ', '+')}`
  )
  return Number.isNaN(value) ? undefined : value
}
