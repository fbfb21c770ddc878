/**
 * Readers of named consumers: each takes its consumer over, acknowledges what it receives, and reconnects when its
 * connection breaks.
 */
import { WebSocket } from 'ws'
import type { Transport } from './followers.js'

/** The events of one connection, and the acknowledgements that came before it. */
export interface Connection {
  /** Highest acknowledgement confirmed before the connection: no event up to it may come again. */
  readonly confirmed: number
  /** Highest acknowledgement sent before the connection, confirmed or not: no event after it may be left out. */
  readonly claimed: number
  readonly numbers: number[]
}

export class ConsumerReader {
  readonly name: string
  readonly transport: Transport
  readonly connections: Connection[] = []
  #url: string
  #confirmed = -1
  #claimed = -1
  #connection = new AbortController()
  #done = false

  constructor(transport: Transport, url: string) {
    this.transport = transport
    this.name = `by-${transport}`
    this.#url = `${url}/consumers/${this.name}`
  }

  /** The numbers of all received events, each once. */
  get seen(): Set<number> {
    return new Set(this.connections.flatMap(({ numbers }) => numbers))
  }

  get confirmed(): number {
    return this.#confirmed
  }

  async consume(): Promise<void> {
    while (!this.#done) {
      this.#connection = new AbortController()
      try {
        await this.#read(this.#connection.signal)
      } catch {} // the server is away
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }

  end(): void {
    this.#done = true
    this.#connection.abort()
  }

  #read(signal: AbortSignal): Promise<void> {
    const events = `${this.#url}/events?takeover=true`
    if (this.transport === 'websocket') return this.#overWebSocket(events, signal)
    if (this.transport === 'poll') return this.#poll(`${this.#url}/events?wait=5&limit=50`, signal)
    return this.#stream(`${events}&live=true&format=${this.transport}`, signal)
  }

  #begin(): Connection {
    const connection = { confirmed: this.#confirmed, claimed: this.#claimed, numbers: [] }
    this.connections.push(connection)
    return connection
  }

  #overWebSocket(address: string, signal: AbortSignal): Promise<void> {
    const socket = new WebSocket(address.replace(/^http/, 'ws'), 'daybook.v1')
    signal.addEventListener('abort', () => socket.terminate())
    const connection = this.#begin()
    socket.on('message', (data) => {
      const { frame, cursor, event } = JSON.parse(String(data))
      if (frame === 'acked') this.#confirmed = Math.max(this.#confirmed, Number(cursor))
      if (frame !== 'event') return
      connection.numbers.push(event.number)
      if (event.number % 7 > 0) return
      this.#claimed = Math.max(this.#claimed, event.number)
      socket.send(JSON.stringify({ frame: 'ack', cursor }))
    })
    return new Promise((resolve) => {
      socket.on('close', () => resolve())
      socket.on('error', () => resolve())
    })
  }

  async #stream(address: string, signal: AbortSignal): Promise<void> {
    const { body, status } = await fetch(address, { signal })
    if (status !== 200 || body === null) throw new Error(`${status}`)
    const connection = this.#begin()
    let generation = 0
    let rest = ''
    for await (const text of body.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split('\n')
      rest = lines.pop() as string
      for (const line of lines) {
        const json = /^(?:data: )?(\{.*)$/.exec(line)?.[1]
        if (json === undefined) continue
        const value = JSON.parse(json)
        generation = (value.subscribed ?? value).consumer?.generation ?? generation
        if (value.number === undefined) continue
        connection.numbers.push(value.number)
        if (value.number % 50 === 0) await this.#acknowledge(value.number, generation)
      }
    }
  }

  async #poll(address: string, signal: AbortSignal): Promise<void> {
    // Node's fetch waits for ever for the rest of a compressed answer that was cut off.
    const answer = await fetch(address, { signal, headers: { 'accept-encoding': 'identity' } })
    if (answer.status !== 200) throw new Error(`${answer.status}`)
    const connection = this.#begin()
    const { events, cursor, consumer } = (await answer.json()) as {
      events: { number: number }[]
      cursor: string
      consumer: { generation: number }
    }
    for (const { number } of events) connection.numbers.push(number)
    if (events.length > 0) await this.#acknowledge(Number(cursor), consumer.generation)
  }

  async #acknowledge(cursor: number, generation: number): Promise<void> {
    this.#claimed = Math.max(this.#claimed, cursor)
    const headers = { 'content-type': 'application/json' }
    const body = JSON.stringify({ cursor, generation })
    const answer = await fetch(`${this.#url}/ack`, { method: 'POST', headers, body })
    await answer.text()
    if (answer.status === 200) this.#confirmed = Math.max(this.#confirmed, cursor)
  }
}
