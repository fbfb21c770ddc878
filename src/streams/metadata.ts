/**
 * Stream metadata: the settings of a stream, in the last event of its metastream (reference 11). Pure.
 */

import { JsonReader } from '../json.js'
import { encodeRecord, type UnplacedRecord } from '../log/format.js'
import { type Acl, aclFaults, CLOSED_ACL, type MemberFault, readAcl, unknownRight, unknownRightsOf } from './acl.js'
import { metastreamOf } from './names.js'

export const METADATA_TYPE = '$metadata'
export const TOMBSTONE_TYPE = '$streamDeleted'

/** The value of `$tb`, 2^63-1, that marks a soft delete. */
export const DELETED_TEXT = '9223372036854775807'

export interface StreamMetadata {
  /** Only the last `maxCount` events are visible. */
  readonly maxCount?: number
  /** Only events younger than this are visible, in milliseconds. */
  readonly maxAge?: number
  /** Events with lower numbers are hidden. */
  readonly truncateBefore?: number
  /** How long clients may cache the head page, in seconds. */
  readonly cacheControl?: number
  readonly acl?: Acl
  /** True: the stream is soft-deleted until an event or new metadata is appended. */
  readonly deleted: boolean
}

export const NO_METADATA: StreamMetadata = { deleted: false }

/** Returns true when the metadata may hide events of the stream. */
export function retains({ maxCount, maxAge, truncateBefore }: StreamMetadata): boolean {
  return maxCount !== undefined || maxAge !== undefined || truncateBefore !== undefined
}

/**
 * Reads a metadata document. An invalid member counts as missing; the others still count. Faults must not widen access:
 * see `readAcl`; a document that is no JSON object makes its stream accessible to administrators only.
 * @param document undefined: the event has no data, or it is not JSON
 */
export function readMetadata(document: Buffer | undefined): StreamMetadata {
  const values = membersOfDocument(document)?.values
  if (values === undefined) return { acl: CLOSED_ACL, deleted: false }
  const { $maxCount, $maxAge, $tb, $cacheControl } = Object.fromEntries(
    NUMBERS.map(([name, least]) => [name, wholeNumber(values.get(name), least)])
  )
  const acl = values.get('$acl')
  return {
    ...($maxCount !== undefined && { maxCount: $maxCount }),
    ...($maxAge !== undefined && { maxAge: $maxAge * 1000 }),
    ...($tb !== undefined && { truncateBefore: $tb }),
    ...($cacheControl !== undefined && { cacheControl: $cacheControl }),
    ...(acl !== undefined && { acl: readAcl(JSON.parse(acl.toString())) }),
    // As a double, 2^63-1 is 2^63. No event number comes near it.
    deleted: ($tb ?? 0) >= 2 ** 63
  }
}

/** Members that are whole numbers, with the minimum of each. The maximum is 2^63-1. */
const NUMBERS: readonly (readonly [name: string, least: number])[] = [
  ['$maxCount', 1],
  ['$maxAge', 1],
  ['$tb', 0],
  ['$cacheControl', 1]
]

/** Returns the value of a member; undefined when it is missing or not a whole number from `least` to 2^63. */
function wholeNumber(json: Buffer | undefined, least: number): number | undefined {
  const value: unknown = json === undefined ? undefined : JSON.parse(json.toString())
  if (!Number.isInteger(value)) return undefined
  return (value as number) >= least && (value as number) <= 2 ** 63 ? (value as number) : undefined
}

/**
 * Returns the faults of a metadata document that both forms refuse; empty when there are none.
 * @param members of the document, if they are read already
 */
export function faultsOf(document: Buffer | undefined, members = membersOfDocument(document)): MemberFault[] {
  const values = members?.values
  if (values === undefined) return [{ why: 'Stream metadata must be a JSON object.' }]
  const faults: MemberFault[] = NUMBERS.flatMap(([member, least]) => {
    const json = values.get(member)
    if (json === undefined || (wholeNumber(json, least) !== undefined && isWithin63Bits(json.toString()))) return []
    return { member, why: `"${member}" must be a whole number from ${least} to 2^63-1.` }
  })
  const acl = values.get('$acl')
  return acl === undefined ? faults : [...faults, ...aclFaults(JSON.parse(acl.toString()))]
}

