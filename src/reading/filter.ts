/** Filters: which events a read returns. */
import type { StoredRecord } from '../log/format.js'
import { type CategoryRule, categoryOf, isSystemStream } from '../streams/names.js'
import type { Expression } from './expressions/expression.js'
import { Expressions } from './expressions/expressions.js'

/** Conditions on one name. Values within a member are ORed, members are ANDed. `not` excludes each of its values. */
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
  /** The event must have all of these tags. */
  tags?: readonly string[] | undefined
  /** Inclusive bounds on `occurred`, milliseconds. Events without `occurred` do not match. */
  occurredFrom?: number | undefined
  occurredTo?: number | undefined
  /** Include events of system streams. */
  system: boolean
  /** Also match records of removed events, unless another condition needs the event's content. */
  removed?: boolean | undefined
}

type Test = (record: StoredRecord) => boolean

/** A name of an event, the key under which answers for the name are cached, and the expression it must match. */
interface NameExpression {
  readonly nameOf: (record: StoredRecord) => string
  readonly keyOf: (record: StoredRecord) => string
  readonly expression: Expression
}

/** Cost of a record in steps: a minimum, plus an amount for each requested tag or prefix. */
const RECORD_STEPS = 20
const VALUE_STEPS = 4

export class Filter {
  readonly options: FilterOptions
  /** Cost of `matches` for one record in steps, without the expressions. */
  readonly weight: number
  readonly #tests: Test[]
  readonly #expressions: readonly NameExpression[]
  readonly #matchesRemoved: boolean

  /**
   * @param expressions the server's shared expressions, which cache their answers
   * @throws `bad-expression` when an expression cannot be compiled, or is too large
   */
  constructor(options: FilterOptions, expressions: Expressions = new Expressions()) {
    this.options = options
    this.#expressions = nameExpressions(options, expressions)
    this.#tests = [
      ...nameTests(options.type, (record) => record.type),
      ...nameTests(options.stream, (record) => record.stream)
    ]
    const { category, tags, occurredFrom, occurredTo, removed = false } = options
    const ofEvent = [...Object.values(options.type ?? {}), tags, occurredFrom, occurredTo]
    this.#matchesRemoved = removed && ofEvent.every((condition) => condition === undefined)
    if (category !== undefined) {
      const wanted = new Set(category.is)
      this.#tests.push((record) => wanted.has(categoryOf(record.stream, category.rule) as string))
    }
    if (tags !== undefined && tags.length > 0) {
      this.#tests.push((record) => {
        if (!record.hasTags) return false
        const eventTags = record.tags
        return tags.every((tag) => eventTags.includes(tag))
      })
    }
    if (occurredFrom !== undefined || occurredTo !== undefined) {
      this.#tests.push(({ occurred }) => {
        if (occurred === undefined) return false
        const instant = Date.parse(occurred)
        return instant >= (occurredFrom ?? -Infinity) && instant <= (occurredTo ?? Infinity)
      })
    }
    this.weight = weightOf(options)
  }

  /** True when the filter excludes nothing except, perhaps, system streams. */
  get passesAll(): boolean {
    return this.#tests.length === 0 && this.#expressions.length === 0
  }

  /** The expressions that must match. They are costly: see `known` and `stepsFor`. */
  get expressions(): readonly Expression[] {
    return this.#expressions.map(({ expression }) => expression)
  }

  get hasExpressions(): boolean {
    return this.#expressions.length > 0
  }

  /** True when a record may cost more than a few comparisons, so that the work must be counted. */
  get isWork(): boolean {
    return this.hasExpressions || this.weight > LIGHT_STEPS
  }

  /** Returns whether a record matches. @param whole a single stream is read by name: system streams are not excluded */
  matches(record: StoredRecord, whole = false): boolean {
    if (!this.#passes(record, whole)) return false
    for (const { nameOf, keyOf, expression } of this.#expressions) {
      const key = keyOf(record)
      if (!(expression.remembered(key) ?? expression.finds(nameOf(record), key))) return false
    }
    return true
  }

  /** Returns the result of `matches` if it is known without running an expression, otherwise undefined. */
  known(record: StoredRecord, whole = false): boolean | undefined {
    if (!this.#passes(record, whole)) return false
    let known: boolean | undefined = true
    for (const { keyOf, expression } of this.#expressions) {
      const answer = expression.remembered(keyOf(record))
      if (answer === false) return false
      known &&= answer
    }
    return known
  }

  /** Evaluates all conditions except the expressions. */
  #passes(record: StoredRecord, whole: boolean): boolean {
    if (record.removed && !this.#matchesRemoved) return false
    if (!whole && !this.options.system && isSystemStream(record.streamBytes)) return false
    for (const test of this.#tests) if (!test(record)) return false
    return true
  }

  /** Returns the maximum steps that expressions need for a record. Cached answers cost nothing. */
  stepsFor(record: StoredRecord): number {
    let steps = 0
    for (const { keyOf, expression } of this.#expressions) {
      const key = keyOf(record)
      if (expression.remembered(key) === undefined) steps += expression.stepsFor(key)
    }
    return steps
  }
}

/** A filter whose weight exceeds this is counted as work and runs in shared turns. Lighter filters run at once. */
const LIGHT_STEPS = 200

/** Returns the maximum cost of one record in steps, without expressions. Each tag is searched in the event's tags. */
function weightOf({ type, stream, tags = [] }: FilterOptions): number {
  const prefixes = (type?.prefix?.length ?? 0) + (stream?.prefix?.length ?? 0)
  return RECORD_STEPS + VALUE_STEPS * (prefixes + tags.length)
}

function nameExpressions({ type, stream }: FilterOptions, expressions: Expressions): NameExpression[] {
  const conditions = [
    {
      list: type?.regex,
      nameOf: (record: StoredRecord) => record.type,
      keyOf: (record: StoredRecord) => record.typeBytes
    },
    {
      list: stream?.regex,
      nameOf: (record: StoredRecord) => record.stream,
      keyOf: (record: StoredRecord) => record.streamBytes
    }
  ].flatMap(({ list, ...rest }) => (list === undefined ? [] : [{ list, ...rest }]))
  if (conditions.length === 0) return []
  const compiled = expressions.ofRead(conditions.map(({ list }) => list))
  return conditions.map(({ nameOf, keyOf }, i) => ({ nameOf, keyOf, expression: compiled[i] as Expression }))
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
  if (filter?.not !== undefined) {
    const unwanted = new Set(filter.not)
    tests.push((record) => !unwanted.has(nameOf(record)))
  }
  return tests
}
