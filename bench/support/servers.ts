/** Servers under measurement, each a process of its own. */
import type { ChildProcess } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Build, here } from './builds.js'
import { childScript } from './compile.js'
import { spawnChild, temporaryFolder } from './processes.js'

export interface Server {
  readonly url: string
  readonly pid: number
  /** Stops the server and waits for its end. */
  stop(): Promise<void>
  /** Kills the server, so that nothing is closed, and waits for its end. */
  kill(): Promise<void>
}

export interface WeighedServer extends Server {
  /** JavaScript memory in use after a garbage collection, MB. */
  weigh(): Promise<number>
}

/** Starts Daybook as shipped, on a directory. @param flags additional flags @param build the build of the server */
export function startDaybook(directory: string, flags: readonly string[] = [], build: Build = here): Promise<Server> {
  const main = join(build.root, 'dist', 'src', 'main.js')
  return start([main, '--db', directory, '--port', '0', '--log-level', 'silent', ...flags])
}

/** Starts Daybook with its synced write replaced by setImmediate. */
export function startWithoutDisk(): Promise<Server> {
  return start([childScript('without-disk'), '--db', temporaryFolder(), '--port', '0', '--log-level', 'silent'])
}

/** Starts a bare Fastify server that answers every request with these bytes. */
export function startBare(answer: { status: number; bytes: Buffer }): Promise<Server> {
  const file = join(temporaryFolder(), 'answer')
  writeFileSync(file, answer.bytes)
  return start([childScript('bare'), String(answer.status), file])
}

/** Starts a bare `ws` server. @param file frames to send, one per line; see bench/children/bare-live.ts */
export function startBareLive(file?: string): Promise<Server> {
  return start([childScript('bare-live'), ...(file === undefined ? [] : [file])])
}

/** Starts Daybook with a route that reports its memory in use. */
export async function startWeighed(directory: string): Promise<WeighedServer> {
  const argv = ['--expose-gc', childScript('weighed'), '--db', directory, '--port', '0', '--log-level', 'silent']
  const child = spawnChild(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] })
  const weigh = () =>
    new Promise<number>((resolve) => {
      child.once('message', (bytes: number) => resolve(bytes / 2 ** 20))
      child.send('weigh')
    })
  return { ...(await ready(child, argv)), weigh }
}

function start(argv: readonly string[]): Promise<Server> {
  const child = spawnChild(process.execPath, argv, { stdio: ['ignore', 'pipe', 'pipe'] })
  child.stderr?.on('data', (chunk: Buffer) => {
    // Every server on a new directory warns about the default passwords; its directory is only temporary.
    if (!chunk.includes('has the password') && !chunk.includes('have the password')) process.stderr.write(chunk)
  })
  return ready(child, argv)
}

/** Resolves when the server has printed its address, which is when it is ready. */
function ready(child: ChildProcess, argv: readonly string[]): Promise<Server> {
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  return new Promise((resolve, reject) => {
    let said = ''
    child.stdout?.on('data', (chunk) => {
      said += chunk
      const url = /http:\/\/[\d.:]+\d/.exec(said)?.[0]
      if (url === undefined) return
      const end = (signal: NodeJS.Signals) => {
        child.kill(signal)
        return ended
      }
      resolve({ url, pid: child.pid as number, stop: () => end('SIGTERM'), kill: () => end('SIGKILL') })
    })
    void ended.then(() => reject(new Error(`a server ended early: ${argv.join(' ')} ${said}`)))
  })
}
