/** The connection of a live read as NDJSON (native contract §2, `live=true`). */
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
  /** The last cursor that was sent to the client. */
  #sentCursor: number
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
    this.#sentCursor = plan.options.next - 1
    if (plan.attachment === undefined) response.flushHeaders()
    else this.write(plainLine({ subscribed: plan.subscribed }))
  }

  send(events: readonly ReadResult[], shared: boolean, redelivery?: Redelivery): void {
    this.#sentCursor = events.at(-1)?.cursor ?? this.#sentCursor
    this.#events += events.length
    const isShared = shared && redelivery === undefined
    this.response.write(this.#shared.of(events, isShared, () => eventLines(events, redelivery)))
  }

  /** NDJSON has no `caughtUp` line, so this sends only a checkpoint, if the filter has skipped events. */
  caughtUp(cursor: number): void {
    if (cursor > this.#sentCursor) this.checkpoint(cursor)
  }

  fellBehind(): void {}

  checkpoint(cursor: number): void {
    this.#sentCursor = cursor
    this.write(plainLine({ checkpoint: { cursor: String(cursor) } }))
  }

  heartbeat(): void {
    this.write('\n')
  }

  /** Ends a complete read as any response. After an error, sends the problem and cuts the response unfinished. */
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
