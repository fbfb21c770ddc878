/**
 * Stream metadata: what an event in a metastream says about the stream it describes (reference 11). Pure; the rooms
 * that read and write events use it.
 */

import { JsonReader } from '../json.js'
import { encodeRecord, type UnplacedRecord } from '../log/format.js'
import { type Acl, aclFaults, CLOSED_ACL, type MemberFault, readAcl, unknownRight, unknownRightsOf } from './acl.js'
import { metastreamOf } from './names.js'

export const METADATA_TYPE = '$metadata'
export const TOMBSTONE_TYPE = '$streamDeleted'

/** The truncation that means "all events, and those to come": a soft delete. */
export const DELETED_TEXT = '9223372036854775807'

export interface StreamMetadata {
  /** Only this many of the last events are seen. */
  readonly maxCount?: number
  /** Only events younger than this are seen, milliseconds. */
  readonly maxAge?: number
  /** Events before this number are not seen. */
  readonly truncateBefore?: number
  /** How long the head page may be kept, seconds. */
  readonly cacheControl?: number
  readonly acl?: Acl
  /** Soft-deleted: the stream is gone until an event is appended to it. */
  readonly deleted: boolean
}

export const NO_METADATA: StreamMetadata = { deleted: false }

/** True when events of the stream can be hidden by it. */
export function retains({ maxCount, maxAge, truncateBefore }: StreamMetadata): boolean {
  return maxCount !== undefined || maxAge !== undefined || truncateBefore !== undefined
}

/**
 * Reads a metadata document as the core understands it, member by member: one that makes no sense counts as missing, and
 * the others count beside it. What cannot be understood opens nothing: see `readAcl`, and a document that is no JSON
 * object leaves its stream to administrators.
 * @param document undefined: the event holds none, or not as JSON
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
    // The text of 2^63-1 reads as 2^63; nothing else that is a number of an event comes near it.
    deleted: ($tb ?? 0) >= 2 ** 63
  }
}

/** Members that are whole numbers, and the least that each may be. The most is 2^63-1. */
const NUMBERS: readonly (readonly [name: string, least: number])[] = [
  ['$maxCount', 1],
  ['$maxAge', 1],
  ['$tb', 0],
  ['$cacheControl', 1]
]

/** The value of a member, up to 2^63; undefined when it is missing or no such number. */
function wholeNumber(json: Buffer | undefined, least: number): number | undefined {
  const value: unknown = json === undefined ? undefined : JSON.parse(json.toString())
  if (!Number.isInteger(value)) return undefined
  return (value as number) >= least && (value as number) <= 2 ** 63 ? (value as number) : undefined
}

/**
 * What is wrong with a metadata document in any form; empty when nothing is.
 * @param members of the document, where they are known
 */
export function faultsOf(document: Buffer | undefined, members = membersOfDocument(document)): MemberFault[] {
  const values = members?.values
  if (values === undefined) return [{ why: 'Stream metadata is a JSON object.' }]
  const faults: MemberFault[] = NUMBERS.flatMap(([member, least]) => {
    const json = values.get(member)
    if (json === undefined || (wholeNumber(json, least) !== undefined && isWithin63Bits(json.toString()))) return []
    return { member, why: `"${member}" is a whole number from ${least} to 2^63-1.` }
  })
  const acl = values.get('$acl')
  return acl === undefined ? faults : [...faults, ...aclFaults(JSON.parse(acl.toString()))]
}

/** As numbers 2^63-1 and 2^63 are the same. @param text of a whole number up to 2^63 */
function isWithin63Bits(text: string): boolean {
  return Number(text) < 2 ** 63 || (/^\d+$/.test(text) && BigInt(text) < 2n ** 63n)
}

/**
 * What only our own form refuses: a member that stands twice, of which another reader may take the first; a member of the
 * rule that is no right.
 * @param standing the document that is in force: unknown members of its rule may stay
 */
export function doubtsOf(document: Buffer | undefined, standing: Buffer | undefined): MemberFault[] {
  const whole = membersOfDocument(document)
  if (whole === undefined) return []
  const twice = (member: string) => ({ member, why: `"${member}" stands twice.` })
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

/** True when events that one document hides may be seen under the other. */
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
 * The lowest number that can be seen by what is known without a clock.
 * @param head the stream's last number
 */
export function firstVisible({ maxCount, truncateBefore }: StreamMetadata, head: number): number {
  return Math.max(0, maxCount === undefined ? 0 : head - maxCount + 1, truncateBefore ?? 0)
}

/**
 * The same document with another truncation; every other member keeps its bytes.
 * @param document undefined: there is none. One that is no JSON object stays closed.
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
  /** As JSON, byte for byte; of a member that stands twice, the last. */
  readonly values: ReadonlyMap<string, Buffer>
  readonly repeated: ReadonlySet<string>
}

/** The members of a document; undefined when it is no JSON object. */
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

/** A metadata event that the store itself writes. */
export function metadataRecord(stream: string, document: Buffer): UnplacedRecord {
  return encodeRecord(metastreamOf(stream), { clientId: false, type: METADATA_TYPE, data: document })
}
