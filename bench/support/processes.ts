/** Child processes and temporary folders of a run: removed when it ends, however it ends. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const running = new Set<ChildProcess>()
const folders = new Set<string>()

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
  for (const folder of folders) removeFolder(folder)
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130))

export function spawnChild(command: string, argv: readonly string[], options: SpawnOptions = {}): ChildProcess {
  const child = spawn(command, argv, { stdio: ['ignore', 'pipe', 'inherit'], ...options })
  running.add(child)
  child.once('error', () => running.delete(child))
  child.once('exit', () => running.delete(child))
  return child
}

/**
 * Runs a command to its end. Returns its output.
 * @throws if it does not end as expected: with code 0, or by `signal`
 */
export function runChild(command: string, argv: readonly string[], signal?: NodeJS.Signals): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawnChild(command, argv)
    let out = ''
    child.stdout?.on('data', (chunk) => {
      out += chunk
    })
    child.once('error', reject)
    child.once('close', (code, by) => {
      if (signal === undefined ? code === 0 : by === signal) resolve(out)
      else reject(new Error(`${command} ${argv[0]} ended with ${by ?? code}: ${out}`))
    })
  })
}

/** Creates a temporary folder that is removed when the run ends. */
export function temporaryFolder(): string {
  return goneAtEnd(mkdtempSync(join(tmpdir(), 'daybook-bench-')))
}

/** Removes a folder when the run ends. */
export function goneAtEnd(folder: string): string {
  folders.add(folder)
  return folder
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
  folders.delete(folder)
}
