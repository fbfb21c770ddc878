/**
 * Stream metadata: what an event in a metastream says about the stream it describes (reference 11). Pure; the rooms
 * that read and write events use it.
 */

import { JsonReader } from '../json.js'
import { encodeRecord, type UnplacedRecord } from '../log/format.js'
import { metastreamOf } from './names.js'

export const METADATA_TYPE = '$metadata'
export const TOMBSTONE_TYPE = '$streamDeleted'

/** The truncation that means "all of it, whatever comes": a soft delete. */
export const DELETED_TEXT = '9223372036854775807'

/** One or several user or role names. */
export type AclEntry = string | readonly string[]
/** Who may read, write, delete, read and write the metadata. */
export type Acl = Partial<Record<'$r' | '$w' | '$d' | '$mr' | '$mw', AclEntry>>

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
  /** Soft-deleted: the stream is gone until somebody appends to it. */
  readonly deleted: boolean
}

export const NO_METADATA: StreamMetadata = { deleted: false }

/** True when events of the stream can be hidden by it. */
export function retains({ maxCount, maxAge, truncateBefore }: StreamMetadata): boolean {
  return maxCount !== undefined || maxAge !== undefined || truncateBefore !== undefined
}

/**
 * Reads a metadata document as the core understands it. A document that is not one, or has a key that makes no sense,
 * counts as empty (reference 11.1): writing it is where it is refused.
 */
export function readMetadata(document: Buffer | undefined): StreamMetadata {
  let value: unknown
  try {
    value = JSON.parse(document?.toString() ?? '')
  } catch {
    return NO_METADATA
  }
  if (faultsOf(value).length > 0) return NO_METADATA
  const { $maxCount, $maxAge, $tb, $cacheControl, $acl } = value as Record<string, number | undefined> & { $acl?: Acl }
  return {
    ...($maxCount !== undefined && { maxCount: $maxCount }),
    ...($maxAge !== undefined && { maxAge: $maxAge * 1000 }),
    ...($tb !== undefined && { truncateBefore: $tb }),
    ...($cacheControl !== undefined && { cacheControl: $cacheControl }),
    ...($acl !== undefined && { acl: $acl }),
    // The text of 2^63-1 reads as 2^63; nothing else that is a number of an event comes near it.
    deleted: ($tb ?? 0) >= 2 ** 63
  }
}

/** What is wrong with a metadata document, one sentence each; empty when nothing is. */
export function faultsOf(value: unknown): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return ['Stream metadata is a JSON object.']
  const document = value as Record<string, unknown>
  const faults: string[] = []
  const whole = (key: string, least: number) => {
    const member = document[key]
    if (
      member === undefined ||
      (Number.isInteger(member) && (member as number) >= least && (member as number) <= 2 ** 63)
    )
      return
    faults.push(`"${key}" is a whole number from ${least} to 2^63-1.`)
  }
  whole('$maxCount', 1)
  whole('$maxAge', 1)
  whole('$tb', 0)
  whole('$cacheControl', 1)
  faults.push(...aclFaults(document.$acl))
  return faults
}

const ACL_KEYS = ['$r', '$w', '$d', '$mr', '$mw']

/** What is wrong with an access rule, one sentence each. @param name what it is called */
export function aclFaults(acl: unknown, name = '$acl'): string[] {
  if (acl === undefined) return []
  if (typeof acl !== 'object' || acl === null || Array.isArray(acl)) return [`"${name}" is a JSON object.`]
  const isName = (one: unknown) => typeof one === 'string'
  return ACL_KEYS.flatMap((key) => {
    const entry = (acl as Record<string, unknown>)[key]
    const good = entry === undefined || isName(entry) || (Array.isArray(entry) && entry.every(isName))
    return good ? [] : [`"${name}.${key}" is the name of a user or role, or an array of them.`]
  })
}

/**
 * The lowest number that can be seen by what is known without a clock.
 * @param head the stream's last number
 */
export function firstVisible({ maxCount, truncateBefore }: StreamMetadata, head: number): number {
  return Math.max(0, maxCount === undefined ? 0 : head - maxCount + 1, truncateBefore ?? 0)
}

/** The same document with another truncation; every other member keeps its bytes. */
export function withTruncateBefore(document: Buffer | undefined, truncateBefore: number | string): Buffer {
  const parts: string[] = []
  try {
    const reader = new JsonReader(document ?? Buffer.from('{}'))
    const members = new Map<string, string>()
    reader.members((name) => members.set(name, reader.slice().toString('latin1')), { repeats: true })
    members.delete('$tb')
    for (const [name, value] of members) parts.push(`${Buffer.from(JSON.stringify(name)).toString('latin1')}:${value}`)
    reader.end()
  } catch {
    parts.length = 0 // it was no document, and counted as empty
  }
  parts.push(`"$tb":${truncateBefore}`)
  return Buffer.from(`{${parts.join(',')}}`, 'latin1')
}

/** A metadata event that the store itself writes. */
export function metadataRecord(stream: string, document: Buffer): UnplacedRecord {
  return encodeRecord(metastreamOf(stream), { clientId: false, type: METADATA_TYPE, data: document })
}
