/** What a stream name says. Names are compared byte for byte: NFC and NFD forms are different streams. */
import { DaybookError } from '../errors.js'
import { limits } from '../limits.js'

/** Names that are other ways to read, or belong to a stream's metadata: nothing is appended under them. */
const RESERVED = /^\$(?:all$|streams$|ce-|et-|bc-|category-|\$)/
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/

/** System streams begin with `$` and are left out of /events unless asked for. */
export function isSystemStream(stream: string): boolean {
  return stream.charCodeAt(0) === 0x24
}

/** The name up to its first `-`; undefined when there is none, and for system streams. */
export function categoryOf(stream: string): string | undefined {
  const dash = stream.indexOf('-')
  return dash < 1 || isSystemStream(stream) ? undefined : stream.slice(0, dash)
}

/**
 * Checks a name that somebody gave.
 * @throws `bad-stream-name` when it is empty, too long, `.` or `..`, or has control characters or broken surrogates
 */
export function checkStreamName(stream: string): void {
  const refuse = (why: string): never => {
    throw new DaybookError('bad-stream-name', `A stream name ${why}.`, {
      stream: stream.slice(0, 100),
      limit: limits.stream_name_bytes_max
    })
  }
  if (stream === '') refuse('has at least one character')
  if (stream === '.' || stream === '..') refuse('cannot be "." or "..": HTTP clients resolve them away')
  if (stream.length > limits.stream_name_bytes_max || Buffer.byteLength(stream) > limits.stream_name_bytes_max) {
    refuse(`has at most ${limits.stream_name_bytes_max} bytes of UTF-8; this one has ${Buffer.byteLength(stream)}`)
  }
  if (CONTROL.test(stream)) refuse('has no control characters')
  if (!stream.isWellFormed()) refuse('is well-formed Unicode; this one has half of a surrogate pair')
}

/** @throws `bad-stream-name` as checkStreamName, and for names under which nothing is appended */
export function checkAppendableName(stream: string): void {
  checkStreamName(stream)
  if (RESERVED.test(stream)) {
    throw new DaybookError('bad-stream-name', `Nothing is appended to "${stream}": the name is reserved.`, { stream })
  }
}
