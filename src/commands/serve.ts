/** `daybook serve`: opens a directory, listens, and stops gracefully. */
import { createRequire } from 'node:module'
import type { FastifyInstance } from 'fastify'
import { buildApp } from '../../routes/index.js'
import { ServeConfig } from '../../schemas/config.js'
import { describeFlags, readConfig } from '../config.js'
import { DaybookError } from '../errors.js'
import { limits } from '../limits.js'
import { Store } from '../store.js'
import { parseCategoryRule } from '../streams/names.js'

/** From package.json, which stands two folders up from the source and three from what is built of it. */
export const version = readVersion()

const summary = 'run the server (this is the default)'

export const serve = { summary, run }

async function run(argv: string[]): Promise<number> {
  const { config, words, help } = readConfig(ServeConfig, argv)
  if (help) {
    process.stdout.write(`daybook serve [flags]: ${summary}\n\n${describeFlags(ServeConfig)}\n`)
    return 0
  }
  if (words.length > 0)
    throw new DaybookError('bad-configuration', `serve takes no "${words[0]}"; --help lists the flags`)
  const store = new Store({
    directory: config.db,
    fsync: !config['unsafe-no-fsync'],
    compression: config.compression,
    ballastBytes: limits.ballast_bytes,
    runProjections: config['run-projections'] as 'none' | 'system' | 'all',
    categoryRule: parseCategoryRule(config['category-separator'])
  })
  const loopback = /^(localhost|127\.|::1$|\[::1\]$)/.test(config.host)
  const app = await buildApp(store, {
    version,
    allowOrigins: config['allow-origin'],
    hosts: loopback ? config['allow-host'] : undefined,
    trustProxy: config['trust-proxy'],
    publicCache: config['public-cache'],
    logLevel: config['log-level']
  })
  const stopped = stopOnSignal(app, store)
  try {
    await app.listen({ host: config.host, port: config.port })
    await store.open()
  } catch (error) {
    await app.close()
    throw listenError(error, config)
  }
  process.stdout.write(`${banner(app, store, config)}\n`)
  return stopped
}

/** One line: version, address, directory, what is in it, and what an answer means. */
function banner(app: FastifyInstance, store: Store, config: ServeConfig): string {
  const { address, port } = app.server.address() as { address: string; port: number }
  const host = address.includes(':') ? `[${address}]` : address
  const promise = config['unsafe-no-fsync']
    ? 'UNSAFE: appends are answered before they are on disk'
    : 'every append is on disk before it is answered'
  const events = (store.log.head + 1).toLocaleString('en-US')
  return `Daybook ${version} · http://${host}:${port} · data in ${config.db} · ${events} events · ${promise}`
}

function listenError(error: unknown, { host, port }: ServeConfig): unknown {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'EADDRINUSE')
    return new DaybookError(
      'address-in-use',
      `port ${port} of ${host} is in use; choose another with --port`,
      {},
      error
    )
  if (code === 'EACCES' || code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    return new DaybookError(
      'bad-configuration',
      `cannot listen on ${host} port ${port}: ${(error as Error).message}`,
      {},
      error
    )
  }
  return error
}

/**
 * The first signal closes with a deadline: what was taken is answered, then the store closes. A second signal, or
 * the deadline, ends the process. @returns the exit code, when it has stopped
 */
function stopOnSignal(app: FastifyInstance, store: Store): Promise<number> {
  return new Promise((resolve) => {
    let since: number | undefined
    const stop = (signal: NodeJS.Signals) => {
      const now = store.clock.elapsed()
      if (since !== undefined) {
        // A terminal and npm both pass one Ctrl-C on: what comes at once is the same signal.
        if (now - since > 500) process.exit(130)
        return
      }
      since = now
      process.stdout.write(`${signal}: stopping\n`)
      store.clock.after(limits.stop_deadline_ms, () => {
        process.stderr.write(
          `daybook: did not stop within ${limits.stop_deadline_ms / 1000} s; what was acknowledged is on disk\n`
        )
        process.exit(1)
      })
      app.close().then(
        () => resolve(0),
        (error: Error) => {
          process.stderr.write(`daybook: ${error.message}\n`)
          resolve(1)
        }
      )
    }
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop)
  })
}

function readVersion(): string {
  const require = createRequire(import.meta.url)
  for (const path of ['../../package.json', '../../../package.json']) {
    try {
      return (require(path) as { version: string }).version
    } catch {}
  }
  return '0.0.0'
}
