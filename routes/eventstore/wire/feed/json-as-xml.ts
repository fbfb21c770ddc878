/** Converts JSON values to XML elements and attributes (reference 8.6). */
import type { Document, Element } from '@xmldom/xmldom'
import { textOf } from '../../../../src/latin1.js'
import { limits } from '../../../../src/limits.js'
import { Refusal } from '../refusal.js'
import { valueBytes } from './event-document.js'

/** The XML document under construction, with the number of nodes that it may still get. */
export class JsonAsXml {
  readonly document: Document
  #left: number = limits.xml_nodes_max

  constructor(document: Document) {
    this.document = document
  }

  /** True when the node limit is exceeded: nothing more can be written. */
  get full(): boolean {
    return this.#left < 0
  }

  /** Counts one node. @throws a 406 when the limit is exceeded */
  count(): void {
    if (--this.#left < 0) throw noXml()
  }
}

/** Parses JSON. Numbers become strings, to keep all their digits. Text that is not JSON is returned as it is. */
export function parsedJson(bytes: string): unknown {
  const text = textOf(bytes)
  if (valueBytes(bytes) !== bytes) return text
  return JSON.parse(text.replace(STRING_OR_NUMBER, (token) => (token.startsWith('"') ? token : `"${token}"`)))
}

const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g

export function writeMembers(target: JsonAsXml, parent: Element, object: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(object)) writeValue(target, parent, name, value)
}

/**
 * Writes a value as an element, an attribute (`@name`) or text (`#text`).
 * @throws a 406 for a value that XML cannot represent: an attribute that is not a scalar, an empty name, a character
 * that XML forbids, or too many values
 */
export function writeValue(target: JsonAsXml, parent: Element, name: string, value: unknown): void {
  const { document } = target
  if (Array.isArray(value)) {
    for (const one of value) writeValue(target, parent, name, Array.isArray(one) ? { [name]: one } : one)
    return
  }
  target.count()
  const isObject = typeof value === 'object' && value !== null
  if (name === '#text' && !isObject) {
    parent.appendChild(document.createTextNode(xmlText(String(value))))
    return
  }
  if (name.startsWith('@') && name.length > 1) {
    if (isObject) throw noXml()
    parent.setAttribute(xmlName(name.slice(1)), value === null ? '' : xmlText(String(value)))
    return
  }
  const element = document.createElement(xmlName(name))
  parent.appendChild(element)
  if (isObject) writeMembers(target, element, value as Record<string, unknown>)
  else if (value !== null) element.appendChild(document.createTextNode(xmlText(String(value))))
}

/**
 * Returns a JSON key as the name of an element or attribute. Escapes forbidden characters and drops a prefix. Escapes
 * `xmlns`, too, because such an attribute would put its element into a namespace.
 */
function xmlName(key: string): string {
  const local = key.slice(key.indexOf(':') + 1)
  if (local === '') throw noXml()
  if (local === 'xmlns') return `${escapeName('x')}mlns`
  let name = ''
  let at = 0
  for (const character of local) {
    const allowed = (at === 0 ? NAME_START : NAME_PART).test(character) && !ESCAPE.test(local.slice(at, at + 7))
    name += allowed ? character : escapeName(character)
    at += character.length
  }
  return name
}

/** Characters allowed in names by all editions of XML 1.0 that parsers implement. */
const NAME_START = /^(?![\xaa\xb5\xba\u2180-\u2bff\u{10000}-\u{10ffff}])[\p{L}_]$/u
const NAME_PART = /^(?![\xaa\xb2\xb3\xb5\xb9\xba\xbc-\xbe\u2180-\u2bff\u{10000}-\u{10ffff}])[\p{L}\p{N}_.-]$/u
/** Text that a reader would take for an escaped character. */
const ESCAPE = /^_x[0-9A-Fa-f]{4}_/

function escapeName(character: string): string {
  const code = character.codePointAt(0) as number
  return `_x${code
    .toString(16)
    .toUpperCase()
    .padStart(code > 0xffff ? 8 : 4, '0')}_`
}

/** Characters that XML 1.0 forbids, even escaped. */
const NO_XML = /[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu

/** Returns the text unchanged. @throws a 406 when it has a character that XML forbids */
export function xmlText(text: string): string {
  if (text.search(NO_XML) >= 0) throw noXml()
  return text
}

/** Returns a name for display, with forbidden characters escaped as in JSON. Links contain the exact name. */
export function readableXml(text: string): string {
  return text.replace(NO_XML, (one) => `\\u${one.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`)
}

/** Returns the refusal of a value that XML cannot represent. */
export function noXml(): Refusal {
  return new Refusal(406, 'Requested URI is not available in requested format', { bare: true })
}
