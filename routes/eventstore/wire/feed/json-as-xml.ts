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

/** @throws a 406 for what has no form in XML: an attribute that is no scalar, a name of no character, too much of it */
export function writeValue(target: JsonAsXml, parent: Element, name: string, value: unknown): void {
  const { document } = target
  if (Array.isArray(value)) {
    for (const one of value) writeValue(target, parent, name, Array.isArray(one) ? { [name]: one } : one)
    return
  }
  target.count()
  const isObject = typeof value === 'object' && value !== null
  if (name === '#text' && !isObject) {
    parent.appendChild(document.createTextNode(cleanXml(String(value))))
    return
  }
  if (name.startsWith('@') && name.length > 1) {
    if (isObject) throw noXml()
    parent.setAttribute(xmlName(name.slice(1)), value === null ? '' : cleanXml(String(value)))
    return
  }
  const element = document.createElement(xmlName(name))
  parent.appendChild(element)
  if (isObject) writeMembers(target, element, value as Record<string, unknown>)
  else if (value !== null) element.appendChild(document.createTextNode(cleanXml(String(value))))
}

/** A JSON key as the name of an element: what may not stand there is escaped, a prefix is dropped. */
function xmlName(key: string): string {
  const local = key.slice(key.indexOf(':') + 1)
  if (local === '') throw noXml()
  let name = ''
  for (const character of local) {
    const allowed = name === '' ? /[\p{L}_]/u.test(character) : /[\p{L}\p{N}_.-]/u.test(character)
    name += allowed ? character : escapeName(character)
  }
  return name
}

function escapeName(character: string): string {
  let text = ''
  for (let i = 0; i < character.length; i++) {
    text += `_x${character.charCodeAt(i).toString(16).toUpperCase().padStart(4, '0')}_`
  }
  return text
}

/** Characters that XML cannot hold, in any spelling, give way to the replacement character. */
export function cleanXml(text: string): string {
  return text.replace(/[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd')
}

/** What has no form in XML. */
export function noXml(): Refusal {
  return new Refusal(406, 'Requested URI is not available in requested format', { bare: true })
}
