/**
 * UTF-8 as a string of one character a byte. Bytes that were stored are put into answers so, without being decoded and
 * encoded again; ASCII is the same either way.
 */

const BEYOND_ASCII = /[^\x00-\x7f]/

/** The UTF-8 bytes of a text. */
export function bytesOf(text: string): string {
  return BEYOND_ASCII.test(text) ? Buffer.from(text).toString('latin1') : text
}

/** The text whose UTF-8 bytes these are. */
export function textOf(bytes: string): string {
  return BEYOND_ASCII.test(bytes) ? Buffer.from(bytes, 'latin1').toString() : bytes
}
