/** What an answer of the dialect says of itself: how long it keeps, its tag, its content type (reference 9). */
import { type Codec, codecHash, codecs } from './wire/codecs.js'

/** Values of Cache-Control. */
export const caching = {
  forAYear: 'max-age=31536000, private',
  never: 'max-age=0, no-cache, must-revalidate',
  /** @param seconds `$cacheControl` of the stream's metadata */
  head: (seconds: number | undefined) =>
    seconds === undefined ? caching.never : `max-age=${Math.min(seconds, 0x7fff_ffff)}, private`
}

/** An ETag: a version, and the form in which it was sent. */
export function versionTag(version: string | number, codec: Codec): string {
  return `"${version};${codecHash(codec)}"`
}

/** True when If-None-Match has the tag of this version in this form: one tag, quotes or none; other forms are ignored. */
export function matchesVersion(header: string | undefined, version: string | number, codec: Codec): boolean {
  const [, tagged, hash] = /^"?([+-]?\d{1,19});([^";]*)"?$/.exec(header?.trim() ?? '') ?? []
  if (tagged === undefined) return false
  return BigInt(tagged.replace('+', '')) === BigInt(version) && hash === String(codecHash(codec))
}

/** A browser that asks for HTML gets JSON. */
export function contentTypeOf(codec: Codec): string {
  return codec === codecs.html ? codecs.json.contentType : codec.contentType
}
