/**
 * Converts stream metadata between readable names (`maxAge`) and stored names (`$maxAge`); native contract §3,
 * reference 11.1. Values are copied as raw bytes, so that numbers keep all their digits.
 */
import { StreamMetadata } from '../../../schemas/metadata.js'
import { DaybookError } from '../../../src/errors.js'
import { JsonReader } from '../../../src/json.js'
import { type Acl, type AclEntry, isObject } from '../../../src/streams/acl.js'
import { faultsOf, membersOfDocument, readMetadata } from '../../../src/streams/metadata.js'
import { STORED_NAMES, STORED_RIGHTS, slipsOf } from '../../../src/streams/metadata-names.js'
import { secondsOf, UNIT_SECONDS } from '../../../src/time/duration.js'
import { compileShape } from '../problems/shape.js'
import { escaped } from '../problems/shape-faults.js'

const READABLE = inverted(STORED_NAMES)
const READABLE_ACL = inverted(STORED_RIGHTS)

const checkDocument = compileShape<object>(StreamMetadata)

/**
 * Returns the document under stored names.
 * @param current the current stored document
 * @throws `invalid-metadata`, `malformed-json`
 */
export function toStored(document: Buffer, current: Buffer | undefined): Buffer {
  return withCompleteAcl(checkStored(underStoredNames(document, (value) => value, current)))
}

/** Returns a merge patch under stored names. @throws `invalid-metadata`, `malformed-json` */
export function toStoredPatch(patch: Buffer): Buffer {
  return underStoredNames(patch, withoutNulls, undefined)
}

/**
 * Applies a merge patch (RFC 7396) to a document, both under stored names.
 * @param stored the current document. If it is not a JSON object, only its effective ACL is patched.
 * @throws `invalid-metadata`
 */
export function patchStored(stored: Buffer, patch: Buffer): Buffer {
  const target =
    parsedObject(stored) === undefined ? Buffer.from(JSON.stringify({ $acl: readMetadata(stored).acl })) : stored
  const merged = checkStored(mergePatch(target, patch))
  return rawMembersOf(new JsonReader(patch)).has('$acl') ? withCompleteAcl(merged) : merged
}

/**
 * Completes an ACL that restricts access, so that not everyone can lift the restriction. A missing `$d` or `$mw` (the
 * right to delete the stream, or to write its metadata) gets the value of `$w`, or else of `$r`. If each of these is
 * `$all` or missing, it gets an empty list: administrators only. An ACL that names only `$all` restricts nobody and is
 * not changed.
 */
function withCompleteAcl(stored: Buffer): Buffer {
  const { $acl: acl } = JSON.parse(stored.toString()) as { $acl?: Acl }
  const isRestricted = (entry: AclEntry | undefined) => entry !== undefined && ![entry].flat().includes('$all')
  if (acl === undefined || !Object.values(acl).some(isRestricted)) return stored
  const keepers = [acl.$w, acl.$r].find(isRestricted) ?? []
  const complete = JSON.stringify({ $acl: { $d: keepers, $mw: keepers, ...acl } })
  return mergePatch(stored, Buffer.from(complete))
}

/**
 * Checks a document under readable names and returns it under stored names.
 * @param checked returns the part of the parsed document to check
 * @param current the current stored document; a name in it is accepted, even if it looks like a misspelling
 */
function underStoredNames(document: Buffer, checked: (value: object) => object, current: Buffer | undefined): Buffer {
  const whole = new JsonReader(document)
  if (!whole.atObject) throw invalidMetadata('Stream metadata must be a JSON object.')
  checkNoRepeats(whole)
  whole.end()
  const value = JSON.parse(document.toString()) as object
  const part = checked(value)
  const members = membersOfDocument(part === value ? document : Buffer.from(JSON.stringify(part)))
  const [slip] = members === undefined ? [] : slipsOf(members, 'readable', current)
  if (slip !== undefined) throw invalidMetadata(slip.why, slip.member)
  checkDocument(part, (why, { pointer }) => invalidMetadata(why, pointer.slice(1).replaceAll('/', '.')))
  for (const [readable, stored] of STORED_NAMES) {
    if (!Object.hasOwn(value, readable) || !Object.hasOwn(value, stored)) continue
    throw invalidMetadata(`"${stored}" and "${readable}" are the same setting: leave "${stored}" out.`, stored)
  }
  return rewritten(new JsonReader(document), (name, value) => {
    if (value === 'null') return [STORED_NAMES.get(name) ?? name, value]
    if (name === 'maxAge') return ['$maxAge', String(maxAgeOf(value))]
    if (name === 'acl') return ['$acl', renamed(value, (key) => STORED_RIGHTS.get(key) ?? key)]
    return [STORED_NAMES.get(name) ?? name, value]
  })
}

