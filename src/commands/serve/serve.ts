/** `daybook serve`: opens a data directory, listens, and stops gracefully. */
import type { Server } from 'node:https'
import type { FastifyInstance } from 'fastify'
import { TLS } from '../../../routes/app/tls.js'
import { type AppOptions, buildApp } from '../../../routes/index.js'
import { ServeConfig } from '../../../schemas/settings.js'
import { describeFlags, readConfig, showSettings } from '../../config/config.js'
import { badConfiguration, DaybookError, resourceUnusable, systemReason } from '../../errors.js'
import { limits } from '../../limits.js'
import { giveBackFreedMemory } from '../../memory/allocator.js'
import { budgetBytes } from '../../memory/memory-limit.js'
import { Store } from '../../store/store.js'
import { parseCategoryRule } from '../../streams/names.js'
import { type Clock, systemClock } from '../../time/clock.js'
import type { WebTokenOptions } from '../../users/web-tokens.js'
import { refuseFile } from '../directory.js'
import { StartProgress } from '../progress.js'
import { version } from '../version.js'
import { counted, warn } from '../wording.js'
import { type Certificate, makeCertificate, readCertificate, readPublicKey } from './certificate.js'
import { connectionRoom } from './connection-room.js'
import { type Exposure, exposureOf } from './exposure.js'
import { collectWhenIdle } from './idle-memory.js'
import { ProcessEnd, reloadOnSignal } from './signals.js'
import { warnOfExpiry, warnOfPasswords } from './warnings.js'

const summary = 'run the server (the default command)'

const STOPPING = `Ctrl-C (or SIGTERM) stops the server after the requests in progress. A second Ctrl-C stops it at once.

Exit codes: 0 stopped by Ctrl-C or SIGTERM; 1 could not start, or stopped by an error; 2 wrong settings; 130 stopped by
a second signal.`

export const serve = { summary, run: runServe, schema: ServeConfig }

async function runServe(argv: readonly string[]): Promise<number> {
  const end = new ProcessEnd(systemClock)
  end.listen()
  const { config, words, help } = readConfig(ServeConfig, argv)
  if (help) {
    process.stdout.write(`daybook serve [flags]: ${summary}\n\n${STOPPING}\n\n${describeFlags(ServeConfig)}\n`)
    return 0
  }
  if (words.length > 0) throw badConfiguration(`unexpected argument "${words[0]}"; --help lists the flags`)
  const exposure = exposureOf(config)
  refuseFile(config.db)
  await giveBackFreedMemory()
  const progress = new StartProgress(systemClock)
  const store = makeStore(config, exposure, progress)
  const room = connectionRoom(store.memory.bytes)
  const certificate = await certificateOf(config, store.clock)
  const reload = () => reloadCertificate(app, config, store.clock)
  const app = await buildApp(store, {
    ...appOptions(config, exposure, store.memory.bytes, room.connections),
    tls: certificate,
    hsts: certificate !== undefined && !config.dev,
    control: {
      stop: () => process.kill(process.pid, 'SIGTERM'),
      reload: async () => void reload(),
      settings: showSettings(ServeConfig, config)
    }
  })
  reloadOnSignal(reload)
  for (const warning of [...exposure.warnings, room.warning ?? []].flat()) warn(warning)
  return serveUntilEnd({ app, store, config, exposure, progress, end })
}

interface Serving {
  readonly app: FastifyInstance
  readonly store: Store
  readonly config: ServeConfig
  readonly exposure: Exposure
  readonly progress: StartProgress
  readonly end: ProcessEnd
}

/** Listens, opens the store and serves. A signal can end each step. Returns the exit code. */
async function serveUntilEnd({ app, store, config, exposure, progress, end }: Serving): Promise<number> {
  try {
    if (!end.signal.aborted) await app.listen({ host: config.host, port: config.port })
  } catch (error) {
    await app.close()
    throw listenError(error, config)
  }
  const ended = end.closes(app)
  if (end.signal.aborted) return ended
  try {
    await store.open()
  } catch (error) {
    if (end.signal.aborted) return ended
    await app.close()
    throw error
  } finally {
    progress.clear()
    store.notices.forEach(warn)
  }
  if (!exposure.insecure) await warnOfPasswords(store)
  if (end.signal.aborted) return ended
  store.clockWatch.tell((warning) => {
    warn(warning.replace(/\.$/, ''))
    app.log.warn(warning)
  })
  collectWhenIdle(store.clock, store.memory)
  store.tableWatch.tell((warning) => {
    warn(warning)
    app.log.warn(warning)
  })
  process.stdout.write(`${banner(app, store, config, exposure.tls)}\n`)
  return ended
}

