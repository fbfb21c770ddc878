/**
 * Stream metadata under readable names and as it is stored (native contract §3, reference 11.1). Members are passed
 * on as they were written, so that numbers keep their digits.
 */
import { StreamMetadata } from '../../../schemas/metadata.js'
import { DaybookError } from '../../../src/errors.js'
import { JsonReader } from '../../../src/json.js'
import { type Acl, type AclEntry, isObject } from '../../../src/streams/acl.js'
import { faultsOf, readMetadata } from '../../../src/streams/metadata.js'
import { secondsOf, UNIT_SECONDS } from '../../../src/time/duration.js'
import { compileShape } from '../problems/shape.js'

const STORED = new Map([
  ['maxAge', '$maxAge'],
  ['maxCount', '$maxCount'],
  ['truncateBefore', '$tb'],
  ['cacheControl', '$cacheControl'],
  ['acl', '$acl']
])
const STORED_ACL = new Map([
  ['read', '$r'],
  ['write', '$w'],
  ['delete', '$d'],
  ['metadataRead', '$mr'],
  ['metadataWrite', '$mw']
])
const READABLE = inverted(STORED)
const READABLE_ACL = inverted(STORED_ACL)

const checkDocument = compileShape<object>(StreamMetadata)

/** The document as it is stored. @throws `invalid-metadata`, `malformed-json` */
export function toStored(document: Buffer): Buffer {
  return withWholeRule(checkStored(underStoredNames(document, (value) => value)))
}

/** A merge patch under stored names. @throws `invalid-metadata`, `malformed-json` */
export function toStoredPatch(patch: Buffer): Buffer {
  return underStoredNames(patch, withoutNulls)
}

/**
 * The document after a merge patch (RFC 7396), both under stored names.
 * @param stored the document in force. One that is no JSON object counts as the access rule that it leaves in force.
 * @throws `invalid-metadata`
 */
export function patchStored(stored: Buffer, patch: Buffer): Buffer {
  const target =
    parsedObject(stored) === undefined ? Buffer.from(JSON.stringify({ $acl: readMetadata(stored).acl })) : stored
  const merged = checkStored(mergePatch(target, patch))
  return rawMembersOf(new JsonReader(patch)).has('$acl') ? withWholeRule(merged) : merged
}

/**
 * Completes an access rule, so that not everyone can lift it. Without `$d` or `$mw`, the right to delete the stream and
 * to write its metadata goes to those who may write, else to those who may read. Where both are everyone or not named, it
 * goes to administrators alone.
 */
function withWholeRule(stored: Buffer): Buffer {
  const { $acl: acl } = JSON.parse(stored.toString()) as { $acl?: Acl }
  if (acl === undefined || Object.keys(acl).length === 0) return stored
  const isNarrow = (entry: AclEntry | undefined) => entry !== undefined && ![entry].flat().includes('$all')
  const keepers = [acl.$w, acl.$r].find(isNarrow) ?? []
  const whole = JSON.stringify({ $acl: { $d: keepers, $mw: keepers, ...acl } })
  return mergePatch(stored, Buffer.from(whole))
}

/** @param known gives the part of the parsed document that the schema checks */
function underStoredNames(document: Buffer, known: (value: object) => object): Buffer {
  const whole = new JsonReader(document)
  if (!whole.atObject) throw invalidMetadata('Stream metadata is a JSON object.')
  checkNoRepeats(whole)
  whole.end()
  checkDocument(known(JSON.parse(document.toString()) as object), (why) => invalidMetadata(why))
  return rewritten(new JsonReader(document), (name, value) => {
    if (READABLE.has(name)) throw invalidMetadata(`"${name}" is called "${READABLE.get(name)}" here.`)
    if (value === 'null') return [STORED.get(name) ?? name, value]
    if (name === 'maxAge') return ['$maxAge', String(maxAgeOf(value))]
    if (name === 'acl') return ['$acl', renamed(value, (key) => STORED_ACL.get(key) ?? key)]
    return [STORED.get(name) ?? name, value]
  })
}

/** Refuses repeated members, also in the access rule. @throws `malformed-json` */
function checkNoRepeats(reader: JsonReader): void {
  reader.members((name) => {
    if (name === 'acl' && reader.atObject) checkNoRepeats(reader)
    else reader.slice()
  })
}

