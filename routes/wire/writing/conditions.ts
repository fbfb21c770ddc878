/** Parses the conditions of an append from headers and bodies (native contract §3, §4). */
import type { IncomingHttpHeaders } from 'node:http'
import { MatchConditionBody, StreamConditionBody } from '../../../schemas/append.js'
import { Type } from '../../../schemas/type.js'
import { DaybookError, isDaybookError } from '../../../src/errors.js'
import { limits } from '../../../src/limits.js'
import { checkEventStream } from '../../../src/streams/names.js'
import { type EventCondition, namesIn } from '../../../src/writing/plan/event-condition.js'
import type { Condition, ExpectedVersion } from '../../../src/writing/plan/expected-version.js'
import { compileShape, type Refuse } from '../problems/shape.js'

export interface Conditions {
  /** Conditions on the heads of streams. */
  conditions: Condition[]
  /** Conditions on the events of the whole log. */
  matches: EventCondition[]
}

/**
 * Returns the expected version from `If-Match` and `If-None-Match`. No header is ever ignored.
 * @throws `bad-condition` if a header is invalid or the two contradict each other
 */
export function expectedVersionOf(headers: IncomingHttpHeaders): ExpectedVersion {
  const expected: ExpectedVersion[] = []
  const match = headers['if-match']
  if (match !== undefined) expected.push(match.trim() === '*' ? 'stream_exists' : fromTag(match.trim()))
  const noneMatch = headers['if-none-match']
  if (noneMatch !== undefined) {
    if (noneMatch.trim() !== '*') refuseCondition('If-None-Match on an append must be "*": the stream must not exist')
    expected.push('no_stream')
  }
  const [first = 'any'] = expected
  if (expected.some((one) => one !== first)) refuseCondition('If-Match and If-None-Match contradict each other')
  return first
}

/** Returns the version in an ETag of a stream, `"7"` or `"7;variant"`: every such ETag begins with the head. */
function fromTag(text: string): ExpectedVersion {
  // `"-1"` is the ETag of metadata that was never written.
  if (/^"-1(;[^"]*)?"$/.test(text)) return 'no_stream'
  const parts = /^"(\d{1,16})(?:;[^"]*)?"$/.exec(text)
  const number = Number(parts?.[1])
  if (parts === null || !Number.isSafeInteger(number)) {
    refuseCondition(
      `If-Match must be "*" or the number of the last event in double quotes, like "7", not ${text.slice(0, 60)}`
    )
  }
  return number
}

function refuseCondition(why: string): never {
  throw new DaybookError('bad-condition', `${why[0]?.toUpperCase()}${why.slice(1)}.`, { written: false, retry: false })
}

const checkList = compileShape<unknown[]>(Type.Array(Type.Unknown(), { maxItems: limits.conditions_max }), 'conditions')
// Each kind of condition has its own validator. A schema for both kinds could not say which member is wrong.
const checkStreamCondition = compileShape<StreamConditionBody>(StreamConditionBody)
const checkMatchCondition = compileShape<MatchConditionBody>(MatchConditionBody)

/**
 * Parses `conditions` of a body. Each is a condition on the head of a stream, or excludes events from the log.
 * @throws `bad-condition`, `bad-stream-name`
 */
export function parseConditions(value: unknown): Conditions {
  const conditions = checkList(value, (why, where) => new DaybookError('bad-condition', why, where))
  const byStream = new Map<string, Condition>()
  const matches: EventCondition[] = []
  for (const [index, condition] of conditions.entries()) {
    const refuseThis: Refuse = (why, { pointer }) => {
      const says = pointer === '/head' ? `${why}${hintOf(condition)}` : why
      const place = `/conditions/${index}${pointer}`
      return new DaybookError('bad-condition', `Condition ${index}: ${says}`, { condition: index, pointer: place })
    }
    if (typeof condition === 'object' && condition !== null && 'failIfEventsMatch' in condition) {
      matches.push(toMatch(checkMatchCondition(condition, refuseThis), index, refuseThis))
      continue
    }
    const { stream, head } = checkStreamCondition(condition, refuseThis)
    checkNamedStream(stream, index)
    const expected = expectedHead(head as number | 'none' | 'exists')
    const other = byStream.get(stream)
    if (other !== undefined && other.expected !== expected) {
      const place = { condition: index, pointer: `/conditions/${index}/head` }
      throw new DaybookError('bad-condition', `Two conditions on "${stream}" contradict each other.`, {
        stream,
        ...place
      })
    }
    byStream.set(stream, { stream, expected })
  }
  const items = matches.flatMap((match) => match.items)
  checkBound(items.length, limits.match_items_max, 'items')
  checkBound(namesIn(items), limits.match_names_max, 'types and tags')
  return { conditions: [...byStream.values()], matches }
}

function checkBound(count: number, limit: number, what: string): void {
  if (count <= limit) return
  const pointer = '/conditions'
  throw new DaybookError('bad-condition', `All conditions together may have at most ${limit} ${what}, not ${count}.`, {
    limit,
    pointer
  })
}

function toMatch({ failIfEventsMatch, after = -1 }: MatchConditionBody, index: number, refuse: Refuse): EventCondition {
  const items = failIfEventsMatch.items.map(({ types = [], tags = [] }) => ({ types, tags }))
  const empty = items.findIndex(({ types, tags }) => types.length === 0 && tags.length === 0)
  if (empty >= 0) {
    throw refuse('An item must have at least one type or tag.', { pointer: `/failIfEventsMatch/items/${empty}` })
  }
  return { items, after, index }
}

/** Checks the stream name in a condition. @throws `bad-stream-name` */
function checkNamedStream(stream: string, index: number): void {
  try {
    checkEventStream(stream)
  } catch (error) {
    if (!isDaybookError(error)) throw error
    const place = { condition: index, pointer: `/conditions/${index}/stream` }
    throw new DaybookError(error.code, error.message, { ...error.details, ...place }, error)
  }
}

/** A hint for users of EventStoreDB: the native value for its special version numbers -1, -2 and -4. */
function hintOf(condition: unknown): string {
  const { head } = condition as { head?: unknown }
  if (head === -1 || head === '-1') return ' EventStoreDB\'s -1 is "none" here.'
  if (head === -4 || head === '-4') return ' EventStoreDB\'s -4 is "exists" here.'
  if (head === -2 || head === '-2') return " For EventStoreDB's -2 (any version) leave the condition out."
  return ''
}

function expectedHead(head: number | 'none' | 'exists'): ExpectedVersion {
  if (head === 'none') return 'no_stream'
  if (head === 'exists') return 'stream_exists'
  return head
}
