/** An EventSource in a real browser, over a server that is killed and takes its time to start. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { openPage, skip } from '../helpers/browser.js'
import { eventually } from '../helpers/live-events.js'
import { post } from '../helpers/returning-server.js'

const SCRIPT = fileURLToPath(new URL('../helpers/slow-start.ts', import.meta.url))

/** What the script of the page keeps. */
interface Kept {
  numbers: number[]
  /** Codes of the `closing` blocks. */
  closings: string[]
  /** 2: the EventSource has given up. */
  state: number
}

/** A server that is killed, and started again at the same address. */
class SlowServer {
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

  /** Resolves when it listens; its store is not open. @param times how much faster its clock is */
  async listen(times = 1): Promise<void> {
    const argv = [`--import=${import.meta.resolve('tsx')}`, SCRIPT, this.#directory, this.#port, String(times)]
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

  /** Resolves when somebody has asked for the stream so many times since it listens. */
  asked(times = 1): Promise<void> {
    const count = () => this.#said.match(/^asked \/streams\/s\?from=0$/gm)?.length ?? 0
    return eventually('the page comes back', () => count() >= times)
  }

  async kill(): Promise<void> {
    if (this.#child === undefined || this.#child.signalCode !== null) return
    const closed = once(this.#child, 'close')
    this.#child.kill('SIGKILL')
    await closed
  }
}

t.test(
  'an EventSource keeps its place over kill and a slow start: every event once, without gaps',
  { skip },
  async (t) => {
    const server = new SlowServer(t)
    await server.listen()
    await server.open()
    await post(server.url, 's', [{ type: 'T' }, { type: 'T' }])
    const { page } = await openPage(t, `${server.url}/streams/elsewhere`)
    await follow(page)
    await untilNumber(page, 1)
    // Killed while it appends, so that nobody knows what was sent. The second time it starts for longer than it holds requests.
    for (const [times, code] of [
      [1, undefined],
      [50, 'starting'],
      [1, undefined]
    ] as const) {
      const appending = appendUntilGone(server.url)
      await untilNumber(page, (await keptBy(page)).numbers.length)
      await server.kill()
      await appending
      await server.listen(times)
      if (code === undefined) await server.asked()
      else
        await page.waitForFunction(
          (wanted) => (globalThis as unknown as { kept: Kept }).kept.closings.includes(wanted),
          code
        )
      t.not((await keptBy(page)).state, 2, 'it has not given up')
      await server.open()
      await post(server.url, 's', { type: 'After' })
      const head = Number((await fetch(`${server.url}/streams/s`, { method: 'HEAD' })).headers.get('daybook-head'))
      await untilNumber(page, head)
      const { numbers } = await keptBy(page)
      t.same(
        numbers,
        Array.from({ length: head + 1 }, (_, i) => i)
      )
    }
  }
)

/** Follows the stream from its beginning in the page, and keeps what comes. */
async function follow(page: Page): Promise<void> {
  await page.evaluate(() => {
    const kept: Kept = { numbers: [], closings: [], state: 0 }
    const source = new EventSource('/streams/s?from=0')
    source.onmessage = ({ data }) => kept.numbers.push(JSON.parse(data).number)
    source.onerror = () => (kept.state = source.readyState)
    source.addEventListener('closing', (event) => kept.closings.push(JSON.parse((event as MessageEvent).data).code))
    Object.assign(globalThis, { kept })
  })
}

function keptBy(page: Page): Promise<Kept> {
  return page.evaluate(() => (globalThis as unknown as { kept: Kept }).kept)
}

/** Waits until an event with this number, or a later one, has come. */
async function untilNumber(page: Page, number: number): Promise<void> {
  await page.waitForFunction((least) => {
    const { numbers } = (globalThis as unknown as { kept: Kept }).kept
    return (numbers.at(-1) ?? -1) >= least
  }, number)
}

/** Appends one after the other until the server is gone. */
async function appendUntilGone(url: string): Promise<void> {
  try {
    for (;;) await post(url, 's', { type: 'T' })
  } catch {
    // it was killed
  }
}
