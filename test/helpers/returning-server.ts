/** A server that is killed and restarted at the same address. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { serve } from './cli.js'

/** Appends events over HTTP. @throws when the server refuses them */
export async function post(url: string, stream: string, events: unknown): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const address = `${url}/streams/${encodeURIComponent(stream)}`
  const answer = await fetch(address, { method: 'POST', headers, body: JSON.stringify(events) })
  if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`)
}

/** A server in a process of its own. It can be killed and started again at the same address. */
export class ReturningServer {
  readonly #directory: string
  #port = '0'
  #child: ChildProcess | undefined

  constructor(directory: string) {
    this.#directory = directory
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  async start(): Promise<void> {
    const { child, url } = await serve(['serve', '--db', this.#directory, '--port', this.#port])
    this.#child = child
    this.#port = new URL(url).port
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const closed = once(child, 'close')
    child.kill(signal)
    await closed
  }
}
