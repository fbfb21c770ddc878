/** A live reader line by line (native contract §2, NDJSON with `live=true`). */
import type { ServerResponse } from 'node:http'
import type { FastifyRequest } from 'fastify'
import type { ReadResult } from '../../src/reading/event-read.js'
import type { Closing, Connection, Redelivery } from '../../src/subscriptions/connection.js'
import type { Clock } from '../../src/time/clock.js'
import { eventLines, plainLine, type SharedBytes } from '../wire/live/live-frames.js'
import { problemOf } from '../wire/problems/problem.js'
import type { LivePlan } from './plan-live-read.js'
import { ResponseConnection } from './response-connection.js'

export class NdjsonConnection extends ResponseConnection implements Connection {
  readonly transport = 'ndjson'
  readonly #request: Pick<FastifyRequest, 'id' | 'prefix'>
  readonly #trailer: boolean
  readonly #shared: SharedBytes
  /** The last cursor that the reader was sent. */
  #told: number
  #events = 0

  constructor(
    response: ServerResponse,
    request: Pick<FastifyRequest, 'ip' | 'id' | 'prefix'>,
    plan: LivePlan,
    clock: Clock,
    shared: SharedBytes
  ) {
    super(response, request.ip, clock)
    this.#request = request
    this.#trailer = plan.query.trailer ?? false
    this.#shared = shared
    this.#told = plan.options.next - 1
    if (plan.attachment === undefined) response.flushHeaders()
    else this.write(plainLine({ subscribed: plan.subscribed }))
  }

  send(events: readonly ReadResult[], shared: boolean, redelivery?: Redelivery): void {
    this.#told = events.at(-1)?.cursor ?? this.#told
    this.#events += events.length
    const isShared = shared && redelivery === undefined
    this.response.write(this.#shared.of(events, isShared, () => eventLines(events, redelivery)))
  }

  /** The reader is only told how far the filter has looked. */
  caughtUp(cursor: number): void {
    if (cursor > this.#told) this.checkpoint(cursor)
  }

  fellBehind(): void {}

  checkpoint(cursor: number): void {
    this.#told = cursor
    this.write(plainLine({ checkpoint: { cursor: String(cursor) } }))
  }

  heartbeat(): void {
    this.write('\n')
  }

  /** A complete read ends as any response. After an error the last line is the problem, and the response is cut unfinished. */
  close({ error, cursor }: Closing): void {
    this.cutLater()
    if (error.code === 'complete') {
      if (this.#trailer) this.write(plainLine({ end: { cursor: String(cursor), events: this.#events } }))
      this.response.end()
      return
    }
    const problem = { ...problemOf(error, this.#request), cursor: String(cursor) }
    this.response.write(plainLine({ problem }), 'latin1', () => this.response.destroy())
  }
}
