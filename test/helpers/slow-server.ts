/** A server in a process of its own that can be killed and restarted at the same address, and opens its store late. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Test } from 'tap'
import { eventually } from './live-events.js'
import { compiledScript } from './project.js'

const SCRIPT = compiledScript('test/helpers/slow-start.ts')

export class SlowServer {
  readonly #directory: string
  #port = '0'
  #child: ChildProcess | undefined
  #said = ''

  constructor(t: Test) {
    this.#directory = t.testdir({})
    t.teardown(() => this.kill())
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  /** Resolves when it listens, before its store is open. @param times how many times faster its clock is */
  async listen(times = 1): Promise<void> {
    const argv = [SCRIPT, this.#directory, this.#port, String(times)]
    this.#said = ''
    const child = spawn(process.execPath, argv, { stdio: ['pipe', 'pipe', 'inherit'] })
    child.stdout.on('data', (chunk) => (this.#said += chunk))
    this.#child = child
    await eventually('it listens', () => /^http:\S+\n/m.test(this.#said))
    this.#port = new URL(/^http:\S+/m.exec(this.#said)?.[0] as string).port
  }

  /** Opens the store. */
  async open(): Promise<void> {
    this.#child?.stdin?.write('open\n')
    await eventually('its store is open', () => /^open$/m.test(this.#said))
  }

  /** Resolves when this many requests for an address have come since the server began to listen. */
  asked(path: string, times: number): Promise<void> {
    const count = () => this.#said.split('\n').filter((line) => line === `asked ${path}`).length
    return eventually(`${times} requests for ${path}`, () => count() >= times)
  }

  async kill(): Promise<void> {
    if (this.#child === undefined || this.#child.signalCode !== null) return
    const closed = once(this.#child, 'close')
    this.#child.kill('SIGKILL')
    await closed
  }
}
