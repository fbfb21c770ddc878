/** The expressions that reads filter with: compiled once, limited in size, with cached answers and shared turns. */
import { LRUCache } from 'lru-cache'
import { DaybookError } from '../../errors.js'
import { limits } from '../../limits.js'
import { SharedTurns } from '../../time/turns.js'
import { Expression } from './expression.js'
import { writtenOutSize } from './expression-size.js'
import { AnswerMemory } from './name-answers.js'

/** An expression in use by live reads. */
interface FollowedExpression {
  readonly expression: Expression
  readers: number
}

export class Expressions {
  /** All filters do their work in these turns. */
  readonly turns = new SharedTurns(limits.turn_steps_max)
  readonly #memory: AnswerMemory
  readonly #compiled = new LRUCache<string, Expression>({
    maxSize: limits.expressions_cached_size_max,
    sizeCalculation: ({ weight }) => weight
  })
  readonly #followed = new Map<string, FollowedExpression>()
  #followedWeight = 0

  /** @param answersBytes memory for cached answers, names included, bytes */
  constructor(answersBytes: number = limits.expression_answers_bytes_default) {
    this.#memory = new AnswerMemory(answersBytes)
  }

  /** Number of different expressions that live reads use. */
  get followed(): number {
    return this.#followed.size
  }

  /**
   * Compiles the expressions of one read.
   * @param lists one list per filtered name, e.g. types and streams
   * @returns one compiled expression per list
   * @throws `bad-expression` when one is not in RE2 syntax, or when all together are too large
   */
  ofRead(lists: readonly (readonly string[])[]): Expression[] {
    checkLength(lists.flat())
    const compiled = lists.map((list) => this.#of(list))
    const size = compiled.reduce((sum, one) => sum + one.size, 0)
    if (size > limits.expression_size_max) throw expressionsTooLarge(size)
    return compiled
  }

  #of(list: readonly string[]): Expression {
    const key = JSON.stringify(list)
    let expression = this.#compiled.get(key) ?? this.#followed.get(key)?.expression
    if (expression === undefined) {
      expression = new Expression(key, list, this.#memory)
      this.#compiled.set(key, expression)
    }
    return expression
  }

  /**
   * Checks that a live read with these expressions can be accepted. Each new name in the log is matched with all
   * expressions of live reads, so their total size is limited.
   * @throws `overloaded` when the limit would be exceeded
   */
  checkRoom(expressions: readonly Expression[]): void {
    let weight = this.#followedWeight
    for (const one of expressions) if (!this.#followed.has(one.key)) weight += one.weight
    if (expressions.length === 0 || weight <= limits.followed_size_max) return
    throw new DaybookError(
      'overloaded',
      `This live read would bring the ${this.#followed.size} expressions of all live reads to a size of ${weight}; at most ${limits.followed_size_max} is allowed. Filter by "type", "stream" or a prefix instead, or retry later.`,
      { limit: limits.followed_size_max, retry: true }
    )
  }

  /** Registers the expressions of a live read until `unfollow`. @throws `overloaded` */
  follow(expressions: readonly Expression[]): void {
    this.checkRoom(expressions)
    for (const one of expressions) {
      const followed = this.#followed.get(one.key)
      if (followed !== undefined) followed.readers++
      else {
        this.#followed.set(one.key, { expression: one, readers: 1 })
        this.#followedWeight += one.weight
      }
    }
  }

  unfollow(expressions: readonly Expression[]): void {
    for (const one of expressions) {
      const followed = this.#followed.get(one.key)
      if (followed === undefined || --followed.readers > 0) continue
      this.#followed.delete(one.key)
      this.#followedWeight -= one.weight
    }
  }
}

/** Compiling is costly too, so expressions that are certainly too large are rejected before they are compiled. */
function checkLength(expressions: readonly string[]): void {
  const { expression_chars_max: limit, expression_size_max } = limits
  const chars = expressions.reduce((sum, { length }) => sum + length, 0)
  if (chars > limit) {
    throw new DaybookError(
      'bad-expression',
      `The expressions of one read have ${chars} characters; at most ${limit} characters are allowed together.`,
      { limit }
    )
  }
  const size = expressions.reduce((sum, expression) => sum + writtenOutSize(expression), 0)
  if (size > expression_size_max * ESTIMATE_FACTOR) throw expressionsTooLarge(size)
}

/** The estimate from the text may exceed the compiled size, but not by more than this factor. */
const ESTIMATE_FACTOR = 4

function expressionsTooLarge(size: number): DaybookError {
  const limit = limits.expression_size_max
  return new DaybookError(
    'bad-expression',
    `The expressions (RE2 syntax) of one read compile to about ${size} instructions; at most ${limit} are allowed together. Counted repetitions such as a{9} count as the repeated part, nine times.`,
    { size, limit }
  )
}
