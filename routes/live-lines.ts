/** A live reader line by line (native contract §2, NDJSON with `live=true`). */
import type { ServerResponse } from 'node:http'
import type { FastifyRequest } from 'fastify'
import type { Clock } from '../src/clock.js'
import { limits } from '../src/limits.js'
import type { Found } from '../src/streams/source.js'
import type { Closing, Connection } from '../src/subscriptions/subscription.js'
import type { LivePlan } from './live-plan.js'
import { queuedBytes } from './queued-bytes.js'
import { eventLines, plainLine, type SharedBytes } from './wire/live-frames.js'
import { problemOf } from './wire/problem.js'

export class LineConnection implements Connection {
  readonly transport = 'ndjson'
  readonly client: string
  readonly #response: ServerResponse
  readonly #clock: Clock
  readonly #requestId: string
  readonly #trailer: boolean
  readonly #shared: SharedBytes
  /** The last cursor that the reader knows of. */
  #told: number
  #events = 0

  constructor(
    response: ServerResponse,
    request: Pick<FastifyRequest, 'ip' | 'id'>,
    { options, head, attachment, query }: LivePlan,
    clock: Clock,
    shared: SharedBytes
  ) {
    this.client = request.ip
    this.#response = response
    this.#clock = clock
    this.#requestId = request.id
    this.#trailer = query.trailer ?? false
    this.#shared = shared
    this.#told = options.next - 1
    response.on('error', () => {}) // it is closed then, and that is heard
    if (attachment === undefined) response.flushHeaders()
    else {
      const consumer = { name: attachment.consumer.name, generation: attachment.generation }
      this.#write(plainLine({ subscribed: { cursor: String(this.#told), head: head < 0 ? null : head, consumer } }))
    }
  }

  get waiting(): number {
    return this.#response.writableLength
  }

  get unsent(): number {
    return this.waiting + queuedBytes(this.#response.socket)
  }

  drained(callback: () => void): void {
    this.#response.once('drain', callback)
  }

  send(events: readonly Found[], shared: boolean): void {
    this.#told = events.at(-1)?.cursor ?? this.#told
    this.#events += events.length
    this.#response.write(this.#shared.of(events, shared, () => eventLines(events)))
  }

  /** Says nothing but how far the filter has looked. */
  caughtUp(cursor: number): void {
    if (cursor > this.#told) this.checkpoint(cursor)
  }

  fellBehind(): void {}

  checkpoint(cursor: number): void {
    this.#told = cursor
    this.#write(plainLine({ checkpoint: { cursor: String(cursor) } }))
  }

  heartbeat(): void {
    this.#write('\n')
  }

  statistics(): void {}

  /** Whole, it ends as any answer. What breaks it is its last line, and the transfer is cut without its end. */
  close({ error, cursor }: Closing): void {
    const response = this.#response
    const cancel = this.#clock.after(limits.last_words_ms, () => response.destroy())
    response.once('close', cancel)
    if (error.code === 'complete') {
      if (this.#trailer) this.#write(plainLine({ end: { cursor: String(cursor), events: this.#events } }))
      response.end()
      return
    }
    const problem = { ...problemOf(error, this.#requestId), cursor: String(cursor) }
    response.write(plainLine({ problem }), 'latin1', () => response.destroy())
  }

  #write(text: string): void {
    this.#response.write(text, 'latin1')
  }
}
