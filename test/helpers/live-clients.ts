/**
 * Live readers over real sockets: WebSocket, event stream, NDJSON. Each records what it receives, and can wait for
 * more.
 */
import { type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http'
import type { Test } from 'tap'
import type { Static } from 'typebox'
import { WebSocket } from 'ws'
import type { RecordedEvent } from '../../schemas/events.js'
import { type Clock, systemClock } from '../../src/time/clock.js'

export type Event = Static<typeof RecordedEvent>

export interface Frame {
  frame: string
  cursor?: string
  event?: Event
  events?: Event[]
  [member: string]: unknown
}

/** A block of an event stream, field by field. `comment` stands for a line that begins with a colon. */
export interface Block {
  event?: string
  id?: string
  retry?: string
  data?: string
  comment?: string
}

/** Longer than any wait should take, and shorter than the time-out of the test runner. */
const PATIENCE_MS = 30_000

/** Records what is received, in order, and notifies those who wait for more. */
abstract class Reader<T> {
  readonly all: T[] = []
  readonly #looking = new Set<() => void>()
  #ended: string | undefined

  /** The events received so far. */
  abstract get events(): Event[]

  get cursors(): number[] {
    return this.events.map(({ cursor }) => Number(cursor))
  }

  protected keep(one: T): void {
    this.all.push(one)
    for (const look of [...this.#looking]) look()
  }

  protected end(how: string): void {
    this.#ended ??= how
    for (const look of [...this.#looking]) look()
  }

  /** Resolves when the condition holds. Rejects when the connection ends first, or after PATIENCE_MS. */
  until(what: string, condition: (all: readonly T[]) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (why: string) => {
        done()
        reject(new Error(`${why} before ${what}: ${JSON.stringify(this.all.slice(-5)).slice(0, 2000)}`))
      }
      const timer = setTimeout(() => fail(`${PATIENCE_MS} ms passed`), PATIENCE_MS)
      const done = () => {
        clearTimeout(timer)
        this.#looking.delete(look)
      }
      const look = () => {
        if (condition(this.all)) {
          done()
          resolve()
        } else if (this.#ended !== undefined) fail(this.#ended)
      }
      this.#looking.add(look)
      look()
    })
  }

  untilEvents(count: number): Promise<void> {
    return this.until(`${count} events`, () => this.events.length >= count)
  }
}

/** Reads over WebSocket. */
export class LiveSocket extends Reader<Frame> {
  readonly socket: WebSocket
  pings = 0
  #closed: { code: number; reason: string } | undefined

  private constructor(socket: WebSocket) {
    super()
    this.socket = socket
    socket.on('message', (data) => this.keep(JSON.parse(String(data))))
    socket.on('ping', () => this.pings++)
    socket.on('error', () => {}) // 'close' follows and is handled
    socket.on('close', (code, reason) => {
      this.#closed = { code, reason: String(reason) }
      this.end(`closed with ${code}`)
    })
  }

  /** @throws when the server refuses the handshake */
  static async open(t: Test, url: string, headers: Record<string, string> = {}): Promise<LiveSocket> {
    const socket = new WebSocket(url.replace(/^http/, 'ws'), 'daybook.v1', { headers, perMessageDeflate: false })
    const reader = new LiveSocket(socket)
    t.teardown(() => socket.terminate())
    await new Promise<void>((resolve, reject) => {
      socket.once('open', resolve)
      socket.once('unexpected-response', (_request, { statusCode }) => reject(new Error(`refused with ${statusCode}`)))
      socket.once('error', reject)
    })
    return reader
  }

  get events(): Event[] {
    return this.all.flatMap(({ event, events }) => event ?? events ?? [])
  }

  /** Resolves with the code and reason when the socket is closed. */
  get closed(): Promise<{ code: number; reason: string }> {
    const closed = () => this.#closed as { code: number; reason: string }
    return this.until('its close', () => this.#closed !== undefined).then(closed)
  }

  /** The names of all frames that carry no events. */
  get others(): string[] {
    return this.all.map(({ frame }) => frame).filter((frame) => frame !== 'event' && frame !== 'events')
  }

  send(frame: object): void {
    this.socket.send(JSON.stringify(frame))
  }

  untilFrame(frame: string, count = 1): Promise<void> {
    return this.until(`${count} ${frame}`, (all) => all.filter((one) => one.frame === frame).length >= count)
  }

  /** Waits until the last frame has a cursor at or beyond this one. */
  untilCursor(cursor: number): Promise<void> {
    return this.until(`cursor ${cursor}`, (all) => Number(all.at(-1)?.cursor ?? -1) >= cursor)
  }

  /** Waits until everything sent before has arrived: the server answers frames in order. */
  async fence(): Promise<void> {
    const errors = () => this.all.filter(({ frame }) => frame === 'error').length
    const before = errors()
    this.send({ frame: 'no-such-frame' })
    await this.until('the answer to a wrong frame', () => errors() > before)
  }

  close(): Promise<{ code: number; reason: string }> {
    this.socket.close(1000)
    return this.closed
  }
}

/** An answer that does not end by itself. */
abstract class LiveAnswer<T> extends Reader<T> {
  readonly response: IncomingMessage
  #rest = ''
  #closed = false

  constructor(response: IncomingMessage) {
    super()
    this.response = response
    response.setEncoding('utf8')
    response.on('data', (text: string) => this.#split(text))
    response.on('error', () => {}) // a transfer that was cut
    response.on('close', () => {
      this.#closed = true
      this.end(`ended ${response.complete ? 'whole' : 'cut'}`)
    })
  }

  /** Whether the transfer ended properly. Resolves when it has ended. */
  get whole(): Promise<boolean> {
    return this.until('its end', () => this.#closed).then(() => this.response.complete)
  }

  get status(): number {
    return this.response.statusCode as number
  }

  destroy(): void {
    this.response.destroy()
  }

  protected abstract readonly separator: string | RegExp
  protected abstract parse(text: string): T

  #split(text: string): void {
    const parts = (this.#rest + text).split(this.separator)
    this.#rest = parts.pop() as string
    for (const part of parts) this.keep(this.parse(part))
  }
}

/** Names of the messages in an event stream that are not events. */
const SERVER_MESSAGES = new Set(['subscribed', 'caughtUp', 'fellBehind', 'checkpoint', 'closing'])

/** Reads an event stream, block by block. */
export class LiveBlocks extends LiveAnswer<Block> {
  static async open(t: Test, url: string, headers?: OutgoingHttpHeaders): Promise<LiveBlocks> {
    return new LiveBlocks(await answerOf(t, url, { accept: 'text/event-stream', ...headers }))
  }

  get events(): Event[] {
    return this.all.flatMap(({ event, data }) =>
      data === undefined || SERVER_MESSAGES.has(event ?? '') ? [] : JSON.parse(data)
    )
  }

  untilNamed(event: string): Promise<void> {
    return this.until(event, (all) => all.some((block) => block.event === event))
  }

  /** A blank line ends a block. A comment ends with its line, and is a block of its own here. */
  protected readonly separator = /\n\n|\n(?<=(?:^|\n):[^\n]*\n)/

  protected parse(text: string): Block {
    const fields = text.split('\n').map((line): [string, string] => {
      const [name = '', value = ''] = line.split(/:(.*)/s)
      return [name === '' ? 'comment' : name, value.replace(/^ /, '')]
    })
    return Object.fromEntries(fields)
  }
}

/** Reads line by line. */
export class LiveLines extends LiveAnswer<string> {
  static async open(t: Test, url: string, headers?: OutgoingHttpHeaders): Promise<LiveLines> {
    return new LiveLines(await answerOf(t, url, { accept: 'application/x-ndjson', ...headers }))
  }

  get events(): Event[] {
    return this.values.filter((value): value is Event => 'cursor' in value)
  }

  /** The values of all lines that are not empty. */
  get values(): object[] {
    return this.all.filter((line) => line !== '').map((line) => JSON.parse(line))
  }

  protected readonly separator = '\n'

  protected parse(text: string): string {
    return text
  }
}

function answerOf(t: Test, url: string, headers: OutgoingHttpHeaders): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent: false, headers }, resolve)
    t.teardown(() => sent.destroy())
    sent.on('error', reject)
    sent.end()
  })
}

/** A clock on which time passes this many times faster, for behaviour that takes seconds in real time. */
export function fastClock(times: number): Clock {
  return {
    now: systemClock.now,
    elapsed: () => systemClock.elapsed() * times,
    after: (ms, callback) => systemClock.after(ms / times, callback)
  }
}
