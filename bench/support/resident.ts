/** Resident memory of another process. */
import { readFileSync } from 'node:fs'

export interface Resident {
  /** All of it, MB. */
  readonly total: number
  /** Of that, pages of files: LevelDB maps its tables, and the system takes these back when it needs them. */
  readonly files: number
}

/** @throws when the process is gone */
export function residentMemory(pid: number): Resident {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const megabytes = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1024
  return { total: megabytes('VmRSS'), files: megabytes('RssFile') }
}

/** The most memory a process had while something was going on, looked at every 50 ms. */
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
