/** The media types of EventStoreDB's HTTP API, and which of them answers a request (reference 3). */
import type { IncomingHttpHeaders } from 'node:http'
import { crc32 } from 'node:zlib'
import { Refusal } from './refusal.js'
import { rawQueryOf } from './urls.js'

export interface Codec {
  /** Written as XML rather than JSON. */
  readonly xml: boolean
  /** As it is asked for and as it stands in the answer. */
  readonly type: string
  /** What the answer says; octets have no charset. */
  readonly contentType: string
}

function codec(type: string, xml = false, charset = true): Codec {
  return { type, xml, contentType: charset ? `${type}; charset=utf-8` : type }
}

export const codecs = {
  description: codec('application/vnd.eventstore.streamdesc+json'),
  atom: codec('application/atom+xml', true),
  atomJson: codec('application/vnd.eventstore.atom+json'),
  xml: codec('text/xml', true),
  applicationXml: codec('application/xml', true),
  json: codec('application/json'),
  eventXml: codec('application/vnd.eventstore.event+xml', true),
  eventJson: codec('application/vnd.eventstore.event+json'),
  eventsXml: codec('application/vnd.eventstore.events+xml', true),
  eventsJson: codec('application/vnd.eventstore.events+json'),
  octets: codec('application/octet-stream', false, false),
  html: codec('text/html')
} as const

const {
  description,
  atom,
  atomJson,
  xml,
  applicationXml,
  json,
  eventXml,
  eventJson,
  eventsXml,
  eventsJson,
  octets,
  html
} = codecs

/** The codecs of each group of routes, the preferred first (reference 3.4). */
export const offers = {
  feed: [description, atom, atomJson, xml, applicationXml, json, eventXml, eventJson, eventsXml, eventsJson, html],
  event: [atom, atomJson, xml, applicationXml, json, eventXml, eventJson, octets, html],
  write: [description, atom, atomJson, xml, applicationXml, json, eventXml, eventJson, eventsXml, eventsJson, octets],
  incoming: [atom, atomJson, xml, applicationXml, json]
} as const satisfies Record<string, readonly Codec[]>

/** Words of `?format=`; those without a codec are known and offered nowhere. */
const FORMATS: Record<string, Codec | undefined> = {
  json,
  xml,
  atom,
  atomxj: atomJson,
  text: undefined,
  atomsvc: undefined,
  atomsvcxj: undefined
}

/** True for a word of `?format=` that only this dialect has. */
export function isFormat(word: string): boolean {
  return Object.hasOwn(FORMATS, word.toLowerCase())
}

/** Names of the same types under the newer product name. */
function plainName(type: string): string {
  return type.replace(/^application\/vnd\.kurrent\.(\w+\+json)$/, 'application/vnd.eventstore.$1')
}

interface MediaRange {
  readonly type: string
  readonly quality: number
}

/** The ranges of an Accept header, best first; an unreadable quality counts as 1. */
export function rangesOf(accept: string): MediaRange[] {
  const ranges: MediaRange[] = []
  for (const item of accept.split(',')) {
    const [type = '', ...parameters] = item.split(';').map((part) => part.trim().toLowerCase())
    if (type === '') continue
    const given = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2)
    const quality = Number(given ?? 1)
    ranges.push({ type: plainName(type), quality: Number.isFinite(quality) && given !== '' ? quality : 1 })
  }
  return ranges.sort((one, other) => other.quality - one.quality)
}

/**
 * The codec of an answer. A wildcard that would mean the description of a stream means JSON instead: many clients send
 * one by default, and a 406 would help none of them.
 * @throws a 406
 */
export function negotiate(accept: string | undefined, format: string | null, offered: readonly Codec[]): Codec {
  if (format !== null && format !== '') {
    const known = FORMATS[format.toLowerCase()]
    if (known !== undefined && offered.includes(known)) return known
    throw notAcceptable()
  }
  const first = offered[0] === description ? json : (offered[0] as Codec)
  const ranges = rangesOf(accept ?? '')
  if (ranges.length === 0) return first
  for (const { type } of ranges) {
    if (type === '*/*' || /^\*\/[^/]+$/.test(type)) return first
    if (/^[^/*]+\/\*$/.test(type)) {
      const found = offered.find((one) => one !== description && one.type.startsWith(type.slice(0, -1)))
      if (found !== undefined) return found.type.startsWith('application/') && first === json ? json : found
      continue
    }
    const found = offered.find((one) => one.type === type)
    if (found !== undefined) return found
  }
  throw notAcceptable()
}

/** As `negotiate`, for a request whose answer has one of these forms. */
export function negotiates(offered: readonly Codec[]) {
  return ({ headers, url }: { headers: IncomingHttpHeaders; url: string }): void => {
    negotiate(headers.accept, rawQueryOf({ url }).get('format'), offered)
  }
}

export function notAcceptable(): Refusal {
  return new Refusal(406, 'Requested URI is not available in requested format', { bare: true })
}

/**
 * The codec of a body. The charset, when it is said, is UTF-8.
 * @throws a 415
 */
export function bodyCodec(contentType: string | undefined, offered: readonly Codec[]): Codec {
  const [type = '', ...parameters] = (contentType ?? '').split(';').map((part) => part.trim().toLowerCase())
  const charset = parameters.find((parameter) => parameter.startsWith('charset='))?.slice(8)
  const found = offered.find((one) => one.type === plainName(type))
  if (found !== undefined && (charset === undefined || charset.replaceAll('"', '') === 'utf-8')) return found
  throw new Refusal(415, 'Invalid or missing Content-Type', { bare: true })
}

/** The number that stands for a codec in an ETag (reference 9): any that stays the same will do. */
export function codecHash({ type }: Codec): number {
  return crc32(type) | 0
}
