/** Which form answers on `/streams/…` (native contract §9). */
import type { IncomingHttpHeaders } from 'node:http'
import { isFormat, rangesOf } from './codecs.js'
import { hasDialectHeader } from './headers.js'
import { rawQueryOf } from './urls.js'

/** `feed`: many events; `single`: one event, or the metadata of a stream. */
export type Kind = 'feed' | 'single'

/** Types that only this dialect has. */
const OURS = /^(application\/vnd\.eventstore\.|application\/(atom\+)?xml$|text\/xml$)/

/** Types that the native form answers, with a wildcard of theirs. */
const NATIVE = /^(\*\/\*|application\/(\*|json|x-ndjson|ndjson|jsonl|vnd\.daybook\..*)|text\/event-stream)$/

/** Parameters that decide; most addresses have neither. */
const DECIDING = /[?&](embed|format)\b/

/** True when a read is to be answered in the Atom dialect. */
export function isDialectRead({ headers, url }: { headers: IncomingHttpHeaders; url: string }, kind: Kind): boolean {
  if (hasDialectHeader(headers)) return true
  if (DECIDING.test(url)) {
    const query = rawQueryOf({ url })
    if (query.has('embed')) return true
    const format = query.get('format')
    if (format !== null && format !== '') return isFormat(format)
  }
  const { accept = '', upgrade } = headers
  if (accept === '' || accept === '*/*' || upgrade !== undefined) return false
  const types = rangesOf(accept).map(({ type }) => type)
  if (types.length === 0) return false
  if (types.every((type) => OURS.test(type))) return true
  if (kind === 'single' && types.length === 1 && /^application\/(json|octet-stream)$/.test(types[0] as string)) {
    return !/;\s*q=/i.test(accept)
  }
  // Types that neither form has are refused in the dialect's words.
  return !types.some((type) => NATIVE.test(type))
}

/** True when an append is to be answered in the Atom dialect: its body's type or one of its headers says so. */
export function isDialectAppend(headers: IncomingHttpHeaders): boolean {
  const type = headers['content-type']?.trim().toLowerCase() ?? ''
  return /^application\/(vnd\.(eventstore|kurrent)\.|atom\+xml)/.test(type) || hasDialectHeader(headers)
}
