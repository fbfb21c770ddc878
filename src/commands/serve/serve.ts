/** `daybook serve`: opens a directory, listens, and stops gracefully. */

import { X509Certificate } from 'node:crypto'
import type { Server } from 'node:https'
import { createRequire } from 'node:module'
import type { FastifyInstance } from 'fastify'
import { TLS } from '../../../routes/app/tls.js'
import { buildApp } from '../../../routes/index.js'
import type { Control } from '../../../routes/resources/admin.js'
import { ServeConfig } from '../../../schemas/config.js'
import { describeFlags, readConfig, showSettings } from '../../config.js'
import { DaybookError } from '../../errors.js'
import { limits } from '../../limits.js'
import { Store } from '../../store/store.js'
import { parseCategoryRule } from '../../streams/names.js'
import { FIRST_PASSWORD } from '../../users/account.js'
import type { WebTokenOptions } from '../../users/web-tokens.js'
import { type Certificate, makeCertificate, readCertificate, readPublicKey } from './certificate.js'
import { exposureOf } from './exposure.js'

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
  const exposure = exposureOf(config)
  const store = new Store({
    directory: config.db,
    fsync: !config['unsafe-no-fsync'],
    compression: config.compression,
    ballastBytes: limits.ballast_bytes,
    runProjections: config['run-projections'] as 'none' | 'system' | 'all',
    categoryRule: parseCategoryRule(config['category-separator']),
    anonymous: exposure.anonymous,
    firstPasswords: { admin: config['admin-password'], ops: config['ops-password'] },
    refuseFirstPassword: !exposure.local && !exposure.insecure,
    webTokens: webTokensOf(config)
  })
  const certificate = await certificateOf(config, store)
  const control: Control = {
    stop: () => process.kill(process.pid, 'SIGTERM'),
    reload: async () => void reload(),
    settings: showSettings(ServeConfig, config)
  }
  const app = await buildApp(store, {
    version,
    control,
    tls: certificate,
    hsts: certificate !== undefined && !config.dev,
    insecure: exposure.insecure,
    plainCredentials: exposure.plainCredentials,
    allowOrigins: config['allow-origin'],
    corsOrigins: exposure.corsOrigins,
    hosts: exposure.local ? config['allow-host'] : undefined,
    trustProxy: config['trust-proxy'],
    publicCache: config['public-cache'],
    logLevel: config['log-level'],
    load: {
      connectionsPerAddress: config['connections-per-address'],
      requestsPerSecond: config['requests-per-second'] ?? (exposure.local ? 0 : 1000),
      eventLoopDelayMs: limits.event_loop_delay_ms
    }
  })
  const reload = () => {
    const { 'tls-cert': cert, 'tls-key': key } = config
    if (cert === undefined || key === undefined) return 'there is nothing to read again'
    const renewed = readCertificate(cert, key)
    ;(app.server as Server).setSecureContext({ ...TLS, ...renewed })
    warnOfExpiry(renewed, store)
    return 'the certificate was read again'
  }
  const stopped = stopOnSignal(app, store)
  reloadOnSignal(reload)
  for (const warning of exposure.warnings) warn(warning)
  try {
    await app.listen({ host: config.host, port: config.port })
    await store.open().finally(() => store.notices.forEach(warn))
  } catch (error) {
    await app.close()
    throw listenError(error, config)
  }
  if (!exposure.insecure) await warnOfPasswords(store)
  store.clockWatch.tell((warning) => {
    warn(warning.replace(/\.$/, ''))
    app.log.warn(warning)
  })
  process.stdout.write(`${banner(app, store, config, exposure.tls)}\n`)
  return stopped
}

async function warnOfPasswords({ accounts, options }: Store): Promise<void> {
  const open = accounts.withFirstPassword()
  if (open.length > 0) {
    const one = open.length === 1
    warn(
      `${open.join(' and ')} ${one ? 'has' : 'have'} the password "${FIRST_PASSWORD}", which everybody knows; change it before others can reach this server`
    )
  }
  for (const [login, password] of Object.entries(options.firstPasswords ?? {})) {
    if (password === undefined || (await accounts.verify(login, password)) !== undefined) continue
    warn(
      `DAYBOOK_${login.toUpperCase()}_PASSWORD is not the password of ${login}: it only takes the place of the first one`
    )
  }
}

const DAY_MS = 86_400_000

function warnOfExpiry({ cert }: Certificate, { clock }: Store): void {
  const { validTo } = new X509Certificate(cert)
  const days = Math.floor((Date.parse(validTo) - clock.now()) / DAY_MS)
  if (days < 14) warn(days < 0 ? `the certificate is over since ${validTo}` : `the certificate ends on ${validTo}`)
}

/** @throws `bad-configuration` */
async function certificateOf(config: ServeConfig, store: Store): Promise<Certificate | undefined> {
  const { 'tls-cert': cert, 'tls-key': key } = config
  if (cert !== undefined && key !== undefined) {
    const certificate = readCertificate(cert, key)
    warnOfExpiry(certificate, store)
    return certificate
  }
  if (!config.dev) return undefined
  const made = await makeCertificate(store.clock.now())
  process.stdout.write(`A certificate for localhost was made; its SHA-1 fingerprint is ${made.fingerprint}.\n`)
  return made
}

/** What is taken from an identity provider; undefined: nothing. @throws `bad-configuration` */
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

function warn(what: string): void {
  process.stderr.write(`WARNING: ${what}.\n`)
}

/** What cannot be read leaves what there was. */
function reloadOnSignal(reload: () => string): void {
  process.on('SIGHUP', () => {
    try {
      process.stdout.write(`SIGHUP: ${reload()}\n`)
    } catch (error) {
      warn(`SIGHUP: ${(error as Error).message}`)
    }
  })
}

/** One line: version, address, directory, what is in it, and what an answer means. */
function banner(app: FastifyInstance, store: Store, config: ServeConfig, tls: boolean): string {
  const { address, port } = app.server.address() as { address: string; port: number }
  const host = address.includes(':') ? `[${address}]` : address
  const scheme = tls ? 'https' : 'http'
  const promise = config['unsafe-no-fsync']
    ? 'UNSAFE: appends are answered before they are on disk'
    : 'every append is on disk before it is answered'
  const events = (store.log.head + 1).toLocaleString('en-US')
  return `Daybook ${version} · ${scheme}://${host}:${port} · data in ${config.db} · ${events} events · ${promise}`
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
  for (const path of ['../../../package.json', '../../../../package.json']) {
    try {
      return (require(path) as { version: string }).version
    } catch {}
  }
  return '0.0.0'
}
