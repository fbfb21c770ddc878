/** Readers under a name: each takes the name over, deals with what comes, acknowledges it, and comes back when it breaks. */
import { WebSocket } from 'ws'
import type { Transport } from './followers.js'

/** What one connection gave, and between which places it had to begin. */
export interface Connection {
  /** Acknowledged, and answered, before it: nothing of this may come again. */
  readonly confirmed: number
  /** Acknowledged, answered or not, before it: nothing after this may be left out. */
  readonly claimed: number
  readonly numbers: number[]
}

export class Consuming {
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

  /** All that was given, each event once. */
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
        const said = JSON.parse(json)
        generation = (said.subscribed ?? said).consumer?.generation ?? generation
        if (said.number === undefined) continue
        connection.numbers.push(said.number)
        if (said.number % 50 === 0) await this.#acknowledge(said.number, generation)
      }
    }
  }

  async #poll(address: string, signal: AbortSignal): Promise<void> {
    // Node's fetch waits for ever for the rest of a compressed answer that was cut.
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
