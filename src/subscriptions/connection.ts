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
   * @param redelivery set while events are sent once more
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

/** Events at or before the cursor `to` are sent again; `retry` counts how often that was done. */
export interface Redelivery {
  readonly retry: number
  readonly to: number
}

/** Why a subscription ends. */
export interface Closing {
  readonly error: DaybookError
  /** Everything up to here was sent: the client resumes after it. */
  readonly cursor: number
  /** Reconnecting would give nothing more. */
  readonly final: boolean
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
