/** Renders feeds and entries as JSON (reference 8.1 to 8.5), in strings of one character per byte. */

import { bytesOf } from '../../../../src/latin1.js'
import { limits } from '../../../../src/limits.js'
import { segment } from '../urls.js'
import { atomDate } from './atom-date.js'
import { type Embed, hasBody, isRich } from './embed.js'
import type { FeedEntry } from './entry.js'
import { documentBytes } from './event-document.js'
import type { Feed, FeedLink } from './feed.js'
import { indentJson } from './pretty.js'
import type { ShownEvent } from './shown-event.js'

const AUTHOR = '"author":{"name":"EventStore"}'

/** Returns a feed. @param tag the content of the ETag that Atom JSON clients get; undefined for a feed without one */
export function renderFeedJson(feed: Feed, base: string, embed: Embed, tag: string | undefined): string {
  let text = `{"title":${jsonString(bytesOf(feed.title))},"id":${jsonString(feed.selfUrl)},"updated":"${atomDate(feed.updated)}",`
  text += `"streamId":${feed.stream === undefined ? 'null' : jsonString(bytesOf(feed.stream))},${AUTHOR},`
  text += `"headOfStream":${feed.headOfStream},"selfUrl":${feed.backward ? jsonString(feed.selfUrl) : 'null'},`
  text += `"eTag":${tag === undefined ? 'null' : `"${tag}"`},"links":[${feed.links.map(renderLink).join(',')}],"entries":[`
  const addresses = new Addresses(base)
  for (let i = 0; i < feed.entries.length; i++) {
    text += i === 0 ? '\n' : ',\n'
    text += renderEntry(feed.entries[i] as FeedEntry, addresses, embed, false)
  }
  return `${text}${feed.entries.length === 0 ? '' : '\n'}]}\n`
}

function renderLink({ relation, url }: FeedLink): string {
  return `{"uri":${jsonString(url)},"relation":"${relation}","type":null}`
}

/** Returns a single entry. It includes the event's content at every level of `embed`. */
export function renderEntryJson(entry: FeedEntry, base: string, embed: Embed): string {
  return renderEntry(entry, new Addresses(base), embed, true)
}

/** Makes addresses of events, escaped for JSON, without quotes. Caches the last stream: most entries share one. */
class Addresses {
  readonly #base: string
  #stream: string | undefined
  #prefix = ''

  constructor(base: string) {
    this.#base = base
  }

  of(streamBytes: string, number: string): string {
    if (streamBytes !== this.#stream) {
      this.#stream = streamBytes
      const stream = segment(Buffer.from(streamBytes, 'latin1').toString())
      this.#prefix = jsonString(`${this.#base}/streams/${stream}/`).slice(1, -1)
    }
    return this.#prefix + number
  }
}

function renderEntry(entry: FeedEntry, addresses: Addresses, embed: Embed, single: boolean): string {
  const { event, link } = entry
  const streamBytes = link?.streamBytes ?? event?.streamBytes ?? ''
  const number = link?.number ?? event?.number ?? ''
  const url = `"${addresses.of(streamBytes, number)}"`
  let text = '{'
  if (event !== undefined && isRich(embed)) text += renderRich(entry, event, embed)
  text += `"title":${jsonString(`${number}@${streamBytes}`)},"id":${url},`
  text += `"updated":"${atomDate(link?.created ?? event?.created)}",${AUTHOR},`
  text += `"summary":${link === undefined ? jsonString(event?.typeBytes ?? '') : '"$>"'},"retryCount":null,"content":`
  const withContent = (single || embed === 'content') && event?.isJson && link === undefined
  text += withContent ? documentBytes(event) : 'null'
  return `${text},"links":[{"uri":${url},"relation":"edit","type":null},{"uri":${url},"relation":"alternate","type":null}]}`
}

function renderRich(entry: FeedEntry, event: ShownEvent, embed: Embed): string {
  const { link, positionNumber, positionStreamBytes } = entry
  const body = hasBody(embed)
  const lay = embed === 'pretty' || embed === 'tryharder' ? layOut : asIs
  const data = event.dataBytes
  const hard = embed === 'tryharder'
  const isJson = event.isJson || (hard && (data === '' || isJsonObject(data)))
  let text = `"eventId":"${event.id}","eventType":${jsonString(event.typeBytes)},"eventNumber":${event.number},`
  text += `"data":${body && (event.isJson || hard) ? jsonString(lay(data)) : 'null'},`
  text += `"metaData":${body && event.metadataBytes !== '' ? jsonString(lay(event.metadataBytes)) : 'null'},`
  text += `"linkMetaData":${body && link !== undefined ? jsonString(lay(link.metadataBytes)) : 'null'},`
  text += `"streamId":${jsonString(event.streamBytes)},"isJson":${isJson},`
  text += `"isMetaData":${body && event.metadataBytes !== ''},`
  text += `"isLinkMetaData":${body && (link?.metadataBytes ?? '') !== ''},"isRedacted":false,`
  return `${text}"positionEventNumber":${positionNumber},"positionStreamId":${jsonString(positionStreamBytes)},`
}

/** Indents objects. Returns arrays, text and very large objects unchanged. */
function layOut(text: string): string {
  return text.length <= limits.laid_out_bytes_max && isJsonObject(text) ? indentJson(text) : text
}

function asIs(text: string): string {
  return text
}

function isJsonObject(text: string): boolean {
  if (!/^\s*\{/.test(text)) return false
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** Returns bytes as a JSON string. That is safe byte by byte, because JSON only escapes ASCII characters. */
function jsonString(bytes: string): string {
  return JSON.stringify(bytes)
}
