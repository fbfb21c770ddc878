/**
 * Work that a server of any build can be given. A line of work describes it once: measured beside a limit it is a
 * figure of that line, and `--against` gives it to two builds.
 */
import { type Build, here } from './builds.js'
import { removeFolder, temporaryFolder } from './processes.js'
import { type Server, startDaybook } from './servers.js'
import { type Content, copiedStore } from './stores.js'
import type { Rate } from './usage.js'
import { load, type Script } from './wrk.js'

interface Figure {
  readonly what: string
  /** Of the rate. */
  readonly unit: string
  /** Content of the server's directory; absent: empty. */
  readonly store?: Content
}

/** Work of a running server. */
export interface Work extends Figure {
  readonly flags?: readonly string[]
  /** Creates the client that loads the server, and its accounts, rules and subscriptions. */
  client(server: Server): Client | Promise<Client>
}

/** Work that is the start of a server: repeated on a new copy of its store. */
export interface Start extends Figure {
  readonly store: Content
  start(directory: string, build: Build): Promise<Rate>
}

export interface Client {
  /** @param seconds how long; a fixed piece of work is done at least once and until they have passed */
  load(seconds: number): Promise<Rate>
  leave?(): Promise<unknown>
}

/** A warm server with its client. */
export interface Subject {
  readonly server: Server
  /** Result of the first load, which warms the server up. */
  readonly first: Rate
  load(seconds: number): Promise<Rate>
  /** Stops both and removes a directory that was created for them. */
  stop(): Promise<void>
}

/** Seconds of load before anything is measured. */
const WARM_UP = 2

export function directoryOf({ store }: Figure, build: Build = here): Promise<string> {
  return store === undefined ? Promise.resolve(temporaryFolder()) : copiedStore(store, build)
}

/** Starts a server and the client of the work, and warms both up. @param directory its store; absent: a new one */
export async function startWork(
  work: Work,
  { build = here, directory, warmUp = WARM_UP }: { build?: Build; directory?: string | undefined; warmUp?: number } = {}
): Promise<Subject> {
  const folder = directory ?? (await directoryOf(work, build))
  const server = await startDaybook(folder, work.flags, build)
  let client: Client | undefined
  const stop = async () => {
    await client?.leave?.()
    await server.stop()
    if (directory === undefined) removeFolder(folder)
  }
  try {
    const made = await work.client(server)
    client = made
    const first = await made.load(warmUp)
    return { server, first, load: (seconds) => made.load(seconds), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/**
 * A client that sends a script's requests.
 * @param events how many events a request holds; they are counted, not requests
 */
export function sends(script: Script, { connections = 64, events = 1 } = {}): Work['client'] {
  return (server) => ({
    async load(seconds) {
      const result = await load(server, script, { connections, seconds })
      return { ...result, rate: result.rate * events, cpu: result.cpu / events }
    }
  })
}
