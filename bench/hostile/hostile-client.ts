/** The client of hostile loads: requests whose responses are discarded, and connections on which nothing is read. */
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'

/** Number of occurrences of each outcome, such as `200` or `ECONNRESET`. */
export class Tally {
  readonly #times = new Map<string, number>()

  add(outcome: string | number): void {
    this.#times.set(`${outcome}`, (this.#times.get(`${outcome}`) ?? 0) + 1)
  }

  /** `7 × 200, 1 × 503` */
  get text(): string {
    return [...this.#times].map(([outcome, times]) => `${times} × ${outcome}`).join(', ')
  }
}

export interface Exchange {
  readonly path: string
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
  /** Time after which the client disconnects, milliseconds. */
  readonly leaves?: number
}

export interface Reply {
  /** Status of the response, or the error code of the broken connection. */
  readonly status: number | string
  /** Text of the body; a large one is truncated. */
  readonly text: string
}

const TEXT_CHARS_MAX = 100_000
/**
 * Source address of held connections. It is not that of the probes, so that the limit per address does not affect them.
 */
const HELD_FROM = '127.0.0.2'

/** Sends one request on a connection of its own and reads the whole answer. */
export function exchange(url: string, { path, method, headers, body, leaves }: Exchange): Promise<Reply> {
  return new Promise((resolve) => {
    const sent = request(`${url}${path}`, { agent: false, method: method ?? 'GET', headers: headers ?? {} })
    const fail = (error: NodeJS.ErrnoException) => resolve({ status: error.code ?? error.message, text: '' })
    sent.once('error', fail)
    sent.once('response', (response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => {
        if (text.length < TEXT_CHARS_MAX) text += chunk.toString('latin1')
      })
      response.once('error', fail)
      response.once('end', () => resolve({ status: response.statusCode ?? 0, text }))
    })
    if (leaves !== undefined) setTimeout(() => sent.destroy(new Error('client left')), leaves)
    sent.end(body)
  })
}

/** Makes a number of exchanges at once. Returns the count of each status. */
export async function exchangeAtOnce(url: string, times: number, make: (i: number) => Exchange): Promise<string> {
  const tally = new Tally()
  await Promise.all(Array.from({ length: times }, async (_, i) => tally.add((await exchange(url, make(i))).status)))
  return tally.text
}

/** Connections that are held open. Records when the server closes one. */
export class HeldConnections {
  readonly #url: URL
  readonly #tally = new Tally()
  #open = 0

  constructor(url: string) {
    this.#url = new URL(url)
  }

  /** Returns the outcome of connections that the server closed, and the number of open ones. */
  get text(): string {
    return [this.#tally.text, `${this.#open} open`].filter((part) => part !== '').join(', ')
  }

  /** Opens a connection and sends these lines, with `Host` added. @param reads whether it reads the response */
  open(lines: readonly string[], reads: boolean): Promise<Socket> {
    const socket = connect({ port: Number(this.#url.port), host: this.#url.hostname, localAddress: HELD_FROM })
    let status = 'closed without an answer'
    this.#open++
    if (reads) {
      socket.once('data', (chunk: Buffer) => {
        status = /^HTTP\/1\.1 (\d+)/.exec(chunk.toString('latin1'))?.[1] ?? status
      })
      socket.resume()
    } else {
      socket.pause()
    }
    socket.on('error', () => {}) // 'close' follows
    socket.once('close', () => {
      this.#open--
      this.#tally.add(reads ? status : 'closed by the server')
    })
    return new Promise((resolve) => {
      const opened = () => {
        socket.write([...lines, `Host: ${this.#url.host}`, '', ''].join('\r\n'))
        resolve(socket)
      }
      socket.once('connect', opened)
      socket.once('close', () => resolve(socket))
    })
  }
}
