/**
 * Readers that follow a source over one transport, reconnect whenever their connection ends, and record what they
 * receive.
 */
import { WebSocket } from 'ws'

export const transports = ['websocket', 'sse', 'ndjson', 'poll'] as const
export type Transport = (typeof transports)[number]

interface Progress {
  /** The event's position in the log; undefined if only the cursor moved. */
  readonly position: number | undefined
  readonly cursor: string
}

/** Continues after its last cursor each time its connection ends. */
export class Follower {
  readonly transport: Transport
  readonly source: string
  readonly positions: number[] = []
  connections = 0
  #cursor = '-1'
  #connection = new AbortController()
  #done = false
  #failure: unknown

  constructor(transport: Transport, source: string) {
    this.transport = transport
    this.source = source
  }

  /** Describes the progress, for error messages. */
  get state(): string {
    return `${this.name} is at ${this.#cursor} after ${this.positions.length} events, connection ${this.connections}: ${this.#failure}`
  }

  get name(): string {
    return `${this.transport} of ${this.source}`
  }

  /** @param url address of the server, which may be down at times */
  async follow(url: string): Promise<void> {
    while (!this.#done) {
      this.#connection = new AbortController()
      this.connections++
      try {
        await this.#read(url, this.#connection.signal)
      } catch (error) {
        this.#failure = error // the server is away, or the connection was cut
      }
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }

  /** Breaks the connection. */
  cut(): void {
    this.#connection.abort()
  }

  end(): void {
    this.#done = true
    this.cut()
  }

  #read(url: string, signal: AbortSignal): Promise<void> {
    const address = `${url}${this.source}${this.source.includes('?') ? '&' : '?'}after=${this.#cursor}`
    if (this.transport === 'websocket') return this.#overWebSocket(address, signal)
    if (this.transport === 'poll') return this.#poll(`${address}&wait=20`, signal)
    return this.transport === 'sse'
      ? this.#stream(`${address}&format=sse`, '\n\n', fromBlock, signal)
      : this.#stream(`${address}&live=true&format=ndjson`, '\n', fromLine, signal)
  }

  #take({ position, cursor }: Progress): void {
    if (position !== undefined) this.positions.push(position)
    this.#cursor = cursor
  }

  #overWebSocket(address: string, signal: AbortSignal): Promise<void> {
    const socket = new WebSocket(address.replace(/^http/, 'ws'), 'daybook.v1')
    signal.addEventListener('abort', () => socket.terminate())
    socket.on('message', (data) => {
      if (signal.aborted) return // data after the abort does not count as received
      const { event, cursor } = JSON.parse(String(data))
      if (cursor !== undefined) this.#take({ position: event?.position, cursor })
    })
    return new Promise((resolve) => {
      socket.on('close', () => resolve())
      socket.on('error', () => resolve())
    })
  }

  async #stream(address: string, end: string, parse: (text: string) => Progress | undefined, signal: AbortSignal) {
    const { body, status } = await fetch(address, { signal })
    if (status !== 200 || body === null) throw new Error(`${status}`)
    let rest = ''
    for await (const text of body.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + text).split(end)
      rest = parts.pop() as string
      for (const progress of parts.flatMap((part) => parse(part) ?? [])) this.#take(progress)
    }
  }

  async #poll(address: string, signal: AbortSignal): Promise<void> {
    // Node's fetch waits for ever for the rest of a compressed answer that was cut off.
    const answer = await fetch(address, { signal, headers: { 'accept-encoding': 'identity' } })
    const { events, cursor } = (await answer.json()) as { events: { position: number }[]; cursor: string }
    if (answer.status !== 200) throw new Error(`${answer.status}`)
    for (const { position } of events) this.#take({ position, cursor })
    this.#take({ position: undefined, cursor })
  }
}

/** Parses a block of an event stream. The id of every block is the cursor. */
function fromBlock(block: string): Progress | undefined {
  const id = /^id: (.*)$/m.exec(block)?.[1]
  if (id === undefined) return undefined
  const isEvent = !/^event: /m.test(block) && /^data: /m.test(block)
  const data = /^data: (.*)$/m.exec(block)?.[1] ?? ''
  return { position: isEvent ? JSON.parse(data).position : undefined, cursor: id }
}

function fromLine(line: string): Progress | undefined {
  if (line === '') return undefined
  const value = JSON.parse(line)
  const { cursor } = value.checkpoint ?? value.problem ?? value
  return cursor === undefined ? undefined : { position: value.position, cursor }
}
