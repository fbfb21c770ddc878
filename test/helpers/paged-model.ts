/** A store that changes while a client reads it page by page, and a model that knows what each page must show. */
import type { FastifyInstance } from 'fastify'
import { ask } from './app.js'
import type { Random } from './random.js'

export interface PlacedEvent {
  stream: string
  type: string
  number: number
  position: number
  /** Milliseconds. */
  created: number
}

/** A query: what a reader asks for first, and continues with links. */
export interface PageQuery {
  /** Undefined: the whole log. */
  stream?: string | undefined
  matches: (event: PlacedEvent) => boolean
  /** Whether an event is within the bounds. A relative instant is resolved once, when the query is made. */
  within: (event: PlacedEvent) => boolean
}

export const STREAMS = ['cart-1', 'cart-2', 'order-1'] as const
export const TYPES = ['T0', 'T1', 'T2'] as const

export class PagedModel {
  readonly log: PlacedEvent[] = []
  /** The lowest visible number of each stream. */
  readonly #first = new Map<string, number>()
  readonly #app: FastifyInstance
  readonly #random: Random
  readonly #clock: { now: number }

  constructor(app: FastifyInstance, random: Random, clock: { now: number }) {
    this.#app = app
    this.#random = random
    this.#clock = clock
  }

  of(stream: string): PlacedEvent[] {
    return this.log.filter((event) => event.stream === stream)
  }

  /** Returns the visible events of a query, in the order of the log. */
  visible({ stream, matches, within }: PageQuery): PlacedEvent[] {
    return this.log.filter((event) => {
      if (stream !== undefined && event.stream !== stream) return false
      return matches(event) && within(event) && event.number >= (this.#first.get(event.stream) ?? 0)
    })
  }

  /** Acts as another client: appends, truncates a stream, or deletes and revives it. */
  async change(): Promise<void> {
    const what = this.#random.next()
    const stream = this.#random.pick(STREAMS)
    this.#clock.now += 60_000
    if (what < 0.7 || this.of(stream).length < 4) return this.append(stream, this.#random.int(1, 5))
    const { number } = this.of(stream).at(-1) as PlacedEvent
    if (what < 0.9) {
      const first = Math.max(this.#first.get(stream) ?? 0, this.#random.int(0, number))
      await this.#write(`PUT /streams/${stream}/metadata`, { truncateBefore: first })
      this.#first.set(stream, first)
      return
    }
    await this.#write(`DELETE /streams/${stream}`)
    this.#first.set(stream, number + 1)
    return this.append(stream, 1)
  }

  async append(stream: string, count: number): Promise<void> {
    const sent = Array.from({ length: count }, () => ({ type: this.#random.pick(TYPES) }))
    const { events } = (await this.#write(`POST /streams/${stream}`, sent)) as { events: PlacedEvent[] }
    for (const [i, { number, position, created }] of events.entries()) {
      this.log.push({ stream, type: sent[i]?.type ?? '', number, position, created: Date.parse(String(created)) })
    }
  }

  async #write(call: string, body?: unknown): Promise<unknown> {
    const answer = await ask(this.#app, call, {}, body)
    if (answer.statusCode >= 300) throw new Error(`${call} was answered ${answer.statusCode}: ${answer.body}`)
    return answer.body === '' ? undefined : answer.json()
  }
}
