/**
 * One live reader. It registers with the tail first, then reads the backlog up to it, then follows it, so that no event
 * is missed in between.
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
  /** Events looked at in one page while catching up. */
  readonly readBatch?: number | undefined
}

/** What a subscription is made of: what is read, how, and for which connection. */
export interface SubscriptionRequest {
  readonly query: LiveQuery
  readonly options: SubscriptionOptions
  readonly connection: Connection
  /** The consumer that the subscription reads for; undefined: none. */
  readonly progress?: ProgressListener | undefined
  /** Called once, when the subscription has ended. */
  readonly onClosed?: ((ended: EndedConnection) => void) | undefined
}

export interface SubscriptionParts {
  readonly reader: Reader
  readonly tails: Tails
  /** Large events that are read for it are counted there. */
  readonly memory: MemoryBudget
  readonly clock: Clock
  readonly metrics: Metrics
  /** A connection that takes nothing for so long is closed, milliseconds. */
  readonly drainMs: number
}

export class Subscription {
  readonly id: number
  readonly query: LiveQuery
  readonly connection: Connection
  readonly machine: Machine
  /** When it began, milliseconds since 1970. */
  readonly since: number
  readonly #parts: SubscriptionParts
  readonly #options: SubscriptionOptions
  readonly #progress: ProgressListener | undefined
  readonly #onClosed: ((ended: EndedConnection) => void) | undefined
  readonly #delivery: Delivery
  readonly #backlog: Backlog
  readonly #memory: ReadMemory
  #leaveTail = () => {}
  /** When statistics were last sent, and when a checkpoint last could be: milliseconds of the monotonic clock. */
  #statisticsAt: number
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

  /** It reads for no consumer. */
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

  /** Begins to read. An error closes the subscription. */
  start(): void {
    this.checkRight(undefined) // it may have been revoked while the connection was made
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

  /** Closes the subscription with an error; one without a code counts as `internal`. */
  fail(error: Error): void {
    const coded = isDaybookError(error) ? error : new DaybookError('internal', error.message, {}, error)
    this.close(coded, coded.code === 'stream-deleted')
  }

  /** Tells the client why, and ends the connection. @param final reconnecting would give nothing more */
  close(error: DaybookError, final = false): void {
    this.#close(error, this.machine.done, final)
  }

  /** The connection is gone. @param detail how, in a sentence */
  ended(detail = 'The client closed the connection, or it broke.'): void {
    if (!this.closed) this.#end(undefined, detail)
  }

  /**
   * Checks the right again after rules or accounts have changed. A reader who has lost it is told so before anything
   * else is sent.
   * @param stream whose rules have changed; undefined: perhaps all
   */
  checkRight(stream: string | undefined): void {
    const { right } = this.#options
    if (right === undefined || this.closed) return
    if (right.stream === undefined) {
      // Without a viewer everything is visible, whatever the rules say.
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

  /** Others that share the connection have filled it. */
  filled(): void {
    if (!this.closed) this.#delivery.blockWhenFull()
  }

  /** Sends everything in flight once more. */
  redeliver(): void {
    this.#delivery.redeliver()
  }

  /** Does what has become due. @param now milliseconds of the monotonic clock */
  tick(now: number): void {
    if (this.#delivery.isFull) this.#checkFullConnection(now)
    else if (this.machine.standsStill !== undefined && this.#memory.isWanted) this.#giveWay()
    if (this.closed) return
    const { heartbeat, statistics, until, right } = this.#options
    if ((right?.expires ?? Infinity) <= this.#parts.clock.now()) {
      this.checkRight(undefined)
      if (this.closed) return
    }
    if (heartbeat > 0) this.#delivery.heartbeatIfDue(heartbeat, now)
    if (!this.#delivery.isFull && now - this.#checkpointAt >= limits.checkpoint_told_ms) {
      this.#checkpointAt = now
      this.machine.tellCheckpoint()
    }
    if (statistics !== undefined && now - this.#statisticsAt >= statistics * 1000) {
      this.#statisticsAt = now
      this.#sendStatistics().catch((error) => this.fail(error))
    }
    if (until !== undefined && this.#parts.clock.now() > until + 1000 && this.machine.status === 'live') {
      this.machine.timeIsOver()
    }
    this.#progress?.settled(this.machine.settled)
    this.#progress?.tick()
  }

  /** How far the subscription is behind its source. @throws as lagOf */
  lag(): Promise<Lag> {
    const { address, request } = this.query
    return lagOf(this.#parts, { address, viewer: request.viewer }, this.machine.done)
  }

  /** Drops what was read by the old rules and not sent, and reads it again. */
  #readAgain(): void {
    this.#backlog.release(this.connection.waiting)
    this.machine.readAgain()
  }

  /** Gives back the memory of what was read and cannot be sent now. It is read again. */
  #giveWay(): void {
    this.machine.forget()
    this.#backlog.release(this.connection.waiting)
  }

  /** Waits for a slow connection, and closes one that takes nothing. */
  #checkFullConnection(now: number): void {
    const { drainMs } = this.#parts
    if (this.#delivery.fullFor(now) > limits.buffer_release_ms) this.#giveWay()
    const patience = this.#memory.isWanted ? Math.min(drainMs, limits.drain_wanted_ms) : drainMs
    if (this.#delivery.stalledFor(now) <= patience) return
    const why = `The connection took nothing for ${patience / 1000} s. Come back with the cursor.`
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
    this.#close(new DaybookError('complete', 'Everything that was asked for was sent.'), cursor, true)
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
