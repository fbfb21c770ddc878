/** Filled stores: each made once a run, in a process of its own, and copied for whoever changes it. */
import { cpSync } from 'node:fs'
import { childScript } from './compile.js'
import { runChild, temporaryFolder } from './processes.js'

export interface Content {
  readonly events: number
  /** The events go to `bench-0`, `bench-1`… in turn. */
  readonly streams: number
  readonly compression?: boolean
  /** Each event carries one of so many tags, `customer:0`, `customer:1`… in turn. */
  readonly tags?: number
  /** The process that fills it is killed when the last append is answered, so nothing is closed. */
  readonly killed?: boolean
}

/** Fills a new store in `directory`. @returns how many seconds it took */
export async function fillStore(directory: string, content: Content): Promise<number> {
  const argv = [childScript('fill'), directory, JSON.stringify(content)]
  return Number(await runChild(process.execPath, argv, content.killed ? 'SIGKILL' : undefined))
}

const filled = new Map<string, Promise<string>>()

/** Directory of a filled store that others read too. */
export function filledStore(content: Content): Promise<string> {
  const key = JSON.stringify(content)
  const known = filled.get(key)
  if (known !== undefined) return known
  const directory = temporaryFolder()
  const filling = fillStore(directory, content).then(() => directory)
  filled.set(key, filling)
  return filling
}

/** Directory of an own copy of a filled store. */
export async function copiedStore(content: Content): Promise<string> {
  const copy = temporaryFolder()
  cpSync(await filledStore(content), copy, { recursive: true })
  return copy
}
