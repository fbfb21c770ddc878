/**
 * Error texts for values that do not fit a schema: the member, its value and what is allowed. Every JSON Schema keyword
 * that the schemas of this server use has a sentence here; a test fails if one is missing.
 */
import type { ErrorObject } from 'ajv/dist/2020.js'
import { unknownName } from './known-names.js'

/** The keywords of a schema that limit its values. */
interface AllowedValues {
  readonly type?: string
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly anyOf?: readonly AllowedValues[]
  readonly properties?: object
  readonly format?: string
  readonly examples?: readonly string[]
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly minItems?: number
  readonly maxItems?: number
}

/** One validation error. */
interface Fault {
  /** The name of the wrong member in quotes, or "The value" for the whole value. */
  readonly name: string
  readonly value: unknown
  readonly allowed: AllowedValues
  readonly params: Readonly<Record<string, unknown>>
  /** Known member names, for a schema without `properties`. */
  readonly known: readonly string[]
}

export interface FaultOptions {
  /** Known member names of the whole value. */
  readonly known: readonly string[]
  /** Name of the member whose value this is, if it is not a whole body. */
  readonly name?: string
  /** The value is a query: entries of a list are named after their parameter, because it is repeated for each. */
  readonly isQuery?: boolean
}

const isOther = ({ name, value, allowed }: Fault) => `${name} must be ${phraseOf(allowed)}${butNot(name, value)}.`
const hasOther = (unit: string) => (fault: Fault) => {
  const { name, value, allowed } = fault
  return `${name} must have ${countOf(allowed, unit)}; this one has ${measureOf(value)}.`
}

function isTooShort(fault: Fault): string {
  const { name, value, allowed } = fault
  if (value !== '') return hasOther('characters')(fault)
  const advice =
    allowed.maxLength === undefined
      ? 'give it a value, or leave it out'
      : `it must have ${countOf(allowed, 'characters')}`
  return `${name} is empty: ${advice}.`
}

/** The error text of each schema keyword. */
export const sentences: Readonly<Record<string, (fault: Fault) => string>> = {
  type: isOther,
  enum: isOther,
  const: isOther,
  anyOf: isOther,
  format: isOther,
  pattern: isOther,
  minimum: isOther,
  maximum: isOther,
  minLength: isTooShort,
  maxLength: hasOther('characters'),
  minItems: hasOther('entries'),
  maxItems: hasOther('entries'),
  minProperties: ({ name, allowed, known }) => {
    const members = allowed.properties === undefined ? known : Object.keys(allowed.properties)
    return `${name} must have at least one of ${members.map((member) => `"${member}"`).join(', ')}.`
  },
  uniqueItems: ({ name, value, params }) => {
    const [i, j] = [Number(params.i), Number(params.j)].sort((one, other) => one - other)
    return `${name} contains ${asSentText((value as unknown[])[i as number])} twice, at ${i} and ${j}; list it once.`
  },
  required: ({ name, params }) => `${memberOf(name, String(params.missingProperty))} is missing.`,
  additionalProperties: ({ allowed, params, known }) =>
    unknownName(
      String(params.additionalProperty),
      allowed.properties === undefined ? known : Object.keys(allowed.properties)
    )
}

/**
 * Returns one sentence that says what is wrong and what is allowed, and a JSON pointer to the wrong member.
 * @param errors errors of a validator that stops at the first one; for a union (`anyOf`), the last error is the union's
 */
export function explainFault(errors: readonly ErrorObject[], of: FaultOptions): { why: string; pointer: string } {
  const error = errors.at(-1)
  const root = of.name === undefined || of.name === '' ? '' : `/${of.name}`
  if (error === undefined) return { why: 'The value is not allowed here.', pointer: root }
  const { keyword, params, instancePath, data, parentSchema } = error
  const path = root + instancePath
  const names = path.slice(1).split('/').map(unescaped)
  if (of.isQuery) names.length = 1
  const name = path === '' ? 'The value' : `"${names.join('.')}"`
  const fault = { name, value: data, allowed: (parentSchema ?? {}) as AllowedValues, params, known: of.known }
  const why = sentences[keyword]?.(fault) ?? `${name} has a value that is not allowed here.`
  const member: unknown = params.missingProperty ?? params.additionalProperty
  return { why, pointer: member === undefined ? path : `${path}/${escaped(String(member))}` }
}

/** Returns what a schema allows as a noun phrase, for example `a whole number from 1 to 100`. */
export function phraseOf(allowed: AllowedValues): string {
  return listed(alternativesOf(allowed))
}

function alternativesOf(allowed: AllowedValues): string[] {
  if (allowed.anyOf !== undefined) return allowed.anyOf.flatMap(alternativesOf)
  if (allowed.enum !== undefined) return allowed.enum.map((value) => JSON.stringify(value))
  return [nounOf(allowed)]
}

function nounOf(allowed: AllowedValues): string {
  const { type, minimum, maximum, format, examples } = allowed
  if (allowed.const !== undefined) return JSON.stringify(allowed.const)
  if (type === 'integer' || type === 'number') {
    const number = type === 'integer' ? 'a whole number' : 'a number'
    return `${number}${minimum === undefined ? '' : ` from ${minimum}`}${maximum === undefined ? '' : ` to ${maximum}`}`
  }
  const like = examples ?? FORMS[format ?? '']
  if (like !== undefined) return `text like ${listed(like.map((one) => JSON.stringify(one)))}`
  return NOUNS[type ?? ''] ?? 'another value'
}

/** Example values of each string format. */
const FORMS: Readonly<Record<string, readonly string[]>> = {
  uuid: ['5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11'],
  'date-time': ['2026-11-23T10:15:29Z']
}

const NOUNS: Readonly<Record<string, string>> = {
  string: 'text',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  null: 'null'
}

function listed(values: readonly string[]): string {
  const last = values.at(-1) ?? ''
  return values.length < 2 ? last : `${values.slice(0, -1).join(', ')} or ${last}`
}

function countOf(allowed: AllowedValues, unit: string): string {
  const [least, most] =
    unit === 'entries' ? [allowed.minItems, allowed.maxItems] : [allowed.minLength, allowed.maxLength]
  const one = unit === 'entries' ? 'entry' : 'character'
  if (least !== undefined && most !== undefined) return `${least} to ${most} ${unit}`
  return most === undefined ? `at least ${least} ${least === 1 ? one : unit}` : `at most ${most} ${unit}`
}

function measureOf(value: unknown): number {
  return typeof value === 'string' ? [...value].length : (value as unknown[]).length
}

/** The wrong value as a part of the sentence; empty for passwords, which must not appear in errors. */
function butNot(name: string, value: unknown): string {
  return /password/i.test(name) ? '' : `, not ${asSentText(value)}`
}

function asSentText(value: unknown): string {
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object' && value !== null) return 'an object'
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length <= 80 ? text : `${text.slice(0, 80)}…`
}

function memberOf(name: string, member: string): string {
  return name.startsWith('"') ? `${name.slice(0, -1)}.${member}"` : `"${member}"`
}

/** Escapes a segment of a JSON pointer (RFC 6901). */
export function escaped(segment: string): string {
  return segment.replaceAll('~', '~0').replaceAll('/', '~1')
}

function unescaped(segment: string): string {
  return segment.replaceAll('~1', '/').replaceAll('~0', '~')
}