/** Refuses repeated members, also in the ACL. @throws `malformed-json` */
function checkNoRepeats(reader: JsonReader): void {
  reader.members((name) => {
    if (name === 'acl' && reader.atObject) checkNoRepeats(reader)
    else reader.slice()
  })
}

/** Returns a patch without its nulls: null removes any member, so the schema must not check it. */
function withoutNulls(value: object): object {
  const members = Object.entries(value).filter(([, member]) => member !== null)
  return Object.fromEntries(
    members.map(([name, member]) => [name, name === 'acl' && isObject(member) ? withoutNulls(member) : member])
  )
}

/** Returns a stored document if all its known members are valid. @throws `invalid-metadata` */
function checkStored(stored: Buffer): Buffer {
  const [fault] = faultsOf(stored)
  if (fault === undefined) return stored
  const { member, why } = fault
  if (member === '$maxAge') throw invalidMaxAge()
  const readable = READABLE.get(member ?? '')
  if (member === undefined || readable === undefined) throw invalidMetadata(why, member)
  throw invalidMetadata(why.replace(`"${member}"`, `"${readable}"`), readable)
}

/**
 * Returns the effective metadata under readable names. Omits invalid members, and custom members whose names would
 * collide with a readable name.
 * @param document undefined if the metadata event contains no document
 */
export function toReadable(document: Buffer | undefined): Buffer {
  const { acl } = readMetadata(document)
  const rule =
    acl && renamed(Buffer.from(JSON.stringify(acl)).toString('latin1'), (key) => READABLE_ACL.get(key) ?? key)
  if (document === undefined || parsedObject(document) === undefined) return Buffer.from(`{"acl":${rule}}`)
  const invalid = new Set(faultsOf(document).map(({ member }) => member))
  return rewritten(new JsonReader(document), (name, value) => {
    if (STORED_NAMES.has(name)) return undefined
    if (name === '$acl') return ['acl', rule ?? '{}']
    if (invalid.has(name)) return undefined
    if (name === '$maxAge') return ['maxAge', JSON.stringify(durationOf(value))]
    return [READABLE.get(name) ?? name, value]
  })
}

/** Applies a merge patch: null removes a member, an object is merged, any other value replaces. */
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

/** The members of an object with their raw values, one byte per character. */
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

/** Returns the seconds of a duration. @param quoted a duration that the schema accepts, in quotes */
function maxAgeOf(quoted: string): bigint {
  const seconds = secondsOf(quoted)
  if (seconds === 0n) throw invalidMaxAge()
  return seconds
}

/** Returns an ISO 8601 duration. @param number stored number of whole seconds, up to 2^63-1 */
function durationOf(number: string): string {
  const seconds = /^\d+$/.test(number) ? BigInt(number) : BigInt(Number(number))
  const part = (count: bigint, unit: string) => (count > 0n ? `${count}${unit}` : '')
  const { D, H, M } = UNIT_SECONDS
  const time = part((seconds % D) / H, 'H') + part((seconds % H) / M, 'M') + part(seconds % M, 'S')
  return `P${part(seconds / D, 'D')}${time === '' ? '' : `T${time}`}`
}

/** Parses a document; undefined if it is not a JSON object. */
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

function invalidMaxAge(): DaybookError {
  return invalidMetadata('"maxAge" must be from 1 second to 2^63-1 seconds.', 'maxAge')
}

function invalidMetadata(why: string, member?: string): DaybookError {
  return new DaybookError('invalid-metadata', why, {
    written: false,
    retry: false,
    ...(member !== undefined && { member }),
    pointer: pointerOf(member)
  })
}

/** Returns the JSON pointer to a member. @param member its readable name; a right as `acl.read` */
function pointerOf(member: string | undefined): string {
  if (member === undefined) return ''
  const right = /^acl\.(.*)$/s.exec(member)?.[1]
  return right === undefined ? `/${escaped(member)}` : `/acl/${escaped(right)}`
}

/** Rewrites an error of the writer about invalid metadata: it names the readable member that the client sent. */
export function asSent(error: DaybookError): DaybookError {
  const { index: _, member, ...details } = error.details
  if (error.code !== 'invalid-metadata' || typeof member !== 'string') return error
  const [name = '', right] = member.split(/\.(.*)/s)
  const readable = READABLE.get(name) ?? name
  const whole = right === undefined ? readable : `${readable}.${READABLE_ACL.get(right) ?? right}`
  const why = error.message.replace(`"${member}"`, `"${whole}"`)
  return new DaybookError(error.code, why, { ...details, member: whole, pointer: pointerOf(whole) }, error)
}
