/** Which events a reader wants. */
import type { StoredRecord } from '../log/format.js'
import { type CategoryRule, categoryOf, isSystemStream } from '../streams/names.js'
import type { Expression } from './expressions/expression.js'
import { Expressions } from './expressions/expressions.js'

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

/** A name of an event, the key by which answers for it are remembered, and what must find something in it. */
interface NameExpression {
  readonly nameOf: (record: StoredRecord) => string
  readonly keyOf: (record: StoredRecord) => string
  readonly expression: Expression
}

/** Steps that a record costs at least, and for each tag or prefix that is asked for. */
const RECORD_STEPS = 20
const VALUE_STEPS = 4

export class Filter {
  readonly options: FilterOptions
  /** What `matches` costs for one record in steps, without its expressions. */
  readonly weight: number
  readonly #tests: Test[]
  readonly #expressions: readonly NameExpression[]
  readonly #takesRemoved: boolean

  /**
   * @param expressions those of the server, which remember what they answered
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
    this.weight = weightOf(options)
  }

  /** True when nothing but system streams can be left out. */
  get passesAll(): boolean {
    return this.#tests.length === 0 && this.#expressions.length === 0
  }

  /** Those that must find something. They are work: `known` and `stepsFor` say how much. */
  get expressions(): readonly Expression[] {
    return this.#expressions.map(({ expression }) => expression)
  }

  get hasExpressions(): boolean {
    return this.#expressions.length > 0
  }

  /** True when a record may cost more than a few comparisons. */
  get isWork(): boolean {
    return this.hasExpressions || this.weight > LIGHT_STEPS
  }

  /** @param whole one stream is read by its name, so its events are shown even if it is a system stream */
  matches(record: StoredRecord, whole = false): boolean {
    if (!this.#passes(record, whole)) return false
    for (const { nameOf, keyOf, expression } of this.#expressions) {
      const key = keyOf(record)
      if (!(expression.remembered(key) ?? expression.finds(nameOf(record), key))) return false
    }
    return true
  }

  /** What `matches` says, when no expression has to be run for that; else undefined. */
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

  /** What can be said without the expressions. */
  #passes(record: StoredRecord, whole: boolean): boolean {
    if (record.removed && !this.#takesRemoved) return false
    if (!whole && !this.options.system && isSystemStream(record.streamBytes)) return false
    for (const test of this.#tests) if (!test(record)) return false
    return true
  }

  /** Steps that the expressions need at most for a record that is not `known`. */
  stepsFor(record: StoredRecord): number {
    let steps = 0
    for (const { keyOf, expression } of this.#expressions) {
      const key = keyOf(record)
      if (expression.remembered(key) === undefined) steps += expression.stepsFor(key)
    }
    return steps
  }
}

/** A filter with more is work: of its weight, `stepsFor` and the turns in which that is done. */
const LIGHT_STEPS = 200

/** Steps that one record costs at most, without expressions: a tag is looked for among those of the event. */
function weightOf({ type, stream, tags = [] }: FilterOptions): number {
  const prefixes = (type?.prefix?.length ?? 0) + (stream?.prefix?.length ?? 0)
  return RECORD_STEPS + VALUE_STEPS * (prefixes + tags.length)
}

function nameExpressions({ type, stream }: FilterOptions, expressions: Expressions): NameExpression[] {
  const asked = [
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
  if (asked.length === 0) return []
  const compiled = expressions.ofRead(asked.map(({ list }) => list))
  return asked.map(({ nameOf, keyOf }, i) => ({ nameOf, keyOf, expression: compiled[i] as Expression }))
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
