/** Servers under measurement, each a process of its own. */
import type { ChildProcess } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { childScript } from './compile.js'
import { spawnChild, temporaryFolder } from './processes.js'

export interface Server {
  readonly url: string
  readonly pid: number
  /** Stops it and waits for its end. */
  stop(): Promise<void>
}

export interface WeighedServer extends Server {
  /** What its JavaScript holds on to after garbage was collected, MB. */
  weigh(): Promise<number>
}

const main = fileURLToPath(new URL('../../dist/src/main.js', import.meta.url))

/** Daybook as it is shipped, on a directory. @param flags more of them */
export function startDaybook(directory: string, flags: readonly string[] = []): Promise<Server> {
  return start([main, '--db', directory, '--port', '0', '--log-level', 'silent', ...flags])
}

/** Daybook with its synced write replaced by setImmediate. */
export function startWithoutDisk(): Promise<Server> {
  return start([childScript('without-disk'), '--db', temporaryFolder(), '--port', '0', '--log-level', 'silent'])
}

/** A bare Fastify server that answers every request with these bytes. */
export function startBare(answer: { status: number; bytes: Buffer }): Promise<Server> {
  const file = join(temporaryFolder(), 'answer')
  writeFileSync(file, answer.bytes)
  return start([childScript('bare'), String(answer.status), file])
}

/** A bare `ws` server. @param file frames to send, one a line; bench/children/bare-live.ts says to whom */
export function startBareLive(file?: string): Promise<Server> {
  return start([childScript('bare-live'), ...(file === undefined ? [] : [file])])
}

/** Daybook whose memory can be weighed. */
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
  return ready(spawnChild(process.execPath, argv), argv)
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
      resolve({
        url,
        pid: child.pid as number,
        stop() {
          child.kill('SIGTERM')
          return ended
        }
      })
    })
    void ended.then(() => reject(new Error(`a server ended early: ${argv.join(' ')} ${said}`)))
  })
}
