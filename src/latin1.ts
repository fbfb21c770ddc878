/**
 * UTF-8 bytes as a latin1 string with one character per byte. Stored bytes in this form go into responses without being
 * decoded and encoded again. ASCII text is the same in both forms.
 */

const BEYOND_ASCII = /[^\x00-\x7f]/

/** Returns the UTF-8 bytes of a text as a latin1 string. */
export function bytesOf(text: string): string {
  return BEYOND_ASCII.test(text) ? Buffer.from(text).toString('latin1') : text
}

/** Returns the text of UTF-8 bytes in a latin1 string. */
export function textOf(bytes: string): string {
  return BEYOND_ASCII.test(bytes) ? Buffer.from(bytes, 'latin1').toString() : bytes
}
