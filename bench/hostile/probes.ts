/** Small requests to a server under load: each is sent when the previous one was answered. */
import { Agent, get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/** Milliseconds between an answer and the next request. */
const PAUSE_MS = 50

export interface ProbeResult {
  readonly answered: number
  /** Number of responses other than 200, and of requests without a response. */
  readonly failed: number
  /** The first failure, such as `503`; absent if there was none. */
  readonly failure?: string
  /** Longest wait, milliseconds. For a request without a response, the time waited for it. */
  readonly longest: number
}

export class Probe {
  readonly #url: string
  readonly #pathOf: (i: number) => string
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })
  #result: ProbeResult = { answered: 0, failed: 0, longest: 0 }
  #going = true
  #running: Promise<void> = Promise.resolve()

  /** @param pathOf returns the path of the i-th request */
  constructor(url: string, pathOf: (i: number) => string) {
    this.#url = url
    this.#pathOf = pathOf
  }

  start(): void {
    this.#running = this.#run()
  }

  /** Resets the counts. */
  restart(): void {
    this.#result = { answered: 0, failed: 0, longest: 0 }
  }

  /** Waits for the current request, up to a number of milliseconds. */
  async stop(patience: number): Promise<ProbeResult> {
    this.#going = false
    const cut = setTimeout(() => this.#agent.destroy(), patience)
    await this.#running
    clearTimeout(cut)
    this.#agent.destroy()
    return this.#result
  }

  async #run(): Promise<void> {
    for (let i = 0; this.#going; i++) {
      const started = performance.now()
      const outcome = await this.#ask(this.#pathOf(i))
      const { answered, failed, failure, longest } = this.#result
      const ok = outcome === '200'
      this.#result = {
        answered: answered + (ok ? 1 : 0),
        failed: failed + (ok ? 0 : 1),
        ...((failure ?? !ok) && { failure: failure ?? outcome }),
        longest: Math.max(longest, performance.now() - started)
      }
      await sleep(PAUSE_MS)
    }
  }

  #ask(path: string): Promise<string> {
    return new Promise((resolve) => {
      const sent = get(`${this.#url}${path}`, { agent: this.#agent }, (response) => {
        response.resume()
        response.once('error', (error) => resolve(error.message))
        response.once('end', () => resolve(`${response.statusCode}`))
      })
      sent.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    })
  }
}
