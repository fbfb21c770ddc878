/** `daybook serve`: opens a directory, listens, and stops gracefully. */
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

const summary = 'run the server (this is the default)'

const EXIT_CODES =
  'Exits with 0 after SIGTERM or Ctrl-C, with 1 when it could not start or an error stopped it, with 2 for settings it cannot run with, with 130 after a second signal.'

export const serve = { summary, run: runServe, schema: ServeConfig }

async function runServe(argv: readonly string[]): Promise<number> {
  const end = new ProcessEnd(systemClock)
  end.listen()
  const { config, words, help } = readConfig(ServeConfig, argv)
  if (help) {
    process.stdout.write(`daybook serve [flags]: ${summary}\n\n${EXIT_CODES}\n\n${describeFlags(ServeConfig)}\n`)
    return 0
  }
  if (words.length > 0) throw badConfiguration(`serve takes no "${words[0]}"; --help lists the flags`)
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

/** Listens, opens the store, and serves. A signal may end it at every step. @returns the exit code */
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

/** @throws `bad-configuration` */
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

/** The certificate to show; undefined: plain HTTP. @throws `resource-unusable` */
async function certificateOf(config: ServeConfig, clock: Clock): Promise<Certificate | undefined> {
  const { 'tls-cert': cert, 'tls-key': key } = config
  if (cert !== undefined && key !== undefined) {
    const certificate = readCertificate(cert, key)
    warnOfExpiry(certificate, clock)
    return certificate
  }
  if (!config.dev) return undefined
  const made = await makeCertificate(clock.now())
  process.stdout.write(`A certificate for localhost was made; its SHA-1 fingerprint is ${made.fingerprint}.\n`)
  return made
}

/** Reads the certificate's files again, for connections from now on. @returns what was done @throws `resource-unusable` */
function reloadCertificate(app: FastifyInstance, config: ServeConfig, clock: Clock): string {
  const { 'tls-cert': cert, 'tls-key': key } = config
  if (cert === undefined || key === undefined) return 'there is nothing to read again'
  const renewed = readCertificate(cert, key)
  ;(app.server as Server).setSecureContext({ ...TLS, ...renewed })
  warnOfExpiry(renewed, clock)
  return 'the certificate was read again'
}

/** Which tokens of an identity provider are taken; undefined: none. @throws `resource-unusable` */
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

/** One line: version, address, directory, what is in it, and what an answer means. */
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

/** @param error of listening, or of a part that begins with it: only the system's own word is about the address */
function listenError(error: unknown, { host, port }: ServeConfig): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException
  if (syscall === undefined || !['listen', 'bind', 'getaddrinfo'].includes(syscall)) return error
  if (code === 'EADDRINUSE') {
    const why = `port ${port} of ${host} is in use; choose another with --port`
    return new DaybookError('address-in-use', why, {}, error)
  }
  const other = code === 'EACCES' ? 'this account may not use that port; choose one from 1024 on with --port' : ''
  return resourceUnusable(
    `cannot listen on ${host} port ${port}: ${other || `${systemReason(error)}; name an address of this machine with --host`}`,
    error
  )
}
