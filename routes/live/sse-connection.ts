/** The connection of a live read as server-sent events (native contract §2), for an EventSource or `curl -N`. */
import type { ServerResponse } from 'node:http'
import type { ReadResult } from '../../src/reading/event-read.js'
import type { Closing, Connection, Redelivery } from '../../src/subscriptions/connection.js'
import type { Clock } from '../../src/time/clock.js'
import { eventBlocks, HEARTBEAT_COMMENT, namedBlock, retryField, type SharedBytes } from '../wire/live/live-frames.js'
import { problemKinds } from '../wire/problems/problem.js'
import type { LivePlan } from './plan-live-read.js'
import { ResponseConnection } from './response-connection.js'

export class SseConnection extends ResponseConnection implements Connection {
  readonly transport = 'sse'
  readonly #typed: boolean
  readonly #shared: SharedBytes

  constructor(
    response: ServerResponse,
    client: string,
    plan: LivePlan,
    clock: Clock,
    shared: { sse: SharedBytes; typed: SharedBytes }
  ) {
    super(response, client, clock)
    this.#typed = plan.query.events === 'typed'
    this.#shared = this.#typed ? shared.typed : shared.sse
    // A connection that breaks before the first event is resumed from the `id` of this block. The block has data,
    // because some clients deliver every block that has an id.
    const { subscribed } = plan
    this.write(retryField() + namedBlock('subscribed', subscribed, subscribed.cursor))
  }

  send(events: readonly ReadResult[], shared: boolean, redelivery?: Redelivery): void {
    const isShared = shared && redelivery === undefined
    this.response.write(this.#shared.of(events, isShared, () => eventBlocks(events, this.#typed, redelivery)))
  }

  caughtUp(cursor: number): void {
    this.#tell('caughtUp', cursor)
  }

  fellBehind(cursor: number): void {
    this.#tell('fellBehind', cursor)
  }

  checkpoint(cursor: number): void {
    this.#tell('checkpoint', cursor)
  }

  heartbeat(): void {
    this.write(HEARTBEAT_COMMENT)
  }

  close({ error: { code, message }, cursor, final }: Closing): void {
    const content = { code, title: problemKinds[code].title, detail: message, cursor: String(cursor) }
    // A new random delay, so that clients that were accepted at the same time do not reconnect at the same time.
    const retry = final ? '' : retryField()
    this.write(retry + namedBlock('closing', content, final ? `${cursor};end` : String(cursor)))
    this.response.end()
    this.cutLater()
  }

  #tell(event: string, cursor: number): void {
    this.write(namedBlock(event, { cursor: String(cursor) }, String(cursor)))
  }
}