/**
 * Compares as text where needed, since 2^63-1 and 2^63 are equal as doubles. @param text of a whole number up to 2^63
 */
function isWithin63Bits(text: string): boolean {
  return Number(text) < 2 ** 63 || (/^\d+$/.test(text) && BigInt(text) < 2n ** 63n)
}

/**
 * Returns the faults that only the native form refuses: a repeated member, because another parser may use the first
 * value; and an unknown right in the rule.
 * @param standing the current document: unknown members of its rule may stay
 */
export function doubtsOf(document: Buffer | undefined, standing: Buffer | undefined): MemberFault[] {
  const whole = membersOfDocument(document)
  if (whole === undefined) return []
  const twice = (member: string) => ({ member, why: `"${member}" is repeated.` })
  const known = ['$acl', ...NUMBERS.map(([name]) => name)]
  const faults: MemberFault[] = known.filter((name) => whole.repeated.has(name)).map(twice)
  const rule = membersOfDocument(whole.values.get('$acl'))
  if (rule === undefined) return faults
  const kept = membersOfDocument(membersOfDocument(standing)?.values.get('$acl'))?.values
  const unknown = unknownRightsOf(Object.fromEntries(rule.values)).filter((name) => !kept?.has(name))
  return [
    ...faults,
    ...[...rule.repeated].map((name) => twice(`$acl.${name}`)),
    ...unknown.map((name) => unknownRight(name))
  ]
}

/** Returns true when events that are hidden with `before` may be visible with `after`. */
export function showsMore(before: StreamMetadata, after: StreamMetadata): boolean {
  if (after.deleted) return false
  const { maxCount = Infinity, maxAge = Infinity, truncateBefore = 0 } = after
  return (
    maxCount > (before.maxCount ?? Infinity) ||
    maxAge > (before.maxAge ?? Infinity) ||
    truncateBefore < (before.truncateBefore ?? 0)
  )
}

/**
 * Returns the lowest visible event number by `maxCount` and `truncateBefore`. It ignores `maxAge`, which needs a clock.
 * @param head the stream's last event number
 */
export function firstVisible({ maxCount, truncateBefore }: StreamMetadata, head: number): number {
  return Math.max(0, maxCount === undefined ? 0 : head - maxCount + 1, truncateBefore ?? 0)
}

/**
 * Returns the document with another `$tb`; every other member keeps its bytes.
 * @param document undefined: there is none; one that is no JSON object becomes a document with the closed ACL
 */
export function withTruncateBefore(document: Buffer | undefined, truncateBefore: number | string): Buffer {
  const members = new Map(membersOfDocument(document ?? EMPTY_DOCUMENT)?.values ?? [['$acl', CLOSED_RULE]])
  members.delete('$tb')
  members.set('$tb', Buffer.from(String(truncateBefore)))
  const parts = [...members].map(([name, value]) => `${JSON.stringify(name)}:${value.toString()}`)
  return Buffer.from(`{${parts.join(',')}}`)
}

const EMPTY_DOCUMENT = Buffer.from('{}')
const CLOSED_RULE = Buffer.from(JSON.stringify(CLOSED_ACL))

export interface Members {
  /** JSON of each member, byte for byte; the last value of a repeated member. */
  readonly values: ReadonlyMap<string, Buffer>
  readonly repeated: ReadonlySet<string>
}

/** Returns the members of a document; undefined when it is not a JSON object. */
export function membersOfDocument(document: Buffer | undefined): Members | undefined {
  if (document === undefined) return undefined
  const values = new Map<string, Buffer>()
  const repeated = new Set<string>()
  try {
    const reader = new JsonReader(document)
    const read = (name: string) => {
      if (values.has(name)) repeated.add(name)
      values.set(name, reader.slice())
    }
    reader.members(read, { repeats: true })
    reader.end()
  } catch {
    return undefined
  }
  return { values, repeated }
}

/** Returns the record of a metadata event that the store itself writes. */
export function metadataRecord(stream: string, document: Buffer): UnplacedRecord {
  return encodeRecord(metastreamOf(stream), { clientId: false, type: METADATA_TYPE, data: document })
}
