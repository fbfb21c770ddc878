/**
 * Derives from the settings who can reach the server and what is allowed without credentials. Decided once, before the
 * server listens. Pure. On loopback the defaults are convenient. Everywhere else, access must be granted explicitly.
 */
import type { PlainCredentials } from '../../../routes/auth/authorization.js'
import type { ServeConfig } from '../../../schemas/settings.js'
import { badConfiguration } from '../../errors.js'
import { isLoopback } from '../../network.js'

export interface Exposure {
  /** True if only this machine can reach the server: it listens on loopback, and not behind a proxy. */
  readonly local: boolean
  readonly tls: boolean
  readonly insecure: boolean
  readonly anonymous: boolean
  readonly plainCredentials: PlainCredentials
  /** Origins whose pages may read. `local`: pages served from this machine, which may also write. */
  readonly corsOrigins: readonly string[] | 'local'
  /** Printed before the server starts. */
  readonly warnings: readonly string[]
}

/**
 * Returns what the settings expose.
 * @throws DaybookError `bad-configuration` for settings that contradict each other, or that would expose more than they
 *   say
 */
export function exposureOf(config: ServeConfig): Exposure {
  const { host, insecure, dev } = config
  const local = isLoopback(host) && !config['trust-proxy']
  const where = isLoopback(host) ? 'behind a proxy' : `on ${host}`
  const tls = dev || config['tls-cert'] !== undefined || config['tls-key'] !== undefined
  if (dev && config['tls-cert'] !== undefined)
    throw badConfiguration('--dev generates a certificate; remove --dev or --tls-cert')
  if ((config['tls-cert'] === undefined) !== (config['tls-key'] === undefined)) {
    throw badConfiguration('--tls-cert and --tls-key must be given together')
  }
  if (dev && !local) throw badConfiguration(`--dev is for loopback only; ${where} give --tls-cert and --tls-key`)
  if (config['insecure-anywhere'] && !insecure)
    throw badConfiguration('--insecure-anywhere has no effect without --insecure')
  if (insecure && !local && !config['insecure-anywhere']) {
    throw badConfiguration(
      `--insecure ${where} lets everyone who can reach the server do everything; if you want that, add --insecure-anywhere`
    )
  }
  if (insecure && config.anonymous === 'off')
    throw badConfiguration('--insecure and --anonymous=off contradict each other; remove one')
  if (config.anonymous === 'on' && !local) {
    throw badConfiguration(
      `--anonymous=on is for loopback only; ${where} give each caller an account or a ticket, or use --insecure --insecure-anywhere`
    )
  }
  checkOrigins('cors-origin', config['cors-origin'])
  checkOrigins('allow-origin', config['allow-origin'])
  checkProvider(config)
  const plain = !tls && !config['trust-proxy'] && !local && !insecure
  const warnings: string[] = []
  if (insecure) warnings.push('authentication is off: everyone who can reach this server can do everything')
  if (plain) {
    warnings.push(
      `plain HTTP ${where}: requests with passwords or tokens are refused. Give --tls-cert and --tls-key, or --trust-proxy behind a proxy that serves TLS`
    )
  }
  return {
    local,
    tls,
    insecure,
    anonymous: insecure || (config.anonymous ?? (local ? 'on' : 'off')) === 'on',
    plainCredentials: plain ? 'refused' : config['trust-proxy'] && !insecure ? 'by-proxy' : 'taken',
    corsOrigins: config['cors-origin'].length > 0 ? config['cors-origin'] : local ? 'local' : ['*'],
    warnings
  }
}

function checkOrigins(flag: 'allow-origin' | 'cors-origin', origins: readonly string[]): void {
  if (origins.includes('*') && origins.length > 1)
    throw badConfiguration(`--${flag} must be "*" or a list of origins, not both`)
  for (const origin of origins) {
    if (origin === '*' || (URL.canParse(origin) && new URL(origin).origin === origin)) continue
    throw badConfiguration(`--${flag} ${origin} is not an origin; an origin looks like https://app.example`)
  }
}

/**
 * Checks the settings of the identity provider. Issuer and audience are required, because a provider signs tokens for
 * other servers with the same keys. The keys must come over HTTPS.
 */
function checkProvider(config: ServeConfig): void {
  const { 'jwt-jwks': jwks, 'jwt-public-key': key, 'jwt-issuer': issuer, 'jwt-audience': audience } = config
  if (jwks === undefined && key === undefined) {
    if (issuer === undefined && audience === undefined) return
    throw badConfiguration('--jwt-issuer and --jwt-audience also need --jwt-jwks or --jwt-public-key')
  }
  if (jwks !== undefined && key !== undefined) throw badConfiguration('give --jwt-jwks or --jwt-public-key, not both')
  if (issuer === undefined || audience === undefined) {
    throw badConfiguration(
      'tokens of an identity provider need --jwt-issuer and --jwt-audience, because it signs tokens for other servers with the same keys'
    )
  }
  if (jwks === undefined) return
  if (!URL.canParse(jwks)) throw badConfiguration(`--jwt-jwks ${jwks} is not a URL`)
  const { protocol, hostname } = new URL(jwks)
  if (protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname))) return
  throw badConfiguration(`--jwt-jwks ${jwks} is not https: an attacker on the network could replace the keys`)
}
