/**
 * A server that is killed and restarted on the same directory, and requests that are repeated until they are answered.
 */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { serve } from './cli.js'

export class KilledServer {
  readonly #directory: string
  #child: ChildProcess | undefined
  #url: Promise<string> = Promise.resolve('')

  constructor(directory: string) {
    this.#directory = directory
  }

  async start(): Promise<void> {
    const started = serve(['serve', '--db', this.#directory, '--port', '0'])
    this.#url = started.then(({ url }) => url.replace(/\/$/, ''))
    this.#child = (await started).child
  }

  async kill(): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const closed = once(child, 'close')
    child.kill('SIGKILL')
    await closed
  }

  /** Sends a request, and repeats it with the same ids until there is an answer. */
  // biome-ignore lint/suspicious/noExplicitAny: answers of several shapes
  async ask(path: string, body?: string): Promise<{ status: number; tries: number; body: any }> {
    for (let tries = 1; ; tries++) {
      const url = await this.#url
      try {
        const headers = { 'content-type': 'application/json', connection: 'close' }
        const answer = await fetch(url + path, body === undefined ? {} : { method: 'POST', headers, body })
        const text = await answer.text()
        if (answer.status !== 503) return { status: answer.status, tries, body: JSON.parse(text) }
      } catch {
        // the server was killed, or does not listen yet
      }
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}
