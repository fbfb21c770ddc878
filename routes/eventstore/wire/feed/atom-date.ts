/** Dates of Atom documents (reference 1.7): UTC, without the zeros at the end of a fraction. */
import { instantText } from '../../../wire/reading/recorded-event.js'

/** @param created milliseconds; undefined is the date of a feed without an event */
export function atomDate(created: number | undefined): string {
  if (created === undefined) return '0001-01-01T00:00:00Z'
  return instantText(created).replace(/\.?0+Z$/, 'Z')
}
