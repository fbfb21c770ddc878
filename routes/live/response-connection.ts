/** What live reads over the answer of a request have in common: it is written as long as the client stays. */
import type { ServerResponse } from 'node:http'
import { limits } from '../../src/limits.js'
import type { Clock } from '../../src/time/clock.js'
import type { LivePlan } from './live-plan.js'
import { queuedBytes } from './socket-queue.js'

export abstract class ResponseConnection {
  readonly client: string
  protected readonly response: ServerResponse
  readonly #clock: Clock

  constructor(response: ServerResponse, client: string, clock: Clock) {
    this.response = response
    this.client = client
    this.#clock = clock
    response.on('error', () => {}) // it is closed then, and that is heard
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

  /** Only a WebSocket has frames for them. */
  statistics(): void {}

  protected write(text: string): void {
    this.response.write(text, 'latin1')
  }

  /** What was written last may be read for a while. */
  protected cutLater(): void {
    const cancel = this.#clock.after(limits.close_linger_ms, () => this.response.destroy())
    this.response.once('close', cancel)
  }
}

/** What a reader for a consumer is told first. */
export function subscribedTo({ options, head, attachment }: LivePlan): object | undefined {
  if (attachment === undefined) return undefined
  return { cursor: String(options.next - 1), head: head < 0 ? null : head, consumer: attachment.named }
}
