/** Links: events that point at another event (reference 7.5). */

export const LINK_TYPE = '$>'
export const STREAM_REFERENCE_TYPE = '$@'

export interface LinkTarget {
  readonly stream: string
  /** `-1` is the target's last event. */
  readonly number: number
}

/**
 * What the text of a link event points at: `number@stream`; a later `@` belongs to the name.
 * @returns undefined when it is not such a text: then the event is shown as it is
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
