/**
 * Appended events as XML (reference 5.2).
 *
 * The parser knows no entities but the five of XML and loads nothing; documents with a DOCTYPE are refused besides.
 */
import { DOMParser, type Document, type Element } from '@xmldom/xmldom'
import { DaybookError } from '../../../../src/errors.js'
import { limits } from '../../../../src/limits.js'

/** An event in XML: every value is a string, an object of values, or an array. */
export type XmlValue = string | { [name: string]: XmlValue } | XmlValue[]

/**
 * The events of an XML body: any number of children of the root, with any names.
 * @throws `invalid-body`
 */
export function parseXmlEvents(body: Buffer): Record<string, XmlValue>[] {
  if (body.length > limits.xml_body_bytes_max) throw invalidXml(`it has more than ${limits.xml_body_bytes_max} bytes`)
  const document = parseXml(body.toString('utf8'))
  const root = document.documentElement as Element
  if (root.namespaceURI !== null && root.namespaceURI !== '') throw invalidXml('its elements stand in a name space')
  const events = childElements(root).map((element) => contentOf(element, 2))
  if (events.length === 0) throw invalidXml('it holds no event')
  return events.map((event) => {
    if (typeof event !== 'object' || Array.isArray(event)) throw invalidXml('an event is an element with members')
    return event
  })
}

function parseXml(text: string): Document {
  // Looked at before parsing: neither its size nor its time is worth a document that is refused anyway.
  if (/<!(DOCTYPE|ENTITY)/i.test(text)) throw invalidXml('it has a document type')
  // Each name space is looked up by all that stands inside: that may cost far more than reading it.
  const spaces = text.split('xmlns', limits.xml_namespaces_max + 2).length - 1
  if (spaces > limits.xml_namespaces_max) throw invalidXml(`it has more than ${limits.xml_namespaces_max} name spaces`)
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

/** @param depth of the element, 1 for the root; the parser itself does not mind how deep they are */
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

/** A name that stands several times holds an array. */
function addMember(object: Record<string, XmlValue>, name: string, value: XmlValue): void {
  const there = object[name]
  if (there === undefined) object[name] = value
  else if (Array.isArray(there)) there.push(value)
  else object[name] = [there, value]
}

function childElements(element: Element): Element[] {
  return Array.from(element.childNodes).filter((node): node is Element => node.nodeType === node.ELEMENT_NODE)
}
