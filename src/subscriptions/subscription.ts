/**
 * One live reader. It registers with the tail first, then reads the backlog up to the tail, then follows the tail. So
 * it misses no event in between.
 */

import { DaybookError, isDaybookError } from '../errors.js'
import { limits } from '../limits.js'
import type { MemoryBudget } from '../memory/memory-budget.js'
import type { Metrics } from '../metrics.js'
import type { Span } from '../reading/event-read.js'
import { ReadMemory } from '../reading/read-memory.js'
import type { Reader } from '../reading/reader.js'
import type { Clock } from '../time/clock.js'
import { Backlog } from './backlog.js'
import type { Connection, EndedConnection } from './connection.js'
import { Delivery, type ProgressListener } from './delivery.js'
import { type Lag, lagOf } from './lag.js'
import type { LiveQuery } from './live-query.js'
import type { LiveRight } from './live-right.js'
import type { Machine, MachineOptions } from './machine.js'
import type { Tails } from './tails.js'

export interface SubscriptionOptions extends MachineOptions {
  /** Undefined: the right cannot be revoked. */
  readonly right?: LiveRight | undefined
  /** Seconds between heartbeats; 0: none. */
  readonly heartbeat: number
  /** Seconds between statistics; undefined: none. */
  readonly statistics?: number | undefined
  /** Maximum events examined for one page while catching up. */
  readonly readBatch?: number | undefined
}

/** A request for a subscription: the query, its options, and the connection. */
export interface SubscriptionRequest {
  readonly query: LiveQuery
  readonly options: SubscriptionOptions
  readonly connection: Connection
  /** The consumer that the subscription reads for. Undefined: none. */
  readonly progress?: ProgressListener | undefined
  /** Called once, when the subscription has ended. */
  readonly onClosed?: ((ended: EndedConnection) => void) | undefined
}

export interface SubscriptionParts {
  readonly reader: Reader
  readonly tails: Tails
  /** Counts the memory of large events that are read for the subscription. */
  readonly memory: MemoryBudget
  readonly clock: Clock
  readonly metrics: Metrics
  /** A connection that accepts no bytes for this time is closed, milliseconds. */
  readonly drainMs: number
}

export class Subscription {
  readonly id: number
  readonly query: LiveQuery
  readonly connection: Connection
  readonly machine: Machine
  /** Start time, milliseconds since 1970. */
  readonly since: number
  readonly #parts: SubscriptionParts
  readonly #options: SubscriptionOptions
  readonly #progress: ProgressListener | undefined
  readonly #onClosed: ((ended: EndedConnection) => void) | undefined
  readonly #delivery: Delivery
  readonly #backlog: Backlog
  readonly #memory: ReadMemory
  #leaveTail = () => {}
  /** When statistics were last sent, milliseconds of the monotonic clock. */
  #statisticsAt: number
  /** When a checkpoint was last considered, milliseconds of the monotonic clock. */
  #checkpointAt = 0

