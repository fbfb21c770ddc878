/**
 * All tails of the log. Each receives every page of the dispatcher. Tails whose filter has expressions are slow: they
 * process pages from a queue, so that the other tails do not wait for them.
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
  readonly #slow = new Set<LogTail>()
  /** Pages queued for the slow tails. */
  readonly #pages: LogPage[] = []
  #queuedBytes = 0
  /** Pages up to this position were dropped because the queue was full. They become a gap. */
  #skipTo: number | undefined
  #running = false

  constructor(reader: Reader, turns: SharedTurns) {
    this.#reader = reader
    this.#turns = turns
  }

  get size(): number {
    return this.#light.size + this.#slow.size
  }

  add(tail: LogTail): void {
    this.#setOf(tail).add(tail)
  }

  delete(tail: LogTail): void {
    this.#setOf(tail).delete(tail)
  }

  /** Passes a page to the tails. Resolves when the next page may come. */
  async take(page: LogPage): Promise<void> {
    if (this.#light.size > 0) await this.#offer(page, [...this.#light])
    if (this.#slow.size === 0) return
    const known = this.#running ? undefined : await this.#known(page)
    if (known !== undefined) await this.#offer(page, known.keys(), known)
    else this.#queue(page)
  }

  #setOf({ query }: LogTail): Set<LogTail> {
    return query.request.filter.hasExpressions ? this.#slow : this.#light
  }

  /** @param answers for each tail, which events match. Undefined: each tail applies its filter */
  async #offer(
    page: LogPage,
    tails: Iterable<LogTail>,
    answers?: ReadonlyMap<LogTail, readonly boolean[]>
  ): Promise<void> {
    // Visibility of the events by viewer. It is computed once for all tails of a viewer.
    const visible = new Map<string, boolean[] | undefined>()
    for (const tail of tails) {
      const { truncated, viewer, filter } = tail.query.request
      const turn = this.#turns.take(filter.weight * page.events.length)
      if (turn !== undefined) {
        await turn
        visible.clear() // access rules may have changed
      }
      const key = `${truncated} ${viewer?.key ?? ''}`
      try {
        if (!visible.has(key)) visible.set(key, await this.#reader.seen(page.events, { truncated, viewer }))
        tail.take(page, visible.get(key), answers?.get(tail))
      } catch {
        tail.skip(page.to) // its listeners read these events from the log, and get the error there
      }
    }
  }

  /** Returns the cached answers for all slow tails; undefined when an expression has to run. */
  async #known({ events }: LogPage): Promise<Map<LogTail, boolean[]> | undefined> {
    const known = new Map<LogTail, boolean[]>()
    for (const tail of [...this.#slow]) {
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
    const full = this.#pages.length > 0 && this.#queuedBytes + bytes > limits.followed_wait_bytes_max
    if (full || this.#skipTo !== undefined) this.#skipTo = page.to
    else {
      this.#pages.push(page)
      this.#queuedBytes += bytes
    }
    if (!this.#running) void this.#run()
  }

  /** Processes the queued pages one by one. Never rejects. */
  async #run(): Promise<void> {
    this.#running = true
    for (;;) {
      const page = this.#pages.shift()
      if (page !== undefined) {
        await this.#match(page)
        this.#queuedBytes -= heldBytes(page)
      } else if (this.#skipTo !== undefined) {
        const to = this.#skipTo
        this.#skipTo = undefined
        for (const tail of [...this.#slow]) tail.skip(to)
      } else break
    }
    // There was no await since the queue was found empty. The next page starts a new run.
    this.#running = false
  }

  /** Matches events before it checks their visibility, because access rules may change during the matching. */
  async #match(page: LogPage): Promise<void> {
    const { events } = page
    const matched = new Map<LogTail, boolean[]>()
    for (const tail of [...this.#slow]) {
      const filtering = new Filtering(tail.query.request.filter, false, this.#turns)
      const answers: boolean[] = []
      try {
        while (answers.length < events.length && this.#slow.has(tail)) {
          answers.push(...(await filtering.next(events, answers.length, undefined)))
        }
        if (this.#slow.has(tail)) matched.set(tail, answers)
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