/** @throws DaybookError `bad-configuration` */
function makeStore(config: ServeConfig, exposure: Exposure, progress: StartProgress): Store {
  return new Store({
    directory: config.db,
    fsync: !config['unsafe-no-fsync'],
    compression: config.compression,
    ballastBytes: limits.ballast_bytes,
    memoryBytes: budgetBytes(config.memory),
    runProjections: config['run-projections'] as 'none' | 'system' | 'all',
    categoryRule: parseCategoryRule(config['category-separator']),
    anonymous: exposure.anonymous,
    firstPasswords: { admin: config['admin-password'], ops: config['ops-password'] },
    refuseFirstPassword: !exposure.local && !exposure.insecure,
    webTokens: webTokensOf(config),
    onProgress: (what, done, of, unit) => progress.show(what, done, of, unit)
  })
}

function appOptions(config: ServeConfig, exposure: Exposure, memoryBytes: number, connections: number): AppOptions {
  return {
    version,
    insecure: exposure.insecure,
    plainCredentials: exposure.plainCredentials,
    allowOrigins: config['allow-origin'],
    corsOrigins: exposure.corsOrigins,
    hosts: exposure.local ? config['allow-host'] : undefined,
    trustProxy: config['trust-proxy'],
    publicCache: config['public-cache'],
    logLevel: config['log-level'],
    load: {
      connections,
      connectionsPerAddress: config['connections-per-address'],
      requestsPerSecond: config['requests-per-second'] ?? (exposure.local ? 0 : 1000),
      requestsInFlight: Math.floor(memoryBytes / limits.request_bytes)
    }
  }
}

/** Returns the certificate of the server; undefined for plain HTTP. @throws DaybookError `resource-unusable` */
async function certificateOf(config: ServeConfig, clock: Clock): Promise<Certificate | undefined> {
  const { 'tls-cert': cert, 'tls-key': key } = config
  if (cert !== undefined && key !== undefined) {
    const certificate = readCertificate(cert, key)
    warnOfExpiry(certificate, clock)
    return certificate
  }
  if (!config.dev) return undefined
  const made = await makeCertificate(clock.now())
  process.stdout.write(`Generated a certificate for localhost; its SHA-1 fingerprint is ${made.fingerprint}.\n`)
  return made
}

/**
 * Reloads the certificate files, for new connections. Returns a text that says what was done.
 * @throws DaybookError `resource-unusable`
 */
function reloadCertificate(app: FastifyInstance, config: ServeConfig, clock: Clock): string {
  const { 'tls-cert': cert, 'tls-key': key } = config
  if (cert === undefined || key === undefined) return 'there is no certificate to reload'
  const renewed = readCertificate(cert, key)
  ;(app.server as Server).setSecureContext({ ...TLS, ...renewed })
  warnOfExpiry(renewed, clock)
  return 'the certificate was reloaded'
}

/**
 * Returns which tokens of an identity provider are accepted; undefined for none.
 * @throws DaybookError `resource-unusable`
 */
function webTokensOf(config: ServeConfig): WebTokenOptions | undefined {
  const { 'jwt-jwks': jwks, 'jwt-public-key': file } = config
  if (jwks === undefined && file === undefined) return undefined
  return {
    jwks,
    publicKey: file && readPublicKey(file),
    issuer: config['jwt-issuer'],
    audience: config['jwt-audience'],
    loginClaim: config['jwt-login-claim'],
    groupsClaim: config['jwt-groups-claim']
  }
}

/** Returns the line printed at start: version, address, directory, number of events, and what an append promises. */
function banner(app: FastifyInstance, store: Store, config: ServeConfig, tls: boolean): string {
  const { address, port } = app.server.address() as { address: string; port: number }
  const host = address.includes(':') ? `[${address}]` : address
  const scheme = tls ? 'https' : 'http'
  const promise = config['unsafe-no-fsync']
    ? 'UNSAFE: appends are answered before they are on disk'
    : 'every append is on disk before it is answered'
  const events = counted(store.log.head + 1, 'event')
  return `Daybook ${version} · ${scheme}://${host}:${port} · data in ${config.db} · ${events} · ${promise}`
}

/**
 * Returns an error text about the address for errors of listening.
 * @param error may also come from a part of the application that starts with it; it is then returned unchanged
 */
function listenError(error: unknown, { host, port }: ServeConfig): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException
  if (syscall === undefined || !['listen', 'bind', 'getaddrinfo'].includes(syscall)) return error
  if (code === 'EADDRINUSE') {
    const why = `port ${port} of ${host} is in use; choose another with --port`
    return new DaybookError('address-in-use', why, {}, error)
  }
  const other = code === 'EACCES' ? 'this user may not use that port; choose a port from 1024 up with --port' : ''
  return resourceUnusable(
    `cannot listen on ${host} port ${port}: ${other || `${systemReason(error)}; name an address of this machine with --host`}`,
    error
  )
}
