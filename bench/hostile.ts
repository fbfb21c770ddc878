/**
 * Loads by hostile clients: their cost in memory and processor time, and the waits of other requests meanwhile. Each
 * load has a server of its own. While one server rests for a minute, the next load begins.
 */
import { totalmem } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AttackerJobs } from './children/attacker.js'
import type { HostileLoad } from './hostile/hostile-load.js'
import { hostileLoads } from './hostile/hostile-loads.js'
import { copiedHostileStore, SMALL_EVENTS } from './hostile/hostile-stores.js'
import { Probe, type ProbeResult } from './hostile/probes.js'
import { Worker } from './support/jobs.js'
import { removeFolder } from './support/processes.js'
import { count, type Report } from './support/report.js'
import type { HostileScale, Scale } from './support/scale.js'
import { type Server, startDaybook } from './support/servers.js'
import { cpuSeconds, PeakWatch, residentMemory } from './support/usage.js'

/** MB by which memory may exceed its budget, and by which it may exceed idle memory a minute later. */
const ROOM = 64
/** The server's default budget in MB; a quarter of the machine's memory if that is less. */
const DEFAULT_BUDGET = Math.min(512, totalmem() / 4 / 2 ** 20)
/** A server is killed when its memory reaches this, MB, because other processes use the machine too. */
const KILLED_ABOVE = 4096
/** Milliseconds of requests before idle memory is measured. */
const WARM_MS = 3000
/** Time to wait for a probe's last request after the load, milliseconds. */
const PROBE_PATIENCE_MS = 10_000
/** Time for a server to stop before it is killed, milliseconds. */
const STOP_MS = 5000

/** Memory in MB. */
interface Measured {
  readonly idle: number
  readonly peak: number
  /** At the end of the minute that follows. */
  readonly after: number
  readonly event: ProbeResult
  readonly livez: ProbeResult
  /** Processor time of all threads during the load and in the minute after it, milliseconds. */
  readonly cpu: number
  readonly cpuAfter: number
  /** Seconds of the load. */
  readonly took: number
  readonly outcome: string
}

/** @throws if `hostile.load` names an unknown load */
export async function benchHostile(report: Report, { hostile }: Scale): Promise<void> {
  const settling: Promise<void>[] = []
  for (const [name, load] of chosenLoads(hostile.load)) {
    const encounter = await Encounter.open(name, load, hostile)
    const loaded = await encounter.attack()
    settling.push(encounter.settle(loaded).then((measured) => judge(report, name, load, measured, hostile)))
  }
  await Promise.all(settling)
}

function chosenLoads(names: string | undefined): [string, HostileLoad][] {
  const all = Object.entries(hostileLoads)
  if (names === undefined) return all
  const wanted = names.split(',')
  const unknown = wanted.find((name) => !Object.hasOwn(hostileLoads, name))
  if (unknown === undefined) return all.filter(([name]) => wanted.includes(name))
  throw new Error(`unknown load "${unknown}"; the loads are ${Object.keys(hostileLoads).join(', ')}`)
}

function judge(report: Report, name: string, load: HostileLoad, measured: Measured, scale: HostileScale): void {
  const { idle, peak, after, event, livez, cpu, cpuAfter, took, outcome } = measured
  const budget = scale.memory ?? DEFAULT_BUDGET
  const most = idle + budget + ROOM
  const probe = ({ longest, failed, failure }: ProbeResult) =>
    `${count(longest)} ms${failed === 0 ? '' : ` (${failed} failed: ${failure})`}`
  report.bounded('hostile', {
    what: `${name}: ${load.what}`,
    figure: [
      `peak ${count(peak)} MB, a minute after ${Number.isNaN(after) ? 'it has ended' : `${count(after)} MB`}`,
      `longest wait for an event ${probe(event)}, for /livez ${probe(livez)}`,
      `CPU ${[cpu, cpuAfter].map((ms) => (Number.isNaN(ms) ? '?' : count(ms))).join(' + ')} ms`,
      `${took.toFixed(1)} s: ${outcome}`
    ].join('; '),
    bounds: `${count(idle)} idle + ${count(budget)} budget + ${ROOM} = ${count(most)} MB, then ${count(idle + ROOM)} MB`,
    holds:
      peak <= most &&
      after <= idle + ROOM &&
      event.failed + livez.failed === 0 &&
      outcome !== CUT &&
      (load.isRight?.(outcome) ?? true),
    values: { budget, ...measured }
  })
}

