/** The media types of EventStoreDB's HTTP API, and which of them answers a request (reference 3). */
import type { IncomingHttpHeaders } from 'node:http'
import { crc32 } from 'node:zlib'
import { AcceptedForms } from '../../wire/accept.js'
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

/** The codecs of a group of routes, and which of them an Accept header asks for. */
export interface Offer {
  readonly codecs: readonly Codec[]
  readonly forms: AcceptedForms<Codec>
}

/** @param offered the codec that a wildcard means first @param others media types that mean one of them, too */
export function makeOffer(offered: readonly Codec[], others: readonly (readonly [string, Codec])[] = []): Offer {
  const named = offered.flatMap((one) => namesOf(one.type).map((type) => [type, one] as const))
  return { codecs: offered, forms: new AcceptedForms([...named, ...others]) }
}

/** A type of the product, also under the newer name of the product. */
function namesOf(type: string): string[] {
  const newer = type.replace(/^(application\/vnd\.)eventstore(\.\w+\+json)$/, '$1kurrent$2')
  return newer === type ? [type] : [type, newer]
}

/** An answer without a body is all the same to a client that names this alone, as some generated ones do. */
const PROBLEMS = [['application/problem+json', json]] as const

/**
 * The codecs of each group of routes (reference 3.4). A wildcard means JSON, not the description of a stream which stands
 * first there: many clients send one by default, and a 406 would help none of them.
 */
export const offers = {
  feed: makeOffer(
    [json, description, atom, atomJson, xml, applicationXml, eventXml, eventJson, eventsXml, eventsJson, html],
    // Programs that name this alone read Atom, too.
    [['application/rss+xml', atom]]
  ),
  event: makeOffer([atom, atomJson, xml, applicationXml, json, eventXml, eventJson, octets, html]),
  write: makeOffer(
    [json, description, atom, atomJson, xml, applicationXml, eventXml, eventJson, eventsXml, eventsJson, octets],
    PROBLEMS
  ),
  incoming: makeOffer([atom, atomJson, xml, applicationXml, json], PROBLEMS)
} as const satisfies Record<string, Offer>

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

/**
 * The codec of an answer. A type with the weight 0 is the last resort rather than excluded, as in EventStoreDB.
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

/** As `negotiate`, for a request whose answer has one of these forms. */
export function negotiates(offered: Offer) {
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
export function bodyCodec(contentType: string | undefined, { codecs }: Offer): Codec {
  const [type = '', ...parameters] = (contentType ?? '').split(';').map((part) => part.trim().toLowerCase())
  const charset = parameters.find((parameter) => parameter.startsWith('charset='))?.slice(8)
  const found = codecs.find((one) => namesOf(one.type).includes(type))
  if (found !== undefined && (charset === undefined || charset.replaceAll('"', '') === 'utf-8')) return found
  throw new Refusal(415, 'Invalid or missing Content-Type', { bare: true })
}

/** The number that stands for a codec in an ETag (reference 9): any that stays the same will do. */
export function codecHash({ type }: Codec): number {
  return crc32(type) | 0
}
