/**
 * A list of regular expressions, one of which must match a name. RE2 does not backtrack, so it cannot be attacked with
 * costly expressions: a name costs at most its characters times the compiled instructions, in steps.
 */
import { RE2Set } from 're2js'
import { DaybookError } from '../../errors.js'
import { limits } from '../../limits.js'
import { type AnswerMemory, NameAnswers } from './name-answers.js'

/** Cost of each character in addition to the instructions, in steps. */
const CHARACTER_STEPS = 64

export class Expression {
  /** Equal for equal expressions. */
  readonly key: string
  /** Number of compiled instructions. */
  readonly size: number
  readonly #set: RE2Set
  readonly #answers: NameAnswers

  /** @throws `bad-expression` when an expression is not in RE2 syntax */
  constructor(key: string, expressions: readonly string[], memory: AnswerMemory) {
    this.key = key
    this.#set = new RE2Set(RE2Set.UNANCHORED, 0, limits.expression_states_bytes_max)
    for (const expression of expressions) add(this.#set, expression)
    this.#set.compile()
    this.size = this.#set.prog.numInst()
    this.#answers = new NameAnswers(memory)
  }

  /** Maximum steps for a name of one character. 100 steps take about a microsecond, at worst two. */
  get weight(): number {
    return this.size + CHARACTER_STEPS
  }

  /** Returns the cached answer for a name. @param key the name as records hold it */
  remembered(key: string): boolean | undefined {
    return this.#answers.get(key)
  }

  /** Returns the maximum steps that `finds` needs. @param key the name as records hold it */
  stepsFor(key: string): number {
    return this.weight * (key.length + 1)
  }

  /** Runs the expressions and caches the answer. @param key the name as records hold it */
  finds(name: string, key: string): boolean {
    const answer = this.#set.match(name).length > 0
    this.#answers.set(key, answer)
    return answer
  }
}

function add(set: RE2Set, expression: string): void {
  try {
    set.add(expression)
  } catch (cause) {
    throw new DaybookError(
      'bad-expression',
      `"${expression}" is not valid in RE2 syntax (${(cause as Error).message}). Look-around and back-references are not part of it.`,
      { expression },
      cause
    )
  }
}
