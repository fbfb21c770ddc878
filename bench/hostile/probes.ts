/** Small requests that go on while a server is under a load: each is sent when the one before it was answered. */
import { Agent, get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/** Milliseconds between an answer and the next request. */
const PAUSE_MS = 50

export interface ProbeResult {
  readonly answered: number
  /** Answers other than 200, and requests that were not answered at all. */
  readonly failed: number
  /** What the first failure was, such as `503`; absent: none. */
  readonly failure?: string
  /** Milliseconds; of a request that was not answered, as long as it was waited for. */
  readonly longest: number
}

export class Probe {
  readonly #url: string
  readonly #pathOf: (i: number) => string
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })
  #result: ProbeResult = { answered: 0, failed: 0, longest: 0 }
  #going = true
  #running: Promise<void> = Promise.resolve()

  /** @param pathOf of the i-th request */
  constructor(url: string, pathOf: (i: number) => string) {
    this.#url = url
    this.#pathOf = pathOf
  }

  start(): void {
    this.#running = this.#run()
  }

  /** Counts from here on. */
  restart(): void {
    this.#result = { answered: 0, failed: 0, longest: 0 }
  }

  /** Waits for the request that is under way, at most so many milliseconds. */
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
