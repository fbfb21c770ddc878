/**
 * XML of the dialect: feeds and events written (reference 8.6, 8.7), appended events read (reference 5.2).
 *
 * The parser knows no entities but the five of XML and loads nothing; documents with a DOCTYPE are refused besides.
 */
import { DOMImplementation, DOMParser, type Document, type Element, type Node, XMLSerializer } from '@xmldom/xmldom'
import { DaybookError } from '../../../../src/errors.js'
import { textOf } from '../../../../src/latin1.js'
import { limits } from '../../../../src/limits.js'
import { Refusal } from '../refusal.js'
import { segment } from '../urls.js'
import { atomDate } from './atom-date.js'
import type { Entry } from './entry.js'
import { valueBytes } from './event-document.js'
import type { Feed } from './feed.js'
import type { ShownEvent } from './shown-event.js'

const ATOM = 'http://www.w3.org/2005/Atom'
const DECLARATION = '<?xml version="1.0" encoding="utf-8"?>'
const serializer = new XMLSerializer()

/** Writes elements of one document; `prefix` stands before the names of Atom. */
class Writer {
  readonly document: Document
  readonly target: Target
  readonly #prefix: string

  constructor(root: string, namespace: string | null, prefix = '') {
    this.#prefix = prefix === '' ? '' : `${prefix}:`
    this.document = new DOMImplementation().createDocument(namespace, this.#prefix + root, null)
    this.target = new Target(this.document)
  }

  get prefixed(): boolean {
    return this.#prefix !== ''
  }

  get root(): Element {
    return this.document.documentElement as Element
  }

  atom(parent: Node, name: string, text?: string, attributes: Record<string, string> = {}): Element {
    const element = this.document.createElementNS(ATOM, this.#prefix + name)
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
    if (text !== undefined) element.appendChild(this.document.createTextNode(clean(text)))
    parent.appendChild(element)
    return element
  }

  text(): string {
    return serializer.serializeToString(this.document)
  }
}

export function renderFeedXml(feed: Feed, base: string, withContent: boolean): string {
  const writer = new Writer('feed', ATOM)
  const { root } = writer
  writer.atom(root, 'title', feed.title)
  writer.atom(root, 'id', feed.selfUrl)
  writer.atom(root, 'updated', atomDate(feed.updated))
  writer.atom(writer.atom(root, 'author'), 'name', 'EventStore')
  for (const { relation, url } of feed.links) writer.atom(root, 'link', undefined, { href: url, rel: relation })
  for (const entry of feed.entries) writeEntry(writer, writer.atom(root, 'entry'), entry, base, withContent)
  return DECLARATION + writer.text()
}

/** One entry by itself carries its content, if that is JSON. @throws a 406 as jsonToXml */
export function renderEntryXml(entry: Entry, base: string): string {
  const writer = new Writer('entry', ATOM, 'atom')
  writeEntry(writer, writer.root, entry, base, true)
  return DECLARATION + writer.text()
}

function writeEntry(
  writer: Writer,
  element: Element,
  { event, link }: Entry,
  base: string,
  withContent: boolean
): void {
  const stream = textOf(link?.streamBytes ?? event?.streamBytes ?? '')
  const number = link?.number ?? event?.number ?? ''
  const url = `${base}/streams/${segment(stream)}/${number}`
  writer.atom(element, 'title', `${number}@${stream}`)
  writer.atom(element, 'id', url)
  writer.atom(element, 'updated', atomDate(link?.created ?? event?.created))
  writer.atom(writer.atom(element, 'author'), 'name', 'EventStore')
  writer.atom(element, 'summary', link === undefined ? textOf(event?.typeBytes ?? '') : '$>')
  writer.atom(element, 'link', undefined, { href: url, rel: 'edit' })
  writer.atom(element, 'link', undefined, { href: url, rel: 'alternate' })
  if (!withContent || event === undefined || link !== undefined || !event.isJson) return
  const content = writer.atom(element, 'content', undefined, { type: 'application/xml' })
  writeDocument(writer.target, content, event)
  if (writer.prefixed) return
  // The event's members stand in no name space, where Atom's is the default.
  for (const member of elementsOf(content)) member.setAttribute('xmlns', '')
}

/** The event document rooted `<event>`. @throws a 406 as jsonToXml */
export function renderEventXml(event: ShownEvent): string {
  const document = new DOMImplementation().createDocument(null, 'event', null)
  writeDocument(new Target(document), document.documentElement as Element, event)
  return serializer.serializeToString(document)
}

/** The event's data rooted `<data>`. @throws a 406 when it is no JSON object */
export function renderDataXml(event: ShownEvent): string {
  const document = new DOMImplementation().createDocument(null, 'data', null)
  if (event.dataBytes !== '') {
    const value = event.isJson ? parsed(event.dataBytes) : undefined
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw noXml()
    writeMembers(new Target(document), document.documentElement as Element, value as Record<string, unknown>)
  }
  return serializer.serializeToString(document)
}

/** Where JSON is written as XML, and how many nodes more it may have. */
class Target {
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

function writeDocument(target: Target, parent: Element, event: ShownEvent): void {
  const { streamBytes, number, typeBytes, id } = event
  const data = event.isJson ? parsed(event.dataBytes) : textOf(event.dataBytes)
  const values = {
    eventStreamId: textOf(streamBytes),
    eventNumber: number,
    eventType: textOf(typeBytes),
    eventId: id,
    data,
    metadata: parsed(event.metadataBytes)
  }
  for (const [name, value] of Object.entries(values)) writeValue(target, parent, name, value)
}

/** Numbers stay as they were written, digit for digit; text that is no JSON stays text. */
function parsed(bytes: string): unknown {
  const text = textOf(bytes)
  if (valueBytes(bytes) !== bytes) return text
  return JSON.parse(text.replace(STRING_OR_NUMBER, (token) => (token.startsWith('"') ? token : `"${token}"`)))
}

const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g

function writeMembers(target: Target, parent: Element, object: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(object)) writeValue(target, parent, name, value)
}

/** @throws a 406 for what has no form in XML: an attribute that is no scalar, a name of no character, too much of it */
function writeValue(target: Target, parent: Element, name: string, value: unknown): void {
  const { document } = target
  if (Array.isArray(value)) {
    for (const one of value) writeValue(target, parent, name, Array.isArray(one) ? { [name]: one } : one)
    return
  }
  target.count()
  const isObject = typeof value === 'object' && value !== null
  if (name === '#text' && !isObject) {
    parent.appendChild(document.createTextNode(clean(String(value))))
    return
  }
  if (name.startsWith('@') && name.length > 1) {
    if (isObject) throw noXml()
    parent.setAttribute(xmlName(name.slice(1)), value === null ? '' : clean(String(value)))
    return
  }
  const element = document.createElement(xmlName(name))
  parent.appendChild(element)
  if (isObject) writeMembers(target, element, value as Record<string, unknown>)
  else if (value !== null) element.appendChild(document.createTextNode(clean(String(value))))
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
function clean(text: string): string {
  return text.replace(/[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd')
}

function noXml(): Refusal {
  return new Refusal(406, 'Requested URI is not available in requested format', { bare: true })
}

/** An event as XML says it: every value a string, an object of them, or an array. */
export type XmlValue = string | { [name: string]: XmlValue } | XmlValue[]

/**
 * The events of an XML body: any number of children of the root, whatever they are called.
 * @throws `invalid-body`
 */
export function parseXmlEvents(body: Buffer): Record<string, XmlValue>[] {
  if (body.length > limits.xml_body_bytes_max) throw invalid(`it has more than ${limits.xml_body_bytes_max} bytes`)
  const document = parseXml(body.toString('utf8'))
  const root = document.documentElement as Element
  if (root.namespaceURI !== null && root.namespaceURI !== '') throw invalid('its elements stand in a name space')
  const events = elementsOf(root).map((element) => contentOf(element, 2))
  if (events.length === 0) throw invalid('it holds no event')
  return events.map((event) => {
    if (typeof event !== 'object' || Array.isArray(event)) throw invalid('an event is an element with members')
    return event
  })
}

function parseXml(text: string): Document {
  // Looked at before parsing: neither its size nor its time is worth a document that is refused anyway.
  if (/<!(DOCTYPE|ENTITY)/i.test(text)) throw invalid('it has a document type')
  // Each name space is looked up by all that stands inside: that may cost far more than reading it.
  const spaces = text.split('xmlns', limits.xml_namespaces_max + 2).length - 1
  if (spaces > limits.xml_namespaces_max) throw invalid(`it has more than ${limits.xml_namespaces_max} name spaces`)
  let marks = 0
  for (const _ of text.matchAll(/<|=\s*["']/g)) {
    if (++marks > limits.xml_marks_max) throw invalid(`it has more than ${limits.xml_marks_max} tags and attributes`)
  }
  try {
    return new DOMParser({ onError: refuse, locator: false }).parseFromString(text, 'text/xml')
  } catch (error) {
    if (error instanceof DaybookError) throw error
    throw invalid((error as Error).message.split('\n', 1)[0] ?? 'it is not well formed')
  }
}

function refuse(_level: string, message: string): never {
  throw invalid(message)
}

function invalid(why: string): DaybookError {
  return new DaybookError('invalid-body', `The XML is not a list of events: ${why}.`)
}

function elementsOf(element: Element): Element[] {
  return Array.from(element.childNodes).filter((node): node is Element => node.nodeType === node.ELEMENT_NODE)
}

/** @param depth of the element, 1 for the root; the parser itself does not mind how deep they are */
function contentOf(element: Element, depth: number): XmlValue {
  if (depth > limits.xml_depth_max) throw invalid(`elements are nested more than ${limits.xml_depth_max} deep`)
  const value: Record<string, XmlValue> = Object.create(null)
  for (const attribute of Array.from(element.attributes)) value[`@${attribute.name}`] = attribute.value
  let text = ''
  for (const node of Array.from(element.childNodes)) {
    if (node.nodeType === node.TEXT_NODE) text += node.nodeValue
    else if (node.nodeType === node.CDATA_SECTION_NODE) add(value, '#cdata-section', node.nodeValue ?? '')
    else if (node.nodeType === node.ELEMENT_NODE)
      add(value, (node as Element).tagName, contentOf(node as Element, depth + 1))
  }
  const empty = Object.keys(value).length === 0
  if (empty) return text
  if (text.trim() !== '') value['#text'] = text
  return value
}

/** A name that stands several times holds an array. */
function add(object: Record<string, XmlValue>, name: string, value: XmlValue): void {
  const there = object[name]
  if (there === undefined) object[name] = value
  else if (Array.isArray(there)) there.push(value)
  else object[name] = [there, value]
}
