/** Applies one read's filter to records. Costly work is counted and runs in turns that all reads share. */
import { limits } from '../limits.js'
import type { StoredRecord } from '../log/format.js'
import type { SharedTurns } from '../time/turns.js'
import type { Filter } from './filter.js'

/** Cost of reading a hidden record, in steps: it takes 2 to 3 microseconds. */
const HIDDEN_STEPS = 250

export class Filtering {
  readonly #filter: Filter
  readonly #whole: boolean
  readonly #turns: SharedTurns
  #steps = 0

  /** @param whole as in `Filter.matches` */
  constructor(filter: Filter, whole: boolean, turns: SharedTurns) {
    this.#filter = filter
    this.#whole = whole
    this.#turns = turns
  }

  /** Steps of work done so far. */
  get steps(): number {
    return this.#steps
  }

  /**
   * Counts hidden records as work. Otherwise many readers that search through hidden records would block all others.
   * @param shown for each record, whether the reader may see it
   * @returns undefined when the records can be processed at once, otherwise a promise of a turn with room for them
   */
  countHidden(shown: readonly boolean[]): Promise<void> | undefined {
    let hidden = 0
    for (const one of shown) if (!one) hidden++
    return hidden === 0 ? undefined : this.#turns.take(hidden * HIDDEN_STEPS)
  }

  /**
   * Returns for each record, starting with the one at `from`, whether it matches. Returns fewer answers than records
   * left, but at least one, when their work fills a turn.
   * @param shown for each record, whether the reader may see it; undefined when it may see all
   */
  next(
    records: readonly StoredRecord[],
    from: number,
    shown: readonly boolean[] | undefined
  ): boolean[] | Promise<boolean[]> {
    if (this.#filter.isWork) return this.#inTurns(records, from, shown)
    const answers: boolean[] = []
    for (let i = from; i < records.length; i++) answers.push(shown?.[i] !== false && this.#matches(records[i]))
    return answers
  }

  async #inTurns(
    records: readonly StoredRecord[],
    from: number,
    shown: readonly boolean[] | undefined
  ): Promise<boolean[]> {
    const filter = this.#filter
    const last = this.#steps + limits.turn_steps_max
    const answers: boolean[] = []
    for (let i = from; i < records.length && this.#steps < last; i++) {
      const record = records[i] as StoredRecord
      if (shown?.[i] === false) {
        answers.push(false)
        continue
      }
      let answer = filter.known(record, this.#whole)
      const steps = filter.weight + (answer === undefined ? filter.stepsFor(record) : 0)
      this.#steps += steps
      const turn = this.#turns.take(steps)
      if (turn !== undefined) await turn
      answer ??= this.#matches(record)
      answers.push(answer)
    }
    return answers
  }

  #matches(record: StoredRecord | undefined): boolean {
    return this.#filter.matches(record as StoredRecord, this.#whole)
  }
}
