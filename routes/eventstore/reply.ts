/** What an answer of the dialect says of itself: how long it keeps, its tag, its content type (reference 9). */
import { type Codec, codecHash, codecs } from './wire/codecs.js'

/** What may be kept, and for how long. */
export const caching = {
  forAYear: 'max-age=31536000, private',
  never: 'max-age=0, no-cache, must-revalidate',
  /** @param seconds `$cacheControl` of the stream's metadata */
  head: (seconds: number | undefined) =>
    seconds === undefined ? caching.never : `max-age=${Math.min(seconds, 0x7fff_ffff)}, private`
}

/** The version of something and the form it was sent in. */
export function versionTag(version: string | number, codec: Codec): string {
  return `"${version};${codecHash(codec)}"`
}

/** True when If-None-Match has the tag of this version in this form: one tag, quotes or none; other forms are ignored. */
export function matchesVersion(header: string | undefined, version: string | number, codec: Codec): boolean {
  const [, tagged, hash] = /^"?([+-]?\d{1,19});([^";]*)"?$/.exec(header?.trim() ?? '') ?? []
  if (tagged === undefined) return false
  return BigInt(tagged.replace('+', '')) === BigInt(version) && hash === String(codecHash(codec))
}

/** HTML is for people with a browser, who are served with JSON. */
export function contentTypeOf(codec: Codec): string {
  return codec === codecs.html ? codecs.json.contentType : codec.contentType
}
