/**
 * Stream metadata under readable names and as it is stored (native contract §3, reference 11.1). Members are passed
 * on as they were written, so that numbers keep their digits.
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
 * The document as it is stored.
 * @param standing the stored document in force
 * @throws `invalid-metadata`, `malformed-json`
 */
export function toStored(document: Buffer, standing: Buffer | undefined): Buffer {
  return withWholeRule(checkStored(underStoredNames(document, (value) => value, standing)))
}

/** A merge patch under stored names. @throws `invalid-metadata`, `malformed-json` */
export function toStoredPatch(patch: Buffer): Buffer {
  return underStoredNames(patch, withoutNulls, undefined)
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
 * Completes an access rule that keeps anybody out, so that not everyone can lift it. Without `$d` or `$mw`, the right to
 * delete the stream and to write its metadata goes to those who may write, else to those who may read. Where both are
 * everyone or not named, it goes to administrators alone. A rule of `$all` alone keeps nobody out and stays as it is.
 */
function withWholeRule(stored: Buffer): Buffer {
  const { $acl: acl } = JSON.parse(stored.toString()) as { $acl?: Acl }
  const isNarrow = (entry: AclEntry | undefined) => entry !== undefined && ![entry].flat().includes('$all')
  if (acl === undefined || !Object.values(acl).some(isNarrow)) return stored
  const keepers = [acl.$w, acl.$r].find(isNarrow) ?? []
  const whole = JSON.stringify({ $acl: { $d: keepers, $mw: keepers, ...acl } })
  return mergePatch(stored, Buffer.from(whole))
}

/**
 * @param checked gives the part of the parsed document that is checked
 * @param standing what stands there may stay, though it looks like a slip
 */
function underStoredNames(document: Buffer, checked: (value: object) => object, standing: Buffer | undefined): Buffer {
  const whole = new JsonReader(document)
  if (!whole.atObject) throw invalidMetadata('Stream metadata is a JSON object.')
  checkNoRepeats(whole)
  whole.end()
  const value = JSON.parse(document.toString()) as object
  const part = checked(value)
  const members = membersOfDocument(part === value ? document : Buffer.from(JSON.stringify(part)))
  const [slip] = members === undefined ? [] : slipsOf(members, 'readable', standing)
  if (slip !== undefined) throw invalidMetadata(slip.why, slip.member)
  checkDocument(part, (why, { pointer }) => invalidMetadata(why, pointer.slice(1).replaceAll('/', '.')))
  for (const [readable, stored] of STORED_NAMES) {
    if (!Object.hasOwn(value, readable) || !Object.hasOwn(value, stored)) continue
    throw invalidMetadata(`"${stored}" is the same as "${readable}": leave it out, and say what is meant once.`, stored)
  }
  return rewritten(new JsonReader(document), (name, value) => {
    if (value === 'null') return [STORED_NAMES.get(name) ?? name, value]
    if (name === 'maxAge') return ['$maxAge', String(maxAgeOf(value))]
    if (name === 'acl') return ['$acl', renamed(value, (key) => STORED_RIGHTS.get(key) ?? key)]
    return [STORED_NAMES.get(name) ?? name, value]
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
  if (fault === undefined) return stored
  const { member, why } = fault
  if (member === '$maxAge') throw invalidMaxAge()
  const readable = READABLE.get(member ?? '')
  if (member === undefined || readable === undefined) throw invalidMetadata(why, member)
  throw invalidMetadata(why.replace(`"${member}"`, `"${readable}"`), readable)
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
    if (STORED_NAMES.has(name)) return undefined
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
  if (seconds === 0n) throw invalidMaxAge()
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

function invalidMaxAge(): DaybookError {
  return invalidMetadata('"maxAge" is from 1 second to 2^63-1 seconds.', 'maxAge')
}

function invalidMetadata(why: string, member?: string): DaybookError {
  return new DaybookError('invalid-metadata', why, {
    written: false,
    retry: false,
    ...(member !== undefined && { member }),
    pointer: pointerOf(member)
  })
}

/** Where a member stands in the document. @param member under its readable name; a right as `acl.read` */
function pointerOf(member: string | undefined): string {
  if (member === undefined) return ''
  const right = /^acl\.(.*)$/s.exec(member)?.[1]
  return right === undefined ? `/${escaped(member)}` : `/acl/${escaped(right)}`
}

/** The error of the writer for metadata that it refuses, told of the document as it was sent. */
export function asSent(error: DaybookError): DaybookError {
  const { index: _, member, ...details } = error.details
  if (error.code !== 'invalid-metadata' || typeof member !== 'string') return error
  const [name = '', right] = member.split(/\.(.*)/s)
  const readable = READABLE.get(name) ?? name
  const whole = right === undefined ? readable : `${readable}.${READABLE_ACL.get(right) ?? right}`
  const why = error.message.replace(`"${member}"`, `"${whole}"`)
  return new DaybookError(error.code, why, { ...details, member: whole, pointer: pointerOf(whole) }, error)
}
