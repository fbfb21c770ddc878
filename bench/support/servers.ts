/** Servers under measurement, each a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Server {
  readonly url: string
  readonly pid: number
  /** Stops it and waits for its end. */
  stop(signal?: NodeJS.Signals): Promise<void>
}

const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url))
const running = new Set<ChildProcess>()
const folders = new Set<string>()

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130))

/** A temporary folder that is gone when the run ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'daybook-bench-'))
  folders.add(folder)
  return folder
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true })
  folders.delete(folder)
}

/** Daybook as it is shipped, on a directory. */
export function startDaybook(directory: string, flags: readonly string[] = []): Promise<Server> {
  return start([path('dist/src/main.js'), '--db', directory, '--port', '0', '--log-level', 'silent', ...flags])
}

/** Daybook with its synced write replaced by setImmediate. */
export function startWithoutDisk(directory: string): Promise<Server> {
  return start(['--import=tsx', path('bench/servers/without-disk.ts'), '--db', directory, '--port', '0'])
}

/** A bare Fastify server. @param answer path of a file with the bytes that GETs answer */
export function startBare(answer: { status: number; bytes: string }): Promise<Server> {
  return start(['--import=tsx', path('bench/servers/bare.ts')], {
    BENCH_STATUS: String(answer.status),
    BENCH_ANSWER: answer.bytes
  })
}

function start(argv: readonly string[], env: Record<string, string> = {}): Promise<Server> {
  const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env } })
  running.add(child)
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve(void running.delete(child))))
  return new Promise((resolve, reject) => {
    let said = ''
    child.stdout.on('data', (chunk) => {
      said += chunk
      const url = /http:\/\/[\d.:]+\d/.exec(said)?.[0]
      if (url === undefined) return
      resolve({
        url,
        pid: child.pid as number,
        stop(signal = 'SIGTERM') {
          child.kill(signal)
          return ended
        }
      })
    })
    void ended.then(() => reject(new Error(`a server ended early: ${said}`)))
  })
}

/** Resident memory of a process, MB. */
export function residentMegabytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
}
