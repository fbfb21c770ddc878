/** Renders feeds, entries and events as XML (reference 8.6, 8.7). */
import { isUtf8 } from 'node:buffer'
import { DOMImplementation, type Document, type Element, type Node, XMLSerializer } from '@xmldom/xmldom'
import { textOf } from '../../../../src/latin1.js'
import { Refusal } from '../refusal.js'
import { segment } from '../urls.js'
import { atomDate } from './atom-date.js'
import type { FeedEntry } from './entry.js'
import type { Feed } from './feed.js'
import { JsonAsXml, noXml, parsedJson, readableXml, writeMembers, writeValue } from './json-as-xml.js'
import type { ShownEvent } from './shown-event.js'

const ATOM = 'http://www.w3.org/2005/Atom'
const DECLARATION = '<?xml version="1.0" encoding="utf-8"?>'
const serializer = new XMLSerializer()

/** Writes the elements of one document. `prefix` is the namespace prefix of Atom's names, empty for none. */
class AtomWriter {
  readonly document: Document
  readonly target: JsonAsXml
  readonly #prefix: string

  constructor(root: string, namespace: string | null, prefix = '') {
    this.#prefix = prefix === '' ? '' : `${prefix}:`
    this.document = new DOMImplementation().createDocument(namespace, this.#prefix + root, null)
    this.target = new JsonAsXml(this.document)
  }

  get prefixed(): boolean {
    return this.#prefix !== ''
  }

  /** Returns a name of Atom, with the prefix of this document. */
  nameOf(name: string): string {
    return this.#prefix + name
  }

  get root(): Element {
    return this.document.documentElement as Element
  }

  atom(parent: Node, name: string, text?: string, attributes: Record<string, string> = {}): Element {
    const element = this.document.createElementNS(ATOM, this.nameOf(name))
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
    if (text !== undefined) element.appendChild(this.document.createTextNode(readableXml(text)))
    parent.appendChild(element)
    return element
  }

  text(): string {
    return serialized(this.document)
  }
}

/** Serializes a document. Escapes control characters and line ends that parsers would otherwise change. */
function serialized(document: Document): string {
  const text = serializer.serializeToString(document)
  return text.replace(/[\r\x7f-\x9f\u2028]/g, (one) => `&#x${one.charCodeAt(0).toString(16).toUpperCase()};`)
}

/** Which JSON events get their content: none, those that XML can represent, or all (an error when XML cannot). */
type Content = 'none' | 'possible' | 'always'

/**
 * Returns a page of a feed. An event that XML cannot represent, or whose data is not JSON, gets an entry without
 * content, so that a client that follows the feed can get past the event.
 * @throws a 406 for a page with more values than a response may have
 */
export function renderFeedXml(feed: Feed, base: string, withContent: boolean): string {
  const writer = new AtomWriter('feed', ATOM)
  const { root } = writer
  writer.atom(root, 'title', feed.title)
  writer.atom(root, 'id', feed.selfUrl)
  writer.atom(root, 'updated', atomDate(feed.updated))
  writer.atom(writer.atom(root, 'author'), 'name', 'EventStore')
  for (const { relation, url } of feed.links) writer.atom(root, 'link', undefined, { href: url, rel: relation })
  const content = withContent ? 'possible' : 'none'
  for (const entry of feed.entries) writeEntry(writer, writer.atom(root, 'entry'), entry, base, content)
  return DECLARATION + writer.text()
}

/** Returns a single entry, with its content if that is JSON. @throws a 406 when XML cannot represent the content */
export function renderEntryXml(entry: FeedEntry, base: string): string {
  const writer = new AtomWriter('entry', ATOM, 'atom')
  writeEntry(writer, writer.root, entry, base, 'always')
  return DECLARATION + writer.text()
}

function writeEntry(
  writer: AtomWriter,
  element: Element,
  { event, link }: FeedEntry,
  base: string,
  asked: Content
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
  if (asked === 'none' || event === undefined || link !== undefined || !event.isJson) return
  const content = writer.document.createElementNS(ATOM, writer.nameOf('content'))
  content.setAttribute('type', 'application/xml')
  try {
    writeDocument(writer.target, content, event)
  } catch (error) {
    if (asked === 'always' || !(error instanceof Refusal) || writer.target.full) throw error
    return
  }
  element.appendChild(content)
  if (writer.prefixed) return
  // The event's members have no namespace, but Atom's is the default namespace here.
  for (const member of elementsOf(content)) member.setAttribute('xmlns', '')
}

/** Returns the event document with the root `<event>`. @throws a 406 when XML cannot represent it */
export function renderEventXml(event: ShownEvent): string {
  const document = new DOMImplementation().createDocument(null, 'event', null)
  writeDocument(new JsonAsXml(document), document.documentElement as Element, event)
  return serialized(document)
}

/** Returns the event's data with the root `<data>`. @throws a 406 unless it is a JSON object that XML can represent */
export function renderDataXml(event: ShownEvent): string {
  const document = new DOMImplementation().createDocument(null, 'data', null)
  if (event.dataBytes !== '') {
    const value = event.isJson ? parsedJson(event.dataBytes) : undefined
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw noXml()
    writeMembers(new JsonAsXml(document), document.documentElement as Element, value as Record<string, unknown>)
  }
  return serialized(document)
}

/** Writes an event document. @throws a 406 as `writeValue`, and for data that is neither JSON nor UTF-8 text */
function writeDocument(target: JsonAsXml, parent: Element, event: ShownEvent): void {
  if (!event.isJson && !isUtf8(event.octets)) throw noXml()
  const { streamBytes, number, typeBytes, id } = event
  const data = event.isJson ? parsedJson(event.dataBytes) : textOf(event.dataBytes)
  const values = {
    eventStreamId: textOf(streamBytes),
    eventNumber: number,
    eventType: textOf(typeBytes),
    eventId: id,
    data,
    metadata: parsedJson(event.metadataBytes)
  }
  for (const [name, value] of Object.entries(values)) writeValue(target, parent, name, value)
}

function elementsOf(element: Element): Element[] {
  return Array.from(element.childNodes).filter((node): node is Element => node.nodeType === node.ELEMENT_NODE)
}
