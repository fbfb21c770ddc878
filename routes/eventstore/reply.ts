/** How answers of the dialect leave: reason phrases, CORS (reference 1.2 to 1.4), what a read says about caching (9). */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Codec, codecHash, codecs } from './wire/codecs.js'
import type { Refusal } from './wire/refusal.js'

export const CORS_ALLOW_HEADERS =
  'Content-Type, X-Requested-With, X-Forwarded-Host, X-Forwarded-Prefix, X-PINGOTHER, Authorization, ES-LongPoll, ES-ExpectedVersion, ES-EventId, ES-EventType, ES-RequireMaster, ES-RequireLeader, ES-HardDelete, ES-ResolveLinkTos'
export const CORS_EXPOSE_HEADERS = 'Location, ES-Position, ES-CurrentVersion'

/** The methods that a path knows, for those who ask from another origin. Filled while routes are registered. */
export class KnownMethods {
  readonly #byUrl = new Map<string, Set<string>>()
  readonly #texts = new Map<string, string>()
  #sealed = false

  /** What is registered from now on refuses, and is no method that a path knows. */
  seal(): void {
    this.#sealed = true
  }

  add(url: string, methods: readonly string[]): void {
    if (this.#sealed) return
    const known = this.#byUrl.get(url) ?? new Set()
    for (const method of methods) known.add(method)
    this.#byUrl.set(url, known)
  }

  /** Methods by path, in the order they were registered. */
  entries(): IterableIterator<[string, ReadonlySet<string>]> {
    return this.#byUrl.entries()
  }

  /** `GET, POST, OPTIONS` of the path that a request matched. */
  of({ routeOptions: { url = '' } }: FastifyRequest): string {
    let text = this.#texts.get(url)
    if (text === undefined) {
      text = [...(this.#byUrl.get(url) ?? []), 'OPTIONS'].join(', ')
      this.#texts.set(url, text)
    }
    return text
  }
}

/** Sends what was refused as it says. */
export function sendRefusal(reply: FastifyReply, refusal: Refusal): FastifyReply {
  const { status, reason, headers, contentType, body } = refusal
  if (contentType === undefined) return sendAsIs(reply, status, reason, headers, body)
  reply.raw.statusMessage = reason
  return reply.code(status).headers(headers).header('content-type', contentType).send(body)
}

/** Sends an answer that has no body of its own. */
export function sendEmpty(
  reply: FastifyReply,
  status: number,
  reason: string,
  headers: Record<string, string> = {}
): FastifyReply {
  return sendAsIs(reply, status, reason, { ...headers, 'content-type': 'text/plain; charset=utf-8' }, '')
}

/** Sends headers that Fastify would mend: a content type on a 204, and one without a type. */
export function sendAsIs(
  reply: FastifyReply,
  status: number,
  reason: string,
  headers: Record<string, string>,
  body: string
): FastifyReply {
  const all = { ...(reply.getHeaders() as Record<string, string>), ...headers }
  if (status !== 204) all['content-length'] = String(Buffer.byteLength(body))
  reply.hijack()
  reply.raw.writeHead(status, reason, all)
  reply.raw.end(body)
  return reply
}

/** What may be kept, and for how long. */
export const caching = {
  forAYear: 'max-age=31536000, private',
  never: 'max-age=0, no-cache, must-revalidate',
  /** @param seconds `$cacheControl` of the stream's metadata */
  head: (seconds: number | undefined) =>
    seconds === undefined ? caching.never : `max-age=${Math.min(seconds, 0x7fff_ffff)}, private`
}

/** The version of something and the form it was sent in. */
export function entityTag(version: string | number, codec: Codec): string {
  return `"${version};${codecHash(codec)}"`
}

/** True when If-None-Match has the tag of this version in this form: one tag, quotes or none; other forms are ignored. */
export function matchesTag(header: string | undefined, version: string | number, codec: Codec): boolean {
  const [, tagged, hash] = /^"?([+-]?\d{1,19});([^";]*)"?$/.exec(header?.trim() ?? '') ?? []
  if (tagged === undefined) return false
  return BigInt(tagged.replace('+', '')) === BigInt(version) && hash === String(codecHash(codec))
}

/** HTML is for people with a browser, who are served with JSON. */
export function contentTypeOf(codec: Codec): string {
  return codec === codecs.html ? codecs.json.contentType : codec.contentType
}
