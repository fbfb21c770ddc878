/**
 * Regular expressions of which one must find something in a name. RE2 has no backtracking to exploit: a name costs at
 * most as many steps as it has characters, times the instructions that the expressions compile to.
 */
import { RE2Set } from 're2js'
import { DaybookError } from '../../errors.js'
import { limits } from '../../limits.js'
import { type AnswerMemory, NameAnswers } from './name-answers.js'

/** What a character costs beside the instructions, in steps. */
const CHARACTER_STEPS = 64

export class Expression {
  /** Equal for equal expressions. */
  readonly key: string
  /** Instructions that they compile to. */
  readonly size: number
  readonly #set: RE2Set
  readonly #answers: NameAnswers

  /** @throws `bad-expression` when one is not in RE2 syntax */
  constructor(key: string, expressions: readonly string[], memory: AnswerMemory) {
    this.key = key
    this.#set = new RE2Set(RE2Set.UNANCHORED, 0, limits.expression_states_bytes_max)
    for (const expression of expressions) add(this.#set, expression)
    this.#set.compile()
    this.size = this.#set.prog.numInst()
    this.#answers = new NameAnswers(memory)
  }

  /** Steps that a name of one character costs at most. A hundred take about a microsecond, at worst two. */
  get weight(): number {
    return this.size + CHARACTER_STEPS
  }

  /** The answer for a name when it is remembered. @param key the name as records hold it */
  remembered(key: string): boolean | undefined {
    return this.#answers.get(key)
  }

  /** Steps that `finds` needs at most. @param key the name as records hold it */
  stepsFor(key: string): number {
    return this.weight * (key.length + 1)
  }

  /** Runs the expressions, and remembers the answer. @param key the name as records hold it */
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
      `"${expression}" is not an expression in RE2 syntax (${(cause as Error).message}). Look-around and back-references are not part of it.`,
      { expression },
      cause
    )
  }
}
