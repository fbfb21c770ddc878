/** Response headers of the dialect: Cache-Control, ETag and Content-Type (reference 9). */
import { type Codec, codecHash, codecs } from './wire/codecs.js'

/** Values of Cache-Control. */
export const caching = {
  forAYear: 'max-age=31536000, private',
  never: 'max-age=0, no-cache, must-revalidate',
  /** @param seconds `$cacheControl` of the stream's metadata */
  head: (seconds: number | undefined) =>
    seconds === undefined ? caching.never : `max-age=${Math.min(seconds, 0x7fff_ffff)}, private`
}

/** Returns an ETag, made of a version and the hash of its codec. */
export function versionTag(version: string | number, codec: Codec): string {
  return `"${version};${codecHash(codec)}"`
}

/** Returns true when If-None-Match is the tag of this version and codec: a single tag, with or without quotes. */
export function matchesVersion(header: string | undefined, version: string | number, codec: Codec): boolean {
  const [, tagged, hash] = /^"?([+-]?\d{1,19});([^";]*)"?$/.exec(header?.trim() ?? '') ?? []
  if (tagged === undefined) return false
  return BigInt(tagged.replace('+', '')) === BigInt(version) && hash === String(codecHash(codec))
}

/** Returns the content type of a response. A request for HTML gets JSON. */
export function contentTypeOf(codec: Codec): string {
  return codec === codecs.html ? codecs.json.contentType : codec.contentType
}
