/** The connection of a live reader, as the subscription sees it: WebSocket, event stream or NDJSON. */

import type { DaybookError } from '../errors.js'
import type { ReadResult } from '../reading/event-read.js'
import type { Lag } from './lag.js'

/** Sends each message at once. None of its methods throws. */
export interface Connection {
  readonly transport: 'websocket' | 'sse' | 'ndjson'
  /** Address of the client, if known. */
  readonly client: string
  /** Bytes of writes that are not flushed. A write counts in full until all of it is flushed. */
  readonly waiting: number
  /** Bytes that the kernel has not accepted. Decreases even while a slow client has received only part of a write. */
  readonly unsent: number
  /** Calls back once, when `waiting` is 0. */
  drained(callback: () => void): void
  /**
   * @param shared other subscriptions send the same array in the same form, so the encoded bytes can be shared
   * @param redelivery set when some of the events were sent before
   */
  send(events: readonly ReadResult[], shared: boolean, redelivery?: Redelivery): void
  caughtUp(cursor: number): void
  fellBehind(cursor: number): void
  checkpoint(cursor: number): void
  heartbeat(): void
  statistics(statistics: Statistics): void
  /** Tells the client why the subscription ends, and closes the connection. */
  close(closing: Closing): void
}

/** Which events were sent to a consumer's readers before without being acknowledged. */
export interface Redelivery {
  /** Events after this cursor are sent for the first time. */
  readonly to: number
  /** Returns how often the event at a cursor was sent before. */
  retryCount(cursor: number): number
}

/** Why a subscription ends. */
export interface Closing {
  readonly error: DaybookError
  /** All matching events up to this cursor were sent. The client resumes after it. */
  readonly cursor: number
  /** True when reconnecting would return no more events. */
  readonly final: boolean
}

/** A connection that has ended, with the reason. */
export interface EndedConnection {
  readonly transport: Connection['transport']
  readonly client: string
  /** Start and end, milliseconds since 1970. */
  readonly since: number
  readonly ended: number
  /** Code of the problem with which the server closed it. Undefined: the client closed it, or the connection broke. */
  readonly code: string | undefined
  readonly detail: string
}

/** The statistics frame (native contract §5). */
export interface Statistics {
  readonly cursor: number
  readonly status: string
  readonly sent: number
  readonly buffered: number
  readonly inFlight: number
  readonly credit: number
  readonly lag: Lag
}
