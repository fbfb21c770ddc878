/**
 * UTF-8 bytes as a string, one character for each byte (latin1). In this form stored bytes are put into responses
 * without being decoded and encoded again. ASCII text looks the same in both forms.
 */

const BEYOND_ASCII = /[^\x00-\x7f]/

/** The UTF-8 bytes of a text, one character for each byte. */
export function bytesOf(text: string): string {
  return BEYOND_ASCII.test(text) ? Buffer.from(text).toString('latin1') : text
}

/** The text of UTF-8 bytes, one character for each byte. */
export function textOf(bytes: string): string {
  return BEYOND_ASCII.test(bytes) ? Buffer.from(bytes, 'latin1').toString() : bytes
}
