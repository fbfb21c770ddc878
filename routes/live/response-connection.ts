/** The common part of the SSE and NDJSON connections, which write a live read as an HTTP response. */
import type { ServerResponse } from 'node:http'
import { limits } from '../../src/limits.js'
import type { Clock } from '../../src/time/clock.js'
import { queuedBytes } from '../reading/socket-queue.js'

export abstract class ResponseConnection {
  readonly client: string
  protected readonly response: ServerResponse
  readonly #clock: Clock

  constructor(response: ServerResponse, client: string, clock: Clock) {
    this.response = response
    this.client = client
    this.#clock = clock
    response.on('error', () => {}) // ignored: `close` follows and ends the subscription
  }

  get waiting(): number {
    return this.response.writableLength
  }

  get unsent(): number {
    return this.waiting + queuedBytes(this.response.socket)
  }

  drained(callback: () => void): void {
    this.response.once('drain', callback)
  }

  /** Does nothing: only WebSocket has a statistics frame. */
  statistics(): void {}

  protected write(text: string): void {
    this.response.write(text, 'latin1')
  }

  /** Cuts the connection after `close_linger_ms`, in which the client can read the last message. */
  protected cutLater(): void {
    const cancel = this.#clock.after(limits.close_linger_ms, () => this.response.destroy())
    this.response.once('close', cancel)
  }
}
