/**
 * Work in a process of its own, so that this process does not disturb the measurement. `Worker` sends jobs to a child
 * script, and `doJobs` runs them in the child. One job at a time.
 */
import type { ChildProcess } from 'node:child_process'
import { childScript } from './compile.js'
import { spawnChild } from './processes.js'

/** The jobs of a child, by name. */
export type Jobs = Record<string, (job: never) => Promise<unknown>>

interface Answer {
  readonly answer?: unknown
  readonly error?: string
}

export class Worker<J extends Jobs> {
  readonly #child: ChildProcess
  readonly #ended: Promise<void>

  /** @param script a script in bench/children */
  constructor(script: string) {
    this.#child = spawnChild(process.execPath, [childScript(script)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc']
    })
    this.#ended = new Promise((resolve) => this.#child.once('exit', () => resolve()))
  }

  /** @throws the error of the job, or if the process has ended */
  do<Name extends keyof J & string>(name: Name, job: Parameters<J[Name]>[0]): Promise<Awaited<ReturnType<J[Name]>>> {
    return new Promise((resolve, reject) => {
      this.#child.once('message', ({ answer, error }: Answer) => {
        if (error === undefined) resolve(answer as Awaited<ReturnType<J[Name]>>)
        else reject(new Error(error))
      })
      void this.#ended.then(() => reject(new Error(`the process that should ${name} has ended`)))
      this.#child.send({ name, job })
    })
  }

  stop(): Promise<void> {
    this.#child.kill()
    return this.#ended
  }
}

/** Runs the parent's jobs until the parent has ended. */
export function doJobs(jobs: Jobs): void {
  process.on('message', ({ name, job }: { name: string; job: never }) => {
    const work = jobs[name] as Jobs[string]
    work(job).then(
      (answer) => process.send?.({ answer }),
      (error: Error) => process.send?.({ error: error.message })
    )
  })
  process.on('disconnect', () => process.exit())
}
