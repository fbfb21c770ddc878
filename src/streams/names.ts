/** Rules for stream names. Names are compared byte for byte: NFC and NFD forms are different streams. */
import { DaybookError } from '../errors.js'
import { limits } from '../limits.js'

/** Reserved names, such as index streams and the log: they can be read, but nothing can be appended to them. */
const RESERVED = /^\$(?:all$|streams$|ce-|et-|bc-|category-|\$$|\$\$\$)/
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/

/**
 * Returns true for system streams: they begin with `$`, and /events leaves them out unless the request includes them.
 */
export function isSystemStream(stream: string): boolean {
  return stream.charCodeAt(0) === 0x24
}

/**
 * Returns true for metastreams: they begin with `$$`, and their last event is the metadata of the stream named after
 * it.
 */
export function isMetastream(stream: string): boolean {
  return stream.startsWith('$$')
}

export function metastreamOf(stream: string): string {
  return `$$${stream}`
}

/** Returns the name of the stream that a metastream describes. */
export function originalOf(metastream: string): string {
  return metastream.slice(2)
}

/** The rule for the end of a stream name's category: the first or the last occurrence of the separator. */
export interface CategoryRule {
  readonly at: 'first' | 'last'
  /** One character. */
  readonly separator: string
}

export const defaultCategoryRule: CategoryRule = { at: 'first', separator: '-' }

/** Parses a category rule, such as `first:-` or `last:_`. @throws DaybookError `bad-configuration` */
export function parseCategoryRule(text: string): CategoryRule {
  const [, at, separator] = /^(first|last):(.)$/su.exec(text) ?? []
  if (at === undefined || separator === undefined) {
    throw new DaybookError(
      'bad-configuration',
      `a category separator must be first:C or last:C, where C is one character, not "${text}"`
    )
  }
  return { at: at as CategoryRule['at'], separator }
}

/** Returns the name before the separator; undefined when it has no separator or is empty, and for system streams. */
export function categoryOf(stream: string, rule: CategoryRule): string | undefined {
  const end = rule.at === 'first' ? stream.indexOf(rule.separator) : stream.lastIndexOf(rule.separator)
  return end < 1 || isSystemStream(stream) ? undefined : stream.slice(0, end)
}

/**
 * Checks a stream name from a client.
 * @throws DaybookError `bad-stream-name` when it is empty, too long, `.` or `..`, or has control characters or an
 * unpaired surrogate
 */
export function checkStreamName(stream: string): void {
  const fault = faultOfName(stream)
  if (fault === undefined) return
  throw new DaybookError('bad-stream-name', `A stream name ${fault}.`, {
    stream: stream.slice(0, 100),
    limit: limits.stream_name_bytes_max
  })
}

/** Returns why a text is no valid stream name, as the rest of a sentence; undefined when it is valid. */
export function faultOfName(text: string): string | undefined {
  if (text === '') return 'must have at least one character'
  if (text === '.' || text === '..') return 'cannot be "." or "..": HTTP clients resolve them away'
  if (text.length * 3 > limits.stream_name_bytes_max) {
    const { name, bytesMax } = limitedPart(text)
    const bytes = Buffer.byteLength(name)
    if (bytes > bytesMax) return `must have at most ${bytesMax} bytes of UTF-8; this one has ${bytes}`
  }
  if (CONTROL.test(text)) return 'must have no control characters'
  if (!text.isWellFormed()) return 'must be well-formed Unicode; this one has half of a surrogate pair'
  return undefined
}

/**
 * Returns the part of a name whose length is limited, and its limit. A prefix that the server itself adds does not
 * count, so that a stream with the longest name can have metadata, and its category and event types can be read. `$bc-`
 * does count: longer correlation ids are not indexed.
 */
function limitedPart(text: string): { readonly name: string; readonly bytesMax: number } {
  const name = isMetastream(text) ? originalOf(text) : text
  const [prefix = ''] = /^\$(?:ce|et|category)-/.exec(name) ?? []
  const bytesMax = prefix === '$et-' ? limits.dialect_type_bytes_max : limits.stream_name_bytes_max
  return { name: name.slice(prefix.length), bytesMax }
}

/** @throws DaybookError `bad-stream-name` as `checkAppendableName`, and for metastreams, which have their own route */
export function checkEventStream(stream: string): void {
  checkAppendableName(stream)
  if (!isMetastream(stream)) return
  throw new DaybookError(
    'bad-stream-name',
    `Events cannot be appended to "${stream}": it holds metadata. Use PUT /streams/{stream}/metadata instead.`,
    { stream }
  )
}

/** @throws DaybookError `bad-stream-name` as `checkStreamName`, and for reserved names */
export function checkAppendableName(stream: string): void {
  checkStreamName(stream)
  if (RESERVED.test(stream)) {
    throw new DaybookError('bad-stream-name', `Nothing can be appended to "${stream}": the name is reserved.`, {
      stream
    })
  }
}
