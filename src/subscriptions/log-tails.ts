/**
 * The tails of the log: every page of the dispatcher concerns each of them. Tails whose filter has expressions, which
 * are work, take pages at their own pace, so that nobody else waits for them.
 */
import type { LogPage } from '../dispatch/dispatcher.js'
import { limits } from '../limits.js'
import { Filtering } from '../reading/filtering.js'
import type { Reader } from '../reading/reader.js'
import type { SharedTurns } from '../time/turns.js'
import type { LogTail } from './tail.js'

export class LogTails {
  readonly #reader: Reader
  readonly #turns: SharedTurns
  readonly #light = new Set<LogTail>()
  readonly #working = new Set<LogTail>()
  /** Pages that the working tails have not taken. */
  readonly #pages: LogPage[] = []
  #waitingBytes = 0
  /** Pages up to here came when too many were waiting. They become a gap. */
  #skipTo: number | undefined
  #running = false

  constructor(reader: Reader, turns: SharedTurns) {
    this.#reader = reader
    this.#turns = turns
  }

  get size(): number {
    return this.#light.size + this.#working.size
  }

  add(tail: LogTail): void {
    this.#setOf(tail).add(tail)
  }

  delete(tail: LogTail): void {
    this.#setOf(tail).delete(tail)
  }

  /** Offers a page. Resolves when the next may come. */
  async take(page: LogPage): Promise<void> {
    if (this.#light.size > 0) await this.#offer(page, [...this.#light])
    if (this.#working.size === 0) return
    const known = this.#running ? undefined : await this.#known(page)
    if (known !== undefined) await this.#offer(page, known.keys(), known)
    else this.#queue(page)
  }

  #setOf({ query }: LogTail): Set<LogTail> {
    return query.request.filter.hasExpressions ? this.#working : this.#light
  }

  /**
   * @param answers which events match, by tail; undefined: the tails say themselves
   */
  async #offer(
    page: LogPage,
    tails: Iterable<LogTail>,
    answers?: ReadonlyMap<LogTail, readonly boolean[]>
  ): Promise<void> {
    /** Which events are visible, by viewer: it is computed once for all tails of one viewer. */
    const visible = new Map<string, boolean[] | undefined>()
    for (const tail of tails) {
      const { truncated, viewer, filter } = tail.query.request
      const turn = this.#turns.take(filter.weight * page.events.length)
      if (turn !== undefined) {
        await turn
        visible.clear() // rules may have changed
      }
      const key = `${truncated} ${viewer?.key ?? ''}`
      try {
        if (!visible.has(key)) visible.set(key, await this.#reader.seen(page.events, { truncated, viewer }))
        tail.take(page, visible.get(key), answers?.get(tail))
      } catch {
        tail.skip(page.to) // its listeners read there, and get the error
      }
    }
  }

  /** The answers of all working tails, when no expression has to be run for that. */
  async #known({ events }: LogPage): Promise<Map<LogTail, boolean[]> | undefined> {
    const known = new Map<LogTail, boolean[]>()
    for (const tail of [...this.#working]) {
      const { filter } = tail.query.request
      const turn = this.#turns.take(filter.weight * events.length)
      if (turn !== undefined) await turn
      const answers: boolean[] = []
      for (const record of events) {
        const answer = filter.known(record)
        if (answer === undefined) return undefined
        answers.push(answer)
      }
      known.set(tail, answers)
    }
    return known
  }

  #queue(page: LogPage): void {
    const bytes = heldBytes(page)
    const full = this.#pages.length > 0 && this.#waitingBytes + bytes > limits.followed_wait_bytes_max
    if (full || this.#skipTo !== undefined) this.#skipTo = page.to
    else {
      this.#pages.push(page)
      this.#waitingBytes += bytes
    }
    if (!this.#running) void this.#run()
  }

  /** Takes the pages that wait, one after the other. Never rejects. */
  async #run(): Promise<void> {
    this.#running = true
    for (;;) {
      const page = this.#pages.shift()
      if (page !== undefined) {
        await this.#match(page)
        this.#waitingBytes -= heldBytes(page)
      } else if (this.#skipTo !== undefined) {
        const to = this.#skipTo
        this.#skipTo = undefined
        for (const tail of [...this.#working]) tail.skip(to)
      } else break
    }
    // No await since the last look: the next page begins a new run.
    this.#running = false
  }

  /** Matches first and looks for what is visible then: rules may change while it works. */
  async #match(page: LogPage): Promise<void> {
    const { events } = page
    const matched = new Map<LogTail, boolean[]>()
    for (const tail of [...this.#working]) {
      const filtering = new Filtering(tail.query.request.filter, false, this.#turns)
      const answers: boolean[] = []
      try {
        while (answers.length < events.length && this.#working.has(tail)) {
          answers.push(...(await filtering.next(events, answers.length, undefined)))
        }
        if (this.#working.has(tail)) matched.set(tail, answers)
      } catch {
        tail.skip(page.to) // as in #offer
      }
    }
    await this.#offer(page, matched.keys(), matched)
  }
}

function heldBytes({ events }: LogPage): number {
  return events.reduce((sum, { bytes }) => sum + bytes.length, 0)
}
