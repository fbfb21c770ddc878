/** Dates of Atom documents (reference 1.7): UTC, without trailing zeros in the fraction. */
import { instantText } from '../../../wire/reading/recorded-event.js'

/** Returns the date as text. @param created milliseconds since the epoch; undefined for a feed without events */
export function atomDate(created: number | undefined): string {
  if (created === undefined) return '0001-01-01T00:00:00Z'
  return instantText(created).replace(/\.?0+Z$/, 'Z')
}
