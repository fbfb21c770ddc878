import { limits } from '../limits.js'
import type { Metrics } from '../metrics.js'
import type { ReadResult } from '../reading/event-read.js'
import type { Clock } from '../time/clock.js'
import type { Connection, Redelivery } from './connection.js'
import { Machine, type MachineEffects, type MachineOptions } from './machine.js'

/** Receives the progress of a subscription. A consumer saves its position from it. */
export interface ProgressListener {
  /** All events up to this cursor are done: sent, and acknowledged if acknowledgements are required. */
  settled(cursor: number): void
  /** Events up to this cursor were sent. */
  sent(cursor: number): void
  /** Called every `tick_ms`. */
  tick(): void
  /** All events after a cursor are about to be sent again. */
  sendsAgain(after: number): void
  /** Events that were sent before. Undefined: none. */
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

/** State of a connection whose client receives more slowly than the server sends. */
interface FullConnection {
  /** When it became full, milliseconds of the monotonic clock. */
  readonly begun: number
  /** When `unsent` last decreased, milliseconds of the monotonic clock. */
  since: number
  /** Value of `connection.unsent` at that time. */
  unsent: number
}

/**
 * Carries out the machine's effects on the connection. Blocks the machine while the connection is full or the right to
 * read is being checked.
 */
export class Delivery implements MachineEffects {
  readonly connection: Connection
  readonly machine: Machine
  readonly #progress: ProgressListener | undefined
  readonly #clock: Clock
  readonly #metrics: Metrics
  readonly #effects: DeliveryEffects
  #full: FullConnection | undefined
  /** Number of pending checks of the right to read. Nothing is sent until all are done. */
  #checks = 0
  /** When something was last sent to the client, milliseconds of the monotonic clock. */
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

  /** True while the connection's send buffer is full. */
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

  /** Sends all events in flight again. */
  redeliver(): void {
    const { settled } = this.machine
    this.#progress?.sendsAgain(settled)
    this.machine.rewind(settled)
  }

  /** Sends a heartbeat if nothing was sent for so many seconds. @param now milliseconds of the monotonic clock */
  heartbeatIfDue(seconds: number, now: number): void {
    if (now - this.#lastSent < seconds * 1000) return
    this.#lastSent = now
    if (!this.isFull) this.connection.heartbeat()
  }

  /** Blocks sending. Each call needs its own call of `release`. */
  hold(): void {
    this.#checks++
    this.machine.blocked()
  }

  release(): void {
    this.#checks--
    this.#resume()
  }

  /**
   * Returns how long the connection has been full, milliseconds; 0 when it is not full.
   * @param now milliseconds of the monotonic clock
   */
  fullFor(now: number): number {
    return this.#full === undefined ? 0 : now - this.#full.begun
  }

  /**
   * Returns how long a full connection has accepted no bytes at all, milliseconds; 0 when it is not full.
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

  /** Stops sending. */
  close(): void {
    this.#closed = true
  }

  /** Blocks the machine when the connection is full. Other subscriptions on the connection may have filled it. */
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
