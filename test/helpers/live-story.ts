/** A random story for the state machine of a subscription, which must not lose or repeat an event. */
import { Machine } from '../../src/subscriptions/machine.js'
import { lightSpan } from './live-events.js'
import type { Random } from './random.js'

/** Feeds a machine from a log that grows, a tail that loses pages and a reader that is slow. */
export class Story {
  readonly sent: number[] = []
  wrong: string | undefined
  readonly #random: Random
  readonly #machine: Machine
  readonly #log: boolean[] = []
  /** The first cursor that the tail has not offered. */
  #tail = 0
  #wantsRead = false

  constructor(random: Random) {
    this.#random = random
    const maybe = (value: number) => (random.chance(0.5) ? value : undefined)
    const credit = maybe(random.int(0, 5))
    const window = maybe(random.int(1, 5))
    const machine = new Machine(
      {
        send: (events) => {
          for (const { cursor } of events) this.#take(cursor)
          if (random.chance(0.2)) machine.blocked()
        },
        caughtUp: (cursor) => this.#checkCursor(cursor),
        fellBehind: (cursor) => this.#checkCursor(cursor),
        checkpoint: (cursor) => this.#checkCursor(cursor),
        read: () => {
          this.#wantsRead = true
        },
        complete: () => this.#fail('the subscription completed, although it has no end')
      },
      { next: 0, credit, window, liveBuffer: random.int(1, 10), checkpointEvery: random.int(1, 20) }
    )
    this.#machine = machine
    machine.begin()
  }

  get matching(): number[] {
    return this.#log.flatMap((matches, cursor) => (matches ? [cursor] : []))
  }

  step(): void {
    const machine = this.#machine
    const random = this.#random
    const choice = random.int(0, 9)
    if (choice < 3) this.#append()
    else if (choice < 6) this.#read()
    else if (choice === 6) machine.grant(random.int(1, 4))
    else if (choice === 7) machine.acknowledged(random.int(0, Math.max(0, this.sent.at(-1) ?? 0)))
    else if (choice === 8) machine.drained()
    else machine.sendCheckpoint()
  }

  /** Removes everything that holds the machine up, and runs it to the end of the log. */
  finish(): void {
    const end = this.#log.length
    this.#machine.grant(1_000_000)
    // If the last page was lost, an empty page after it reveals the gap.
    this.#machine.offered(lightSpan(end, end - 1, []))
    for (let i = 0; i < 10_000 && this.#machine.done < this.#log.length - 1; i++) {
      this.#machine.drained()
      this.#machine.acknowledged(this.#log.length)
      this.#read()
    }
  }

  #append(): void {
    const from = this.#log.length
    const count = this.#random.int(1, 8)
    for (let i = 0; i < count; i++) this.#log.push(this.#random.chance(0.6))
    this.#tail = this.#log.length
    // A page that is lost leaves a gap before the next one.
    if (this.#random.chance(0.8)) this.#machine.offered(this.#span(from, this.#tail - 1))
  }

  #read(): void {
    if (!this.#wantsRead || !this.#machine.wantsRead) return
    this.#wantsRead = false
    const { next } = this.#machine
    if (next >= this.#tail) this.#machine.caughtUp()
    else this.#machine.onPage(this.#span(next, Math.min(this.#log.length - 1, next + this.#random.int(0, 12))))
  }

  #span(from: number, to: number) {
    const cursors = Array.from({ length: to - from + 1 }, (_, i) => from + i)
    return lightSpan(
      from,
      to,
      cursors.filter((cursor) => this.#log[cursor])
    )
  }

  #take(cursor: number): void {
    if (cursor <= (this.sent.at(-1) ?? -1)) this.#fail(`${cursor} was sent after ${this.sent.at(-1)}`)
    this.sent.push(cursor)
  }

  /** Checks a cursor that was reported: it is within the log, and the last match up to it is the last event sent. */
  #checkCursor(cursor: number): void {
    if (cursor >= this.#log.length) this.#fail(`${cursor} is beyond the end of the log`)
    const last = this.#log.lastIndexOf(true, cursor)
    if (last >= 0 && last !== this.sent.at(-1))
      this.#fail(`at ${cursor}, ${last} was not sent; ${this.sent.at(-1)} was`)
  }

  #fail(why: string): void {
    this.wrong ??= why
  }
}
