/** Which events a reader wants. Expressions from users run in linear time: RE2 has no backtracking to exploit. */
import { LRUCache } from 'lru-cache'
import { RE2JS } from 're2js'
import { DaybookError } from '../errors.js'
import { limits } from '../limits.js'
import type { StoredRecord } from '../log/format.js'
import { type CategoryRule, categoryOf, isSystemStream } from '../streams/names.js'

/** Conditions on one name. Values of one member are "or", members are "and"; `not` excludes each of its values. */
export interface NameFilter {
  is?: readonly string[] | undefined
  prefix?: readonly string[] | undefined
  regex?: readonly string[] | undefined
  not?: readonly string[] | undefined
}

export interface FilterOptions {
  type?: NameFilter
  stream?: NameFilter
  category?: { is: readonly string[]; rule: CategoryRule } | undefined
  /** The event carries all of these. */
  tags?: readonly string[] | undefined
  /** Bounds on `occurred`, milliseconds, included. Events without `occurred` do not match. */
  occurredFrom?: number | undefined
  occurredTo?: number | undefined
  /** Include events of system streams. */
  system: boolean
  /** Records whose event was removed too, unless something is asked of the event itself. */
  removed?: boolean | undefined
}

type Test = (record: StoredRecord) => boolean

export class Filter {
  readonly options: FilterOptions
  readonly #tests: Test[]
  readonly #takesRemoved: boolean

  /** @throws `bad-expression` when an expression cannot be compiled */
  constructor(options: FilterOptions) {
    this.options = options
    checkExpressions([...(options.type?.regex ?? []), ...(options.stream?.regex ?? [])])
    this.#tests = [
      ...nameTests(options.type, (record) => record.type),
      ...nameTests(options.stream, (record) => record.stream)
    ]
    const { category, tags, occurredFrom, occurredTo, removed = false } = options
    const ofEvent = [...Object.values(options.type ?? {}), tags, occurredFrom, occurredTo]
    this.#takesRemoved = removed && ofEvent.every((asked) => asked === undefined)
    if (category !== undefined) {
      const wanted = new Set(category.is)
      this.#tests.push((record) => wanted.has(categoryOf(record.stream, category.rule) as string))
    }
    if (tags !== undefined && tags.length > 0) {
      this.#tests.push((record) => {
        if (!record.hasTags) return false
        const held = record.tags
        return tags.every((tag) => held.includes(tag))
      })
    }
    if (occurredFrom !== undefined || occurredTo !== undefined) {
      this.#tests.push(({ occurred }) => {
        if (occurred === undefined) return false
        const instant = Date.parse(occurred)
        return instant >= (occurredFrom ?? -Infinity) && instant <= (occurredTo ?? Infinity)
      })
    }
  }

  /** True when nothing but system streams can be left out. */
  get passesAll(): boolean {
    return this.#tests.length === 0
  }

  /** @param whole one stream is read by its name, so its events are shown even if it is a system stream */
  matches(record: StoredRecord, whole = false): boolean {
    if (record.removed && !this.#takesRemoved) return false
    if (!whole && !this.options.system && isSystemStream(record.streamBytes)) return false
    for (const test of this.#tests) if (!test(record)) return false
    return true
  }
}

function nameTests(filter: NameFilter | undefined, nameOf: (record: StoredRecord) => string): Test[] {
  const tests: Test[] = []
  if (filter?.is !== undefined) {
    const wanted = new Set(filter.is)
    tests.push((record) => wanted.has(nameOf(record)))
  }
  if (filter?.prefix !== undefined) {
    const { prefix } = filter
    tests.push((record) => {
      const name = nameOf(record)
      return prefix.some((start) => name.startsWith(start))
    })
  }
  if (filter?.regex !== undefined) {
    const expressions = filter.regex.map(compile)
    tests.push((record) => {
      const name = nameOf(record)
      return expressions.some((matches) => matches(name))
    })
  }
  if (filter?.not !== undefined) {
    const unwanted = new Set(filter.not)
    tests.push((record) => !unwanted.has(nameOf(record)))
  }
  return tests
}

/**
 * Linear time is not little time: a counted repetition is a copy of what it counts, and matching costs as many steps a
 * character as there are copies. So the expressions of one read are bounded together.
 */
function checkExpressions(expressions: readonly string[]): void {
  const { expression_chars_max, expression_repetitions_max, expression_repetition_count_max } = limits
  const text = expressions.join('')
  const counts = [...text.matchAll(/\{(\d+)(?:,(\d*))?\}/g)].map(([, low, high]) => Number(high || low))
  const refuse = (why: string, limit: number): never => {
    throw new DaybookError(
      'bad-expression',
      `The expressions (RE2 syntax) of one read grow too large; at most ${why} are taken together.`,
      {
        limit
      }
    )
  }
  if (text.length > expression_chars_max) {
    refuse(`${expression_chars_max} characters`, expression_chars_max)
  }
  if (counts.length > expression_repetitions_max) {
    refuse(`${expression_repetitions_max} counted repetitions`, expression_repetitions_max)
  }
  if (counts.some((count) => count > expression_repetition_count_max)) {
    refuse(`${expression_repetition_count_max} of a counted repetition`, expression_repetition_count_max)
  }
}

/** Names repeat, so each distinct one is matched once. */
function compile(expression: string): (name: string) => boolean {
  let compiled: RE2JS
  try {
    compiled = RE2JS.compile(expression)
  } catch (cause) {
    throw new DaybookError(
      'bad-expression',
      `"${expression}" is not an expression in RE2 syntax (${(cause as Error).message}). Look-around and back-references are not part of it.`,
      { expression },
      cause
    )
  }
  const seen = new LRUCache<string, boolean>({ max: 1000 })
  return (name) => {
    let answer = seen.get(name)
    if (answer === undefined) {
      answer = compiled.matcher(name).find()
      seen.set(name, answer)
    }
    return answer
  }
}
