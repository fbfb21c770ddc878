/** Links: events that refer to another event (reference 7.5). */

export const LINK_TYPE = '$>'
export const STREAM_REFERENCE_TYPE = '$@'

export interface LinkTarget {
  readonly stream: string
  /** Event number; -1 means the last event of the stream. */
  readonly number: number
}

/**
 * Parses the text of a link event: `number@stream`. A further `@` belongs to the stream name.
 * @returns undefined for any other text; such an event is not resolved
 */
export function parseLink(text: string): LinkTarget | undefined {
  const at = text.indexOf('@')
  if (at < 0 || at === text.length - 1) return undefined
  const digits = text.slice(0, at).trim()
  if (!/^[+-]?\d{1,19}$/.test(digits)) return undefined
  const number = BigInt(digits.replace('+', ''))
  if (number < -1n || number > 0x7fff_ffff_ffff_ffffn) return undefined
  return { stream: text.slice(at + 1), number: Number(number) }
}
