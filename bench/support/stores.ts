/** Filled stores: each is created once per run by each measured build, and copied for each use. */
import { cpSync } from 'node:fs'
import { type Build, here } from './builds.js'
import { childScript } from './compile.js'
import { event } from './events.js'
import { appendAll } from './http.js'
import { runChild, temporaryFolder } from './processes.js'
import { startDaybook } from './servers.js'

export interface Content {
  readonly events: number
  /** The events go to `bench-0`, `bench-1`… in turn. */
  readonly streams: number
  readonly compression?: boolean
  /** Number of tags; each event carries one of `customer:0`, `customer:1`… in turn. */
  readonly tags?: number
  /** Use events of the minimum size. */
  readonly bare?: boolean
  /** Kill the process that fills the store when the last append is answered, so that nothing is closed. */
  readonly killed?: boolean
}

const BATCH = 500
const CONNECTIONS = 4

/** Fills a new store in `directory` in a process of its own, without a server. Returns the seconds taken. */
export async function fillStore(directory: string, content: Content): Promise<number> {
  const argv = [childScript('fill'), directory, JSON.stringify(content)]
  return Number(await runChild(process.execPath, argv, content.killed ? 'SIGKILL' : undefined))
}

/**
 * Fills a new store in `directory` through a server of the build, so that the store is in that build's form.
 * Returns the seconds taken.
 */
export async function fillThroughServer(
  directory: string,
  content: Content,
  build: Build,
  progress: (events: number) => void = () => {}
): Promise<number> {
  const server = await startDaybook(directory, [], build)
  const started = performance.now()
  try {
    await appendAll(`${server.url}/events`, requests(content, progress), CONNECTIONS)
    return (performance.now() - started) / 1000
  } finally {
    await (content.killed ? server.kill() : server.stop())
  }
}

/** Returns bodies of requests that append the content. @param progress gets the number of events so far */
function* requests({ events, streams, tags, bare }: Content, progress: (events: number) => void): Generator<string> {
  for (let first = 0; first < events; first += BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, events - first) }, (_, n) => {
      const i = first + n
      const stream = `bench-${i % streams}`
      if (bare) return { stream, type: 'Opened' }
      return { stream, ...event(i), ...(tags !== undefined && { tags: [`customer:${i % tags}`] }) }
    })
    progress(first)
    yield JSON.stringify({ events: batch })
  }
}

const filled = new Map<string, Promise<string>>()

/** Returns the directory of a filled store that is shared by readers. */
function filledStore(content: Content, build: Build): Promise<string> {
  const key = JSON.stringify([content, build.root])
  const known = filled.get(key)
  if (known !== undefined) return known
  const directory = temporaryFolder()
  const filling = fillThroughServer(directory, content, build).then(() => directory)
  filled.set(key, filling)
  return filling
}

/** Returns the directory of a new copy of a filled store, in the format of the build. */
export async function copiedStore(content: Content, build: Build = here): Promise<string> {
  const original = await filledStore(content, build)
  const copy = temporaryFolder()
  cpSync(original, copy, { recursive: true })
  return copy
}