const CUT = 'cut'

/** A figure of a process; NaN if the process is gone, which satisfies no bound. */
function orGone(figure: (pid: number) => number, pid: number): number {
  try {
    return figure(pid)
  } catch {
    return Number.NaN
  }
}

/** One load and its server. */
class Encounter {
  readonly #name: string
  readonly #scale: HostileScale
  readonly #directory: string
  readonly #server: Server
  readonly #attacker = new Worker<AttackerJobs>('attacker')
  readonly #watch: PeakWatch
  #over = false

  private constructor(name: string, scale: HostileScale, directory: string, server: Server) {
    this.#name = name
    this.#scale = scale
    this.#directory = directory
    this.#server = server
    this.#watch = new PeakWatch(server.pid, KILLED_ABOVE, () => void server.kill())
  }

  static async open(name: string, load: HostileLoad, scale: HostileScale): Promise<Encounter> {
    const directory = await copiedHostileStore(load.content)
    const flags = scale.memory === undefined ? [] : ['--memory', `${scale.memory}MiB`]
    return new Encounter(name, scale, directory, await startDaybook(directory, flags))
  }

  /** Warms the server up, gives it the load, and probes it meanwhile. */
  async attack(): Promise<Omit<Measured, 'after' | 'cpuAfter'>> {
    const { url, pid } = this.#server
    const event = new Probe(url, (i) => `/streams/small/${i % SMALL_EVENTS}`)
    const livez = new Probe(url, () => '/livez')
    const prepared = await this.#attacker.do('prepare', { name: this.#name, url })
    event.start()
    livez.start()
    await sleep(WARM_MS)
    event.restart()
    livez.restart()
    const idle = residentMemory(pid).own
    const cpu = orGone(cpuSeconds, pid)
    this.#watch.start()
    const started = performance.now()
    const attack = this.#attacker.do('attack', { name: this.#name, target: { url, pid, prepared } })
    const outcome = await Promise.race([attack, this.#untilCut()])
    this.#over = true
    attack.catch(() => {}) // of a load that was cut
    const took = (performance.now() - started) / 1000
    if (outcome === CUT) await this.#attacker.stop()
    const results = await Promise.all([event.stop(PROBE_PATIENCE_MS), livez.stop(PROBE_PATIENCE_MS)])
    return {
      idle,
      peak: this.#watch.peak,
      event: results[0],
      livez: results[1],
      cpu: (orGone(cpuSeconds, pid) - cpu) * 1000,
      took,
      outcome
    }
  }

  /** Resolves when the load has taken too long or too much memory. */
  async #untilCut(): Promise<typeof CUT> {
    const end = performance.now() + this.#scale.seconds * 1000
    while (!this.#over && performance.now() < end && this.#watch.peak <= KILLED_ABOVE) await sleep(100)
    return CUT
  }

  /** Waits for a minute, measures memory once more, and ends the server. */
  async settle(loaded: Omit<Measured, 'after' | 'cpuAfter'>): Promise<Measured> {
    const { pid, stop, kill } = this.#server
    const cpu = orGone(cpuSeconds, pid)
    await sleep(this.#scale.settles * 1000)
    const after = orGone((id) => residentMemory(id).own, pid)
    const cpuAfter = (orGone(cpuSeconds, pid) - cpu) * 1000
    this.#watch.stop()
    const peak = this.#watch.peak
    await this.#attacker.stop()
    await Promise.race([stop(), sleep(STOP_MS)])
    await kill()
    removeFolder(this.#directory)
    return { ...loaded, peak, after, cpuAfter }
  }
}
