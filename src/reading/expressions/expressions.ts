/** The expressions that reads filter with: compiled once, bounded, with what they answered and the turns they run in. */
import { LRUCache } from 'lru-cache'
import { DaybookError } from '../../errors.js'
import { limits } from '../../limits.js'
import { SharedTurns } from '../../time/turns.js'
import { Expression } from './expression.js'
import { writtenOutSize } from './expression-size.js'
import { AnswerMemory } from './name-answers.js'

/** An expression that live reads follow the log with. */
interface FollowedExpression {
  readonly expression: Expression
  readers: number
}

export class Expressions {
  /** All who filter do so in these turns. */
  readonly turns = new SharedTurns(limits.turn_steps_max)
  readonly #memory: AnswerMemory
  readonly #compiled = new LRUCache<string, Expression>({
    maxSize: limits.expressions_cached_size_max,
    sizeCalculation: ({ weight }) => weight
  })
  readonly #followed = new Map<string, FollowedExpression>()
  #followedWeight = 0

  /** @param answersBytes what may be held of names and of what was answered for them */
  constructor(answersBytes: number = limits.expression_answers_bytes_default) {
    this.#memory = new AnswerMemory(answersBytes)
  }

  /** How many different expressions live reads follow the log with. */
  get followed(): number {
    return this.#followed.size
  }

  /**
   * Compiles the expressions of one read.
   * @param lists those on types, those on streams, …
   * @returns one for each list
   * @throws `bad-expression` when one is not in RE2 syntax, or when they are too large together
   */
  ofRead(lists: readonly (readonly string[])[]): Expression[] {
    checkLength(lists.flat())
    const compiled = lists.map((list) => this.#of(list))
    const size = compiled.reduce((sum, one) => sum + one.size, 0)
    if (size > limits.expression_size_max) throw sizeRefusal(size)
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
   * Called before a live read is accepted: each new name in the log is matched with all expressions that are followed.
   * @throws `overloaded` when those have no room for these
   */
  checkRoom(expressions: readonly Expression[]): void {
    let weight = this.#followedWeight
    for (const one of expressions) if (!this.#followed.has(one.key)) weight += one.weight
    if (expressions.length === 0 || weight <= limits.followed_size_max) return
    throw new DaybookError(
      'overloaded',
      `Live reads follow the log with as many expressions as are taken together (${this.#followed.size} different ones); follow with "type", "stream" or a prefix instead.`,
      { limit: limits.followed_size_max, retry: true }
    )
  }

  /** A live read follows with these until `unfollow`. @throws `overloaded` */
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

/** Compiling is work as well, so what is certain to be too large is not compiled. */
function checkLength(expressions: readonly string[]): void {
  const { expression_chars_max: limit, expression_size_max } = limits
  const chars = expressions.reduce((sum, { length }) => sum + length, 0)
  if (chars > limit) {
    throw new DaybookError(
      'bad-expression',
      `The expressions of one read have ${chars} characters; at most ${limit} characters are taken together.`,
      { limit }
    )
  }
  const size = expressions.reduce((sum, expression) => sum + writtenOutSize(expression), 0)
  if (size > expression_size_max * WRITTEN_OUT_MORE) throw sizeRefusal(size)
}

/** The text of an expression may seem larger than what it compiles to, but not by so much. */
const WRITTEN_OUT_MORE = 4

function sizeRefusal(size: number): DaybookError {
  const limit = limits.expression_size_max
  return new DaybookError(
    'bad-expression',
    `The expressions (RE2 syntax) of one read compile to about ${size} instructions; at most ${limit} are taken together. Counted repetitions such as a{9} count as what they repeat, nine times.`,
    { size, limit }
  )
}