  constructor(parts: SubscriptionParts, id: number, request: SubscriptionRequest) {
    const { query, options, connection, progress, onClosed } = request
    const { reader, memory, clock, metrics } = parts
    this.#parts = parts
    this.id = id
    this.query = query
    this.connection = connection
    this.#options = options
    this.#progress = progress
    this.#onClosed = onClosed
    this.since = clock.now()
    this.#statisticsAt = clock.elapsed()
    this.#delivery = new Delivery({ connection, progress, clock, metrics }, options, {
      read: () => this.#backlog.read(),
      complete: (cursor) => this.#complete(cursor)
    })
    this.machine = this.#delivery.machine
    const { machine } = this
    const onFailed = (error: Error) => this.fail(error)
    const { transfer_bytes: step, large_transfer_bytes: large } = limits
    this.#memory = new ReadMemory(memory, { free: 2 * step, large })
    const read = { reader, query, batchSize: options.readBatch, memory: this.#memory }
    this.#backlog = new Backlog({ ...read, machine, onFailed })
  }

  /** True when the subscription does not read for a consumer. */
  get isAnonymous(): boolean {
    return this.#progress === undefined
  }

  /** Login of the reader; undefined: not signed in. */
  get login(): string | undefined {
    return this.#options.right?.login
  }

  get closed(): boolean {
    return this.#delivery.closed
  }

  /** Starts reading. An error closes the subscription. */
  start(): void {
    this.checkRight(undefined) // it may have been revoked while the connection was opened
    if (this.closed) return
    const listener = {
      offered: (page: Span) => this.machine.offered(page),
      failed: (error: Error) => this.fail(error)
    }
    this.#parts.tails.follow(this.query, listener).then(
      ({ tail, leave }) => {
        if (this.closed) return leave()
        this.#leaveTail = leave
        this.#backlog.endAt(tail)
        this.machine.begin()
      },
      (error: Error) => this.fail(error)
    )
  }

  /** Closes the subscription with an error. An error without a code becomes `internal`. */
  fail(error: Error): void {
    const coded = isDaybookError(error) ? error : new DaybookError('internal', error.message, {}, error)
    this.close(coded, coded.code === 'stream-deleted')
  }

  /** Sends the reason to the client and closes the connection. @param final reconnecting would return no more events */
  close(error: DaybookError, final = false): void {
    this.#close(error, this.machine.done, final)
  }

  /** Ends the subscription after the connection has ended. @param detail the reason, in a sentence */
  ended(detail = 'The client closed the connection, or it broke.'): void {
    if (!this.closed) this.#end(undefined, detail)
  }

  /**
   * Checks the right to read again after access rules or accounts have changed. If the right was lost, the subscription
   * closes before it sends any more events.
   * @param stream the stream whose rules changed. Undefined: possibly all streams
   */
  checkRight(stream: string | undefined): void {
    const { right } = this.#options
    if (right === undefined || this.closed) return
    if (right.stream === undefined) {
      // Without a viewer all events are visible under any rules.
      if (this.query.request.viewer !== undefined) this.#readAgain()
    } else if (stream !== undefined && right.stream !== stream) return
    const refusal = right.refusal()
    if (!(refusal instanceof Promise)) {
      if (refusal !== undefined) this.close(refusal)
      return
    }
    this.#delivery.hold()
    refusal.then(
      (refused) => {
        if (refused !== undefined) this.close(refused)
        else this.#delivery.release()
      },
      (error: Error) => this.fail(error)
    )
  }

  /** Must be called when other subscriptions on the connection may have filled it. */
  filled(): void {
    if (!this.closed) this.#delivery.blockWhenFull()
  }

  /** Sends all events in flight again. */
  redeliver(): void {
    this.#delivery.redeliver()
  }

  /** Runs all periodic tasks that are due. @param now milliseconds of the monotonic clock */
  tick(now: number): void {
    if (this.#delivery.isFull) this.#checkFullConnection(now)
    else if (this.machine.standsStill !== undefined && this.#memory.isWanted) this.#releaseMemory()
    if (this.closed) return
    const { heartbeat, statistics, until, right } = this.#options
    if ((right?.expires ?? Infinity) <= this.#parts.clock.now()) {
      this.checkRight(undefined)
      if (this.closed) return
    }
    if (heartbeat > 0) this.#delivery.heartbeatIfDue(heartbeat, now)
    if (!this.#delivery.isFull && now - this.#checkpointAt >= limits.checkpoint_interval_ms) {
      this.#checkpointAt = now
      this.machine.sendCheckpoint()
    }
    if (statistics !== undefined && now - this.#statisticsAt >= statistics * 1000) {
      this.#statisticsAt = now
      this.#sendStatistics().catch((error) => this.fail(error))
    }
    if (until !== undefined && this.#parts.clock.now() > until + 1000 && this.machine.status === 'live') {
      this.machine.untilReached()
    }
    this.#progress?.settled(this.machine.settled)
    this.#progress?.tick()
  }

  /** Returns how far the subscription is behind its source. @throws as `lagOf` */
  lag(): Promise<Lag> {
    const { address, request } = this.query
    return lagOf(this.#parts, { address, viewer: request.viewer }, this.machine.done)
  }

  /** Drops unsent events that were read under the old access rules, and reads them again. */
  #readAgain(): void {
    this.#backlog.release(this.connection.waiting)
    this.machine.readAgain()
  }

  /** Releases the memory of events that cannot be sent now. They are read again later. */
  #releaseMemory(): void {
    this.machine.dropUnsent()
    this.#backlog.release(this.connection.waiting)
  }

  /** Waits for a slow connection. Closes it when it accepts no bytes for too long. */
  #checkFullConnection(now: number): void {
    const { drainMs } = this.#parts
    if (this.#delivery.fullFor(now) > limits.buffer_release_ms) this.#releaseMemory()
    const timeout = this.#memory.isWanted ? Math.min(drainMs, limits.drain_wanted_ms) : drainMs
    if (this.#delivery.stalledFor(now) <= timeout) return
    const why = `The connection accepted no data for ${timeout / 1000} s. Reconnect with the cursor.`
    this.close(new DaybookError('too-slow', why, { retry: true }))
  }

  async #sendStatistics(): Promise<void> {
    const { machine } = this
    const { status, sent, buffered, inFlight, credit } = machine
    const lag = await this.lag().catch(() => undefined)
    if (this.closed || lag === undefined) return
    this.connection.statistics({ cursor: machine.done, status, sent, buffered, inFlight, credit, lag })
  }

  #complete(cursor: number): void {
    this.#close(new DaybookError('complete', 'All requested events were sent.'), cursor, true)
  }

  #close(error: DaybookError, cursor: number, final: boolean): void {
    if (this.closed) return
    this.connection.close({ error, cursor, final })
    this.#end(error.code, error.message)
  }

  #end(code: string | undefined, detail: string): void {
    this.#delivery.close()
    this.#leaveTail()
    this.#backlog.close()
    const { transport, client } = this.connection
    this.#onClosed?.({ transport, client, since: this.since, ended: this.#parts.clock.now(), code, detail })
  }
}
