/** The common part of live reads that are written as the response of a request, as long as the client stays. */
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
    response.on('error', () => {}) // `close` follows, and ends the subscription
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

  /** Only WebSocket has a frame for statistics. */
  statistics(): void {}

  protected write(text: string): void {
    this.response.write(text, 'latin1')
  }

  /** Leaves the client a while to read what was written last, then cuts the connection. */
  protected cutLater(): void {
    const cancel = this.#clock.after(limits.close_linger_ms, () => this.response.destroy())
    this.response.once('close', cancel)
  }
}
