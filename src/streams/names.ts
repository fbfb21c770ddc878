/** What a stream name says. Names are compared byte for byte: NFC and NFD forms are different streams. */
import { DaybookError } from '../errors.js'
import { limits } from '../limits.js'

/** Names that are other ways to read: nothing is appended under them. */
const RESERVED = /^\$(?:all$|streams$|ce-|et-|bc-|category-|\$$|\$\$\$)/
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/

/** System streams begin with `$` and are left out of /events unless asked for. */
export function isSystemStream(stream: string): boolean {
  return stream.charCodeAt(0) === 0x24
}

/** Metastreams begin with `$$`: their last event is the metadata of the stream whose name follows. */
export function isMetastream(stream: string): boolean {
  return stream.startsWith('$$')
}

export function metastreamOf(stream: string): string {
  return `$$${stream}`
}

/** The stream that a metastream describes. */
export function originalOf(metastream: string): string {
  return metastream.slice(2)
}

/** Where in a name its category ends: at the first or the last of these characters. */
export interface CategoryRule {
  readonly at: 'first' | 'last'
  /** One character. */
  readonly separator: string
}

export const defaultCategoryRule: CategoryRule = { at: 'first', separator: '-' }

/** @param text `first:-`, `last:_` … */
export function parseCategoryRule(text: string): CategoryRule {
  const [, at, separator] = /^(first|last):(.)$/su.exec(text) ?? []
  if (at === undefined || separator === undefined) {
    throw new DaybookError('bad-configuration', `a category separator is first:C or last:C, not "${text}"`)
  }
  return { at: at as CategoryRule['at'], separator }
}

/** The name up to its separator; undefined when there is none before it, and for system streams. */
export function categoryOf(stream: string, rule: CategoryRule): string | undefined {
  const end = rule.at === 'first' ? stream.indexOf(rule.separator) : stream.lastIndexOf(rule.separator)
  return end < 1 || isSystemStream(stream) ? undefined : stream.slice(0, end)
}

/**
 * Checks a name that a client gave.
 * @throws `bad-stream-name` when it is empty, too long, `.` or `..`, or has control characters or broken surrogates
 */
export function checkStreamName(stream: string): void {
  const fault = faultOfName(stream)
  if (fault === undefined) return
  throw new DaybookError('bad-stream-name', `A stream name ${fault}.`, {
    stream: stream.slice(0, 100),
    limit: limits.stream_name_bytes_max
  })
}

/** Why a text can be no stream's name; undefined when it can. */
export function faultOfName(text: string): string | undefined {
  if (text === '') return 'has at least one character'
  if (text === '.' || text === '..') return 'cannot be "." or "..": HTTP clients resolve them away'
  if (text.length * 3 > limits.stream_name_bytes_max) {
    const { name, bytesMax } = limitedPart(text)
    const bytes = Buffer.byteLength(name)
    if (bytes > bytesMax) return `has at most ${bytesMax} bytes of UTF-8; this one has ${bytes}`
  }
  if (CONTROL.test(text)) return 'has no control characters'
  if (!text.isWellFormed()) return 'is well-formed Unicode; this one has half of a surrogate pair'
  return undefined
}

/**
 * The part of a name whose length is limited. A prefix that the server puts before a name is not counted, so that a stream
 * with the longest name has metadata, and its category and the types of its events can be read. In `$bc-…` all counts: the
 * index lists no longer correlation ids.
 */
function limitedPart(text: string): { readonly name: string; readonly bytesMax: number } {
  const name = isMetastream(text) ? originalOf(text) : text
  const [prefix = ''] = /^\$(?:ce|et|category)-/.exec(name) ?? []
  const bytesMax = prefix === '$et-' ? limits.dialect_type_bytes_max : limits.stream_name_bytes_max
  return { name: name.slice(prefix.length), bytesMax }
}

/** @throws `bad-stream-name` as checkAppendableName, and for metastreams, whose events are written as metadata */
export function checkEventStream(stream: string): void {
  checkAppendableName(stream)
  if (!isMetastream(stream)) return
  throw new DaybookError(
    'bad-stream-name',
    `Events are not appended to "${stream}": it holds metadata. PUT /streams/{stream}/metadata writes that.`,
    { stream }
  )
}

/** @throws `bad-stream-name` as checkStreamName, and for names under which nothing is appended */
export function checkAppendableName(stream: string): void {
  checkStreamName(stream)
  if (RESERVED.test(stream)) {
    throw new DaybookError('bad-stream-name', `Nothing is appended to "${stream}": the name is reserved.`, { stream })
  }
}
