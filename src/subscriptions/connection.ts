/** The connection of a live reader, as the subscription sees it: WebSocket, event stream or NDJSON. */

import type { DaybookError } from '../errors.js'
import type { ReadResult } from '../reading/event-read.js'
import type { Lag } from './lag.js'

/** Whatever a connection is told it sends at once. None of its methods throws. */
export interface Connection {
  readonly transport: 'websocket' | 'sse' | 'ndjson'
  /** Address of the client, as far as it is known. */
  readonly client: string
  /** Bytes that were written to the socket and not flushed; a write counts until all of it is flushed. */
  readonly waiting: number
  /** Bytes that the kernel has not taken yet. Falls while a slow client takes even a part of a write. */
  readonly unsent: number
  /** Calls back once, when `waiting` is 0 again. */
  drained(callback: () => void): void
  /**
   * @param shared other subscriptions get the very same events in the same form, so the bytes can be shared
   * @param redelivery set when some of them were sent before
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

/** Which events a consumer's readers were sent before, and did not acknowledge. */
export interface Redelivery {
  /** Events after this cursor are sent for the first time. */
  readonly to: number
  /** How often the event at a cursor was sent before. */
  retryCount(cursor: number): number
}

/** Why a subscription ends. */
export interface Closing {
  readonly error: DaybookError
  /** Everything up to here was sent: the client resumes after it. */
  readonly cursor: number
  /** Reconnecting would give nothing more. */
  readonly final: boolean
}

/** A connection that has ended, and why. */
export interface EndedConnection {
  readonly transport: Connection['transport']
  readonly client: string
  /** When it began, and when it ended: milliseconds since 1970. */
  readonly since: number
  readonly ended: number
  /** The code of the problem with which the server ended it; undefined: the client closed it, or it broke. */
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
