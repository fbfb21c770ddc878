/** Preconditions of an append, from headers and bodies (native contract §3, §4). */
import type { IncomingHttpHeaders } from 'node:http'
import { DaybookError } from '../../src/errors.js'
import type { ExpectedVersion } from '../../src/streams/expected-version.js'

/**
 * `If-Match` and `If-None-Match`.
 * @throws `bad-condition` when one is not understood or two disagree; none is ever ignored
 */
export function expectedVersionOf(headers: IncomingHttpHeaders): ExpectedVersion {
  const said: ExpectedVersion[] = []
  const match = headers['if-match']
  if (match !== undefined) said.push(match.trim() === '*' ? 'stream_exists' : fromTag(match.trim()))
  const noneMatch = headers['if-none-match']
  if (noneMatch !== undefined) {
    if (noneMatch.trim() !== '*') refuse('If-None-Match on an append is "*": the stream does not exist')
    said.push('no_stream')
  }
  const [first = 'any'] = said
  if (said.some((one) => one !== first)) refuse('the conditions of this request disagree')
  return first
}

/** An ETag of the stream, `"7"` or `"7;variant"`: any tag ever given for a stream names its head. */
function fromTag(text: string): ExpectedVersion {
  // Of metadata that was never written.
  if (/^"-1(;[^"]*)?"$/.test(text)) return 'no_stream'

  const parts = /^"(\d{1,16})(?:;[^"]*)?"$/.exec(text)
  const number = Number(parts?.[1])
  if (parts === null || !Number.isSafeInteger(number)) {
    refuse(`If-Match is "*" or the number of the last event in double quotes, like "7", not ${text.slice(0, 60)}`)
  }
  return number
}

/** `head` of a condition in a body. */
export function expectedHead(head: number | 'none' | 'exists'): ExpectedVersion {
  if (head === 'none') return 'no_stream'
  if (head === 'exists') return 'stream_exists'
  return head
}

function refuse(why: string): never {
  throw new DaybookError('bad-condition', `${why[0]?.toUpperCase()}${why.slice(1)}.`, { written: false, retry: false })
}