/** A patch without its nulls: null removes any member, so the schema does not check it. */
function withoutNulls(value: object): object {
  const members = Object.entries(value).filter(([, member]) => member !== null)
  return Object.fromEntries(
    members.map(([name, member]) => [name, name === 'acl' && isObject(member) ? withoutNulls(member) : member])
  )
}

/** @throws `invalid-metadata` for a document that would be ignored */
function checkStored(stored: Buffer): Buffer {
  const [fault] = faultsOf(stored)
  if (fault !== undefined) throw invalidMetadata(fault.why)
  return stored
}

/**
 * The metadata in force, under readable names. Leaves out members of the user's own that would have the same name, and
 * members that are invalid.
 * @param document undefined: an event that holds none
 */
export function toReadable(document: Buffer | undefined): Buffer {
  const { acl } = readMetadata(document)
  const rule =
    acl && renamed(Buffer.from(JSON.stringify(acl)).toString('latin1'), (key) => READABLE_ACL.get(key) ?? key)
  if (document === undefined || parsedObject(document) === undefined) return Buffer.from(`{"acl":${rule}}`)
  const senseless = new Set(faultsOf(document).map(({ member }) => member))
  return rewritten(new JsonReader(document), (name, value) => {
    if (STORED.has(name)) return undefined
    if (name === '$acl') return ['acl', rule ?? '{}']
    if (senseless.has(name)) return undefined
    if (name === '$maxAge') return ['maxAge', JSON.stringify(durationOf(value))]
    return [READABLE.get(name) ?? name, value]
  })
}

/** null removes, objects are merged, all else replaces. */
function mergePatch(target: Buffer, patch: Buffer): Buffer {
  const changes = rawMembersOf(new JsonReader(patch))
  const reader = new JsonReader(target)
  const merged = reader.atObject ? rawMembersOf(reader) : new Map<string, string>()
  for (const [name, value] of changes) {
    if (value === 'null') merged.delete(name)
    else if (value.startsWith('{')) {
      const before = merged.get(name) ?? '{}'
      merged.set(name, mergePatch(bytes(before), bytes(value)).toString('latin1'))
    } else merged.set(name, value)
  }
  return joinMembers(merged)
}

/** Members with their values as bytes, one character a byte. */
function rawMembersOf(reader: JsonReader): Map<string, string> {
  const members = new Map<string, string>()
  reader.members((name) => members.set(name, reader.slice().toString('latin1')), { repeats: true })
  return members
}

function rewritten(
  reader: JsonReader,
  rewrite: (name: string, value: string) => [name: string, value: string] | undefined
): Buffer {
  const members = new Map<string, string>()
  for (const [name, value] of rawMembersOf(reader)) {
    const member = rewrite(name, value)
    if (member !== undefined) members.set(member[0], member[1])
  }
  return joinMembers(members)
}

function renamed(object: string, rename: (name: string) => string): string {
  const document = rewritten(new JsonReader(bytes(object)), (name, value) => [rename(name), value])
  return document.toString('latin1')
}

function joinMembers(members: ReadonlyMap<string, string>): Buffer {
  const parts = [...members].map(([name, value]) => `${Buffer.from(JSON.stringify(name)).toString('latin1')}:${value}`)
  return Buffer.from(`{${parts.join(',')}}`, 'latin1')
}

/** Seconds of a duration as the schema allows it, quoted. */
function maxAgeOf(quoted: string): bigint {
  const seconds = secondsOf(quoted)
  if (seconds === 0n) throw invalidMetadata('"maxAge" is longer than nothing.')
  return seconds
}

/** @param number whole seconds as they are stored, up to 2^63-1 */
function durationOf(number: string): string {
  const seconds = /^\d+$/.test(number) ? BigInt(number) : BigInt(Number(number))
  const part = (count: bigint, unit: string) => (count > 0n ? `${count}${unit}` : '')
  const { D, H, M } = UNIT_SECONDS
  const time = part((seconds % D) / H, 'H') + part((seconds % H) / M, 'M') + part(seconds % M, 'S')
  return `P${part(seconds / D, 'D')}${time === '' ? '' : `T${time}`}`
}

/** The members of a document; undefined when it is no JSON object. */
function parsedObject(document: Buffer): object | undefined {
  try {
    const value: unknown = JSON.parse(document.toString())
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

function bytes(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}

function inverted(names: ReadonlyMap<string, string>): Map<string, string> {
  return new Map([...names].map(([key, value]) => [value, key]))
}

function invalidMetadata(why: string): DaybookError {
  return new DaybookError('invalid-metadata', why, { written: false, retry: false })
}
