/** Memory and CPU use of another process, from /proc. */
import { readFileSync } from 'node:fs'

export interface Resident {
  /** All of it, MB. */
  readonly total: number
  /** Of that, pages of files: LevelDB maps its tables, and the system can reclaim these. */
  readonly files: number
  /** Memory of its own, MB. */
  readonly own: number
}

/** Returns the memory of a process now. @throws if the process has ended */
export function residentMemory(pid: number): Resident {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const megabytes = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1024
  return { total: megabytes('VmRSS'), files: megabytes('RssFile'), own: megabytes('RssAnon') }
}

/** Returns the maximum memory of a process during some work, sampled every 50 ms. */
export async function peakMemory(pid: number, work: () => Promise<unknown>): Promise<Resident> {
  let peak = residentMemory(pid)
  const look = () => {
    const now = residentMemory(pid)
    if (now.total > peak.total) peak = now
  }
  const timer = setInterval(() => {
    try {
      look()
    } catch {
      clearInterval(timer) // it has ended; `work` says so
    }
  }, 50)
  try {
    await work()
    look()
  } finally {
    clearInterval(timer)
  }
  return peak
}

/** Records the maximum private memory of a process, sampled every 50 ms. */
export class PeakWatch {
  readonly #pid: number
  readonly #most: number
  readonly #exceeded: () => void
  #timer: NodeJS.Timeout | undefined
  #peak = 0

  /** @param exceeded called when the process has more than `most` MB, which ends the sampling */
  constructor(pid: number, most: number, exceeded: () => void) {
    this.#pid = pid
    this.#most = most
    this.#exceeded = exceeded
  }

  /** MB. */
  get peak(): number {
    return this.#peak
  }

  start(): void {
    this.#timer = setInterval(() => this.#look(), 50)
    this.#look()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #look(): void {
    try {
      const { own } = residentMemory(this.#pid)
      if (own > this.#peak) this.#peak = own
    } catch {
      this.stop() // it has ended
    }
    if (this.#peak <= this.#most) return
    this.stop()
    this.#exceeded()
  }
}

/** Returns the CPU seconds used by all threads of a process; the kernel counts hundredths. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const [user, system] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13)
    .map(Number)
  return ((user as number) + (system as number)) / 100
}

/** A rate and its processor time. */
export interface Rate {
  /** Operations per second. */
  readonly rate: number
  /** CPU per operation in the measured process, microseconds. It depends less on other load than the rate does. */
  readonly cpu: number
}

/** Runs `work` repeatedly, at least once, for a number of seconds. Returns the sum of its results. */
export async function repeat(seconds: number, work: () => Promise<number>): Promise<number> {
  const end = performance.now() + seconds * 1000
  let sum = 0
  do sum += await work()
  while (performance.now() < end)
  return sum
}

/** Measures `work`, which process `pid` executes. @param work returns the number of operations */
export async function rateOf(pid: number, work: () => Promise<number>): Promise<Rate> {
  const cpu = cpuSeconds(pid)
  const started = performance.now()
  const done = await work()
  const seconds = (performance.now() - started) / 1000
  return { rate: done / seconds, cpu: ((cpuSeconds(pid) - cpu) * 1e6) / done }
}
