/** The machine of a run, and the load of other processes on it. */
import { arch, cpus, platform, release, totalmem } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'

export function describeMachine(): string {
  const gigabytes = Math.round(totalmem() / 2 ** 30)
  return `Node ${process.version}, ${cpus().length} cores, ${gigabytes} GiB, ${platform()} ${release()} ${arch()}`
}

/** Fraction of the machine used by other processes above which a round is unreliable. */
export const NOISE = 0.1

/**
 * Waits until other processes leave the machine idle, at most `patience` seconds.
 * Returns the fraction of the machine that they use, measured while the benchmark is idle.
 */
export async function quiet(patience: number): Promise<number> {
  const end = performance.now() + patience * 1000
  for (;;) {
    const before = spent()
    await sleep(250)
    const after = spent()
    const load = (after.busy - before.busy) / (after.all - before.all)
    if (load < NOISE || performance.now() > end) return load
  }
}

function spent(): { busy: number; all: number } {
  let busy = 0
  let all = 0
  for (const { times } of cpus()) {
    const total = times.user + times.nice + times.sys + times.irq + times.idle
    all += total
    busy += total - times.idle
  }
  return { busy, all }
}
