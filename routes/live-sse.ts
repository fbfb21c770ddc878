/** A live reader over an event stream (native contract §2): a browser's EventSource, or `curl -N`. */
import type { ServerResponse } from 'node:http'
import type { Clock } from '../src/clock.js'
import { limits } from '../src/limits.js'
import type { Found } from '../src/streams/source.js'
import type { Closing, Connection } from '../src/subscriptions/subscription.js'
import type { LivePlan } from './live-plan.js'
import { queuedBytes } from './queued-bytes.js'
import { eventBlocks, namedBlock, type SharedBytes } from './wire/live-frames.js'
import { problemKinds } from './wire/problem.js'

/** After a connection that broke, an EventSource comes back so soon. */
const RETRY_MS = 1000

export class SseConnection implements Connection {
  readonly transport = 'sse'
  readonly client: string
  readonly #response: ServerResponse
  readonly #clock: Clock
  readonly #typed: boolean
  readonly #shared: SharedBytes

  constructor(
    response: ServerResponse,
    client: string,
    { options, head, attachment }: LivePlan,
    clock: Clock,
    typed: boolean,
    shared: { sse: SharedBytes; typed: SharedBytes }
  ) {
    this.client = client
    this.#response = response
    this.#clock = clock
    this.#typed = typed
    this.#shared = typed ? shared.typed : shared.sse
    response.on('error', () => {}) // it is closed then, and that is heard
    // The place comes first of all: a connection that breaks before the first event goes on from there too.
    const cursor = String(options.next - 1)
    this.#write(`retry: ${RETRY_MS}\nid: ${cursor}\n\n`)
    if (attachment !== undefined) {
      const consumer = { name: attachment.consumer.name, generation: attachment.generation }
      this.#write(namedBlock('subscribed', { cursor, head: head < 0 ? null : head, consumer }))
    }
  }

  get waiting(): number {
    return this.#response.writableLength
  }

  get unsent(): number {
    return this.waiting + queuedBytes(this.#response.socket)
  }

  drained(callback: () => void): void {
    this.#response.once('drain', callback)
  }

  send(events: readonly Found[], shared: boolean): void {
    this.#response.write(this.#shared.of(events, shared, () => eventBlocks(events, this.#typed)))
  }

  caughtUp(cursor: number): void {
    this.#tell('caughtUp', cursor)
  }

  fellBehind(cursor: number): void {
    this.#tell('fellBehind', cursor)
  }

  checkpoint(cursor: number): void {
    this.#tell('checkpoint', cursor)
  }

  heartbeat(): void {
    this.#write(':\n\n')
  }

  statistics(): void {}

  close({ error: { code, message }, cursor, final }: Closing): void {
    const content = { code, title: problemKinds[code].title, detail: message, cursor: String(cursor) }
    this.#write(namedBlock('closing', content, final ? `${cursor};end` : String(cursor)))
    this.#response.end()
    const cancel = this.#clock.after(limits.last_words_ms, () => this.#response.destroy())
    this.#response.once('close', cancel)
  }

  #tell(event: string, cursor: number): void {
    this.#write(namedBlock(event, { cursor: String(cursor) }, String(cursor)))
  }

  #write(text: string): void {
    this.#response.write(text, 'latin1')
  }
}
