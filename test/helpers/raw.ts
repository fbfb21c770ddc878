/** Bytes over a bare socket, for requests that no HTTP client would send. */
import { connect as connectSocket } from 'node:net'
import type { Test } from 'tap'
import type { AppOptions } from '../../routes/index.js'
import type { StoreOptions } from '../../src/store/store.js'
import { listen, type TestApp } from './app.js'

export interface RawAnswer {
  /** 0: the connection was closed without an answer. */
  status: number
  headers: Record<string, string>
  body: string
  /** Everything that was received. */
  text: string
  json(): unknown
}

export interface RawSocket {
  write(bytes: string | Buffer): void
  /** Ends this side of the connection; answers are still read. */
  end(): void
  /** Resolves when the received text matches; rejects when the connection closes first. */
  until(pattern: RegExp): Promise<string>
  /** Resolves with everything that was received when the connection is closed. */
  readonly closed: Promise<string>
  destroy(): void
}

export interface RawApp extends TestApp {
  url: string
  /** @param from the local address to connect from */
  connect(from?: string): RawSocket
  /**
   * Sends bytes and waits until the server closes the connection. Needs `Connection: close`, or a request that is
   * refused.
   */
  raw(bytes: string | Buffer): Promise<RawAnswer>
}

/** Opens an application that listens, with functions that connect to it. */
export async function listenRaw(t: Test, options: AppOptions & Partial<StoreOptions> = {}): Promise<RawApp> {
  const opened = await listen(t, options)
  const port = Number(new URL(opened.url).port)
  return {
    ...opened,
    connect: (from) => openSocket(port, from),
    async raw(bytes) {
      const socket = openSocket(port)
      socket.write(bytes)
      return parse(await socket.closed)
    }
  }
}

function openSocket(port: number, localAddress?: string): RawSocket {
  const socket = connectSocket({ port, host: '127.0.0.1', localAddress })
  let text = ''
  const waiting = new Set<() => void>()
  socket.setEncoding('latin1')
  socket.on('data', (chunk: string) => {
    text += chunk
    for (const look of waiting) look()
  })
  socket.on('error', () => {}) // the server may end it with a reset; 'close' follows
  const closed = new Promise<string>((resolve) => socket.on('close', () => resolve(text)))
  return {
    write: (bytes) => socket.write(bytes),
    end: () => socket.end(),
    until: (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (!pattern.test(text)) return
          waiting.delete(look)
          resolve(text)
        }
        waiting.add(look)
        closed.then(() => reject(new Error(`closed before ${pattern}: ${text}`)))
        look()
      }),
    closed,
    destroy: () => socket.destroy()
  }
}

function parse(text: string): RawAnswer {
  const end = text.indexOf('\r\n\r\n')
  const [first = '', ...lines] = text.slice(0, Math.max(end, 0)).split('\r\n')
  const headers: Record<string, string> = {}
  for (const line of lines) {
    const colon = line.indexOf(':')
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim()
  }
  const body = end < 0 ? '' : text.slice(end + 4)
  const json = () => {
    try {
      return JSON.parse(body)
    } catch {
      return { noJson: body }
    }
  }
  return { status: Number(/^HTTP\/1\.\d (\d{3})/.exec(first)?.[1] ?? 0), headers, body, text, json }
}
