/**
 * Parses appended events in XML (reference 5.2).
 *
 * The parser supports only the five predefined entities of XML and loads no external resources. Documents with a
 * DOCTYPE are rejected in addition.
 */
import { DOMParser, type Document, type Element } from '@xmldom/xmldom'
import { DaybookError } from '../../../../src/errors.js'
import { limits } from '../../../../src/limits.js'

/** A value in an XML event: a string, an object of values, or an array. */
export type XmlValue = string | { [name: string]: XmlValue } | XmlValue[]

/**
 * Returns the events of an XML body: the children of the root element, with any names.
 * @throws `invalid-body`
 */
export function parseXmlEvents(body: Buffer): Record<string, XmlValue>[] {
  if (body.length > limits.xml_body_bytes_max) throw invalidXml(`it has more than ${limits.xml_body_bytes_max} bytes`)
  const document = parseXml(body.toString('utf8'))
  const root = document.documentElement as Element
  if (root.namespaceURI !== null && root.namespaceURI !== '') throw invalidXml('its root element has a namespace')
  const events = childElements(root).map((element) => contentOf(element, 2))
  if (events.length === 0) throw invalidXml('it has no event')
  return events.map((event) => {
    if (typeof event !== 'object' || Array.isArray(event)) throw invalidXml('an event has no members')
    return event
  })
}

function parseXml(text: string): Document {
  // Checked before parsing, so that a document that will be rejected costs no time and memory.
  if (/<!(DOCTYPE|ENTITY)/i.test(text)) throw invalidXml('it has a document type')
  // The parser looks up every namespace for every nested element, which may cost far more than the parsing itself.
  const spaces = text.split('xmlns', limits.xml_namespaces_max + 2).length - 1
  if (spaces > limits.xml_namespaces_max) throw invalidXml(`it has more than ${limits.xml_namespaces_max} namespaces`)
  let marks = 0
  for (const _ of text.matchAll(/<|=\s*["']/g)) {
    if (++marks > limits.xml_marks_max) throw invalidXml(`it has more than ${limits.xml_marks_max} tags and attributes`)
  }
  try {
    return new DOMParser({ onError: refuseXml, locator: false }).parseFromString(text, 'text/xml')
  } catch (error) {
    if (error instanceof DaybookError) throw error
    throw invalidXml((error as Error).message.split('\n', 1)[0] ?? 'it is not well formed')
  }
}

function refuseXml(_level: string, message: string): never {
  throw invalidXml(message)
}

function invalidXml(why: string): DaybookError {
  return new DaybookError('invalid-body', `The XML is not a list of events: ${why}.`)
}

/** Converts an element. @param depth its depth, 1 for the root; the parser itself has no depth limit */
function contentOf(element: Element, depth: number): XmlValue {
  if (depth > limits.xml_depth_max) throw invalidXml(`elements are nested more than ${limits.xml_depth_max} deep`)
  const value: Record<string, XmlValue> = Object.create(null)
  for (const attribute of Array.from(element.attributes)) value[`@${attribute.name}`] = attribute.value
  let text = ''
  for (const node of Array.from(element.childNodes)) {
    if (node.nodeType === node.TEXT_NODE) text += node.nodeValue
    else if (node.nodeType === node.CDATA_SECTION_NODE) addMember(value, '#cdata-section', node.nodeValue ?? '')
    else if (node.nodeType === node.ELEMENT_NODE)
      addMember(value, (node as Element).tagName, contentOf(node as Element, depth + 1))
  }
  const empty = Object.keys(value).length === 0
  if (empty) return text
  if (text.trim() !== '') value['#text'] = text
  return value
}

/** Adds a member. A repeated name gets an array of its values. */
function addMember(object: Record<string, XmlValue>, name: string, value: XmlValue): void {
  const there = object[name]
  if (there === undefined) object[name] = value
  else if (Array.isArray(there)) there.push(value)
  else object[name] = [there, value]
}

function childElements(element: Element): Element[] {
  return Array.from(element.childNodes).filter((node): node is Element => node.nodeType === node.ELEMENT_NODE)
}
