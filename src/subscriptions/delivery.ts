import { limits } from '../limits.js'
import type { Metrics } from '../metrics.js'
import type { ReadResult } from '../reading/event-read.js'
import type { Clock } from '../time/clock.js'
import type { Connection, Redelivery } from './connection.js'
import { Machine, type MachineEffects, type MachineOptions } from './machine.js'

/** Follows how far a subscription is. A consumer keeps its place by it. */
export interface ProgressListener {
  /** Everything up to here was dealt with: sent, and acknowledged where acknowledgements are asked for. */
  settled(cursor: number): void
  /** Events up to here were sent. */
  sent(cursor: number): void
  /** Called every `tick_ms`. */
  tick(): void
  /** Everything after a cursor is sent once more. */
  sendsAgain(after: number): void
  /** What was sent before; undefined: nothing. */
  readonly redelivery: Redelivery | undefined
}

/** The effects of the machine that do not concern the connection. */
export type DeliveryEffects = Pick<MachineEffects, 'read' | 'complete'>

export interface DeliveryParts {
  readonly connection: Connection
  readonly progress: ProgressListener | undefined
  readonly clock: Clock
  readonly metrics: Metrics
}

/** A connection whose client takes less than it is sent. */
interface FullConnection {
  /** When it became full, milliseconds of the monotonic clock. */
  readonly begun: number
  /** When bytes were last taken… */
  since: number
  /** …and how many were left then. */
  unsent: number
}

/**
 * Sends what the machine decides to the connection, and holds the machine back while the connection is full or a right
 * is being checked.
 */
export class Delivery implements MachineEffects {
  readonly connection: Connection
  readonly machine: Machine
  readonly #progress: ProgressListener | undefined
  readonly #clock: Clock
  readonly #metrics: Metrics
  readonly #effects: DeliveryEffects
  #full: FullConnection | undefined
  /** Checks of the right that are not answered yet. Nothing is sent until all are. */
  #checks = 0
  /** When the client last heard from us, milliseconds of the monotonic clock. */
  #lastSent: number
  #closed = false

  constructor(
    { connection, progress, clock, metrics }: DeliveryParts,
    options: MachineOptions,
    effects: DeliveryEffects
  ) {
    this.connection = connection
    this.#progress = progress
    this.#clock = clock
    this.#metrics = metrics
    this.#effects = effects
    this.#lastSent = clock.elapsed()
    this.machine = new Machine(this, options)
  }

  get closed(): boolean {
    return this.#closed
  }

  /** The connection has been given more than it passes on. */
  get isFull(): boolean {
    return this.#full !== undefined
  }

  send(events: readonly ReadResult[], shared: boolean): void {
    if (this.#closed) return
    const { cursor } = events.at(-1) as ReadResult
    this.#metrics.read(events.length)
    this.#lastSent = this.#clock.elapsed()
    const redelivery = this.#progress?.redelivery
    const again = redelivery !== undefined && (events[0] as ReadResult).cursor <= redelivery.to
    this.#progress?.sent(cursor)
    this.connection.send(events, shared, again ? redelivery : undefined)
    this.blockWhenFull()
  }

  caughtUp(cursor: number): void {
    if (this.#closed) return
    this.connection.caughtUp(cursor)
    this.blockWhenFull()
  }

  fellBehind(cursor: number): void {
    if (this.#closed) return
    this.connection.fellBehind(cursor)
    this.blockWhenFull()
  }

  checkpoint(cursor: number): void {
    if (this.#closed) return
    this.connection.checkpoint(cursor)
    this.blockWhenFull()
  }

  read(): void {
    this.#effects.read()
  }

  complete(cursor: number): void {
    this.#effects.complete(cursor)
  }

  /** Sends everything in flight once more. */
  redeliver(): void {
    const { settled } = this.machine
    this.#progress?.sendsAgain(settled)
    this.machine.rewind(settled)
  }

  /** Sends a heartbeat when nothing was sent for so many seconds. @param now milliseconds of the monotonic clock */
  heartbeatIfDue(seconds: number, now: number): void {
    if (now - this.#lastSent < seconds * 1000) return
    this.#lastSent = now
    if (!this.isFull) this.connection.heartbeat()
  }

  /** Sends nothing until `release` was called as often. */
  hold(): void {
    this.#checks++
    this.machine.blocked()
  }

  release(): void {
    this.#checks--
    this.#resume()
  }

  /**
   * How long the connection has been full, milliseconds; 0 when it is not.
   * @param now milliseconds of the monotonic clock
   */
  fullFor(now: number): number {
    return this.#full === undefined ? 0 : now - this.#full.begun
  }

  /**
   * How long a full connection has taken nothing at all, milliseconds.
   * @param now milliseconds of the monotonic clock
   */
  stalledFor(now: number): number {
    if (this.#full === undefined) return 0
    const { unsent } = this.connection
    if (unsent < this.#full.unsent) {
      this.#full.since = now
      this.#full.unsent = unsent
    }
    return now - this.#full.since
  }

  /** Sends nothing more. */
  close(): void {
    this.#closed = true
  }

  /** Stops when the connection is full: others that share it may have filled it. */
  blockWhenFull(): void {
    if (this.#full !== undefined || this.connection.waiting <= limits.connection_buffer_bytes_max) return
    const now = this.#clock.elapsed()
    this.#full = { begun: now, since: now, unsent: this.connection.unsent }
    this.machine.blocked()
    this.connection.drained(() => {
      this.#full = undefined
      this.#resume()
    })
  }

  #resume(): void {
    if (this.#checks === 0 && this.#full === undefined && !this.#closed) this.machine.drained()
  }
}
