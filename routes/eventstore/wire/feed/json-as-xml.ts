/** JSON values as elements and attributes of XML (reference 8.6). */
import type { Document, Element } from '@xmldom/xmldom'
import { textOf } from '../../../../src/latin1.js'
import { limits } from '../../../../src/limits.js'
import { Refusal } from '../refusal.js'
import { valueBytes } from './event-document.js'

/** Where JSON is written as XML, and how many nodes more it may have. */
export class JsonAsXml {
  readonly document: Document
  #left: number = limits.xml_nodes_max

  constructor(document: Document) {
    this.document = document
  }

  /** True when there were too many: nothing more can be written. */
  get full(): boolean {
    return this.#left < 0
  }

  /** @throws a 406 when there are too many */
  count(): void {
    if (--this.#left < 0) throw noXml()
  }
}

/** Numbers stay as they were written, digit for digit; text that is no JSON stays text. */
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
 * @throws a 406 for what has no form in XML: an attribute that is no scalar, a name without a character, text with a
 * character that XML cannot hold, too many values
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
 * A JSON key as the name of an element or an attribute: what may not stand there is escaped, a prefix is dropped. An
 * attribute of the name `xmlns` would move its element to a name space.
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

/** Letters and digits that may stand in names by every edition of XML 1.0 that parsers follow. */
const NAME_START = /^(?![\xaa\xb5\xba\u2180-\u2bff\u{10000}-\u{10ffff}])[\p{L}_]$/u
const NAME_PART = /^(?![\xaa\xb2\xb3\xb5\xb9\xba\xbc-\xbe\u2180-\u2bff\u{10000}-\u{10ffff}])[\p{L}\p{N}_.-]$/u
/** What would be taken for an escaped character. */
const ESCAPE = /^_x[0-9A-Fa-f]{4}_/

function escapeName(character: string): string {
  const code = character.codePointAt(0) as number
  return `_x${code
    .toString(16)
    .toUpperCase()
    .padStart(code > 0xffff ? 8 : 4, '0')}_`
}

/** Characters that XML 1.0 cannot hold in any spelling. */
const NO_XML = /[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu

/** Data as it stands. @throws a 406 when it has a character that XML cannot hold */
export function xmlText(text: string): string {
  if (text.search(NO_XML) >= 0) throw noXml()
  return text
}

/** A name for people to read: characters that XML cannot hold are escaped as in JSON. The links have the name itself. */
export function readableXml(text: string): string {
  return text.replace(NO_XML, (one) => `\\u${one.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`)
}

/** What has no form in XML. */
export function noXml(): Refusal {
  return new Refusal(406, 'Requested URI is not available in requested format', { bare: true })
}
