/** The media types of EventStoreDB's HTTP API, and their negotiation (reference 3). */
import type { IncomingHttpHeaders } from 'node:http'
import { crc32 } from 'node:zlib'
import { AcceptedForms } from '../../wire/accept.js'
import { Refusal } from './refusal.js'
import { rawQueryOf } from './urls.js'

export interface Codec {
  /** True for XML, false for JSON and all others. */
  readonly xml: boolean
  /** The media type in Accept and in Content-Type. */
  readonly type: string
  /** Content-Type of a response; without a charset for octets. */
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

/** The codecs of a group of routes, and their negotiation by Accept. */
export interface Offer {
  readonly codecs: readonly Codec[]
  readonly forms: AcceptedForms<Codec>
}

/** @param offered begins with the codec for wildcards @param others further media types, each with its codec */
export function makeOffer(offered: readonly Codec[], others: readonly (readonly [string, Codec])[] = []): Offer {
  const named = offered.flatMap((one) => namesOf(one.type).map((type) => [type, one] as const))
  return { codecs: offered, forms: new AcceptedForms([...named, ...others]) }
}

/** Returns a media type, and its variant with the newer product name where there is one. */
function namesOf(type: string): string[] {
  const newer = type.replace(/^(application\/vnd\.)eventstore(\.\w+\+json)$/, '$1kurrent$2')
  return newer === type ? [type] : [type, newer]
}

/** Some generated clients accept only problems. Responses to writes have no body, so any form suits such a client. */
const PROBLEMS = [['application/problem+json', json]] as const

/**
 * The codecs of each group of routes (reference 3.4). In EventStoreDB a wildcard selects the stream description; here
 * it selects JSON: many clients send a wildcard by default, and a 406 would help none of them.
 */
export const offers = {
  feed: makeOffer(
    [json, description, atom, atomJson, xml, applicationXml, eventXml, eventJson, eventsXml, eventsJson, html],
    // Feed readers that accept only RSS read Atom, too.
    [['application/rss+xml', atom]]
  ),
  event: makeOffer([atom, atomJson, xml, applicationXml, json, eventXml, eventJson, octets, html]),
  write: makeOffer(
    [json, description, atom, atomJson, xml, applicationXml, eventXml, eventJson, eventsXml, eventsJson, octets],
    PROBLEMS
  ),
  incoming: makeOffer([atom, atomJson, xml, applicationXml, json], PROBLEMS)
} as const satisfies Record<string, Offer>

/** Values of `?format=`. Those without a codec are known to EventStoreDB, but no route offers them. */
const FORMATS: Record<string, Codec | undefined> = {
  json,
  xml,
  atom,
  atomxj: atomJson,
  text: undefined,
  atomsvc: undefined,
  atomsvcxj: undefined
}

/** Returns true for a value of `?format=` that belongs to the dialect. */
export function isFormat(value: string): boolean {
  return Object.hasOwn(FORMATS, value.toLowerCase())
}

/**
 * Returns the codec of a response. As in EventStoreDB, a type with weight 0 is a last resort instead of excluded.
 * @throws a 406
 */
export function negotiate(accept: string | undefined, format: string | null, { codecs, forms }: Offer): Codec {
  if (format !== null && format !== '') {
    const known = FORMATS[format.toLowerCase()]
    if (known !== undefined && codecs.includes(known)) return known
    throw notAcceptable()
  }
  const preferred = forms.preferred(accept) ?? forms.preferred(accept?.replace(/;\s*q=0(\.0*)?(?=\s*(,|;|$))/gi, ''))
  if (preferred === undefined) throw notAcceptable()
  return preferred
}

/** Returns a check that throws a 406 unless the request accepts one of the offered forms. */
export function negotiates(offered: Offer) {
  return ({ headers, url }: { headers: IncomingHttpHeaders; url: string }): void => {
    negotiate(headers.accept, rawQueryOf({ url }).get('format'), offered)
  }
}

export function notAcceptable(): Refusal {
  return new Refusal(406, 'Requested URI is not available in requested format', { bare: true })
}

/**
 * Returns the codec of a body. A charset, if present, must be UTF-8.
 * @throws a 415
 */
export function bodyCodec(contentType: string | undefined, { codecs }: Offer): Codec {
  const [type = '', ...parameters] = (contentType ?? '').split(';').map((part) => part.trim().toLowerCase())
  const charset = parameters.find((parameter) => parameter.startsWith('charset='))?.slice(8)
  const found = codecs.find((one) => namesOf(one.type).includes(type))
  if (found !== undefined && (charset === undefined || charset.replaceAll('"', '') === 'utf-8')) return found
  throw new Refusal(415, 'Invalid or missing Content-Type', { bare: true })
}

/** Returns the number that identifies a codec in an ETag (reference 9). Any stable number will do. */
export function codecHash({ type }: Codec): number {
  return crc32(type) | 0
}
