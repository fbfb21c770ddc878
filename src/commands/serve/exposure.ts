/**
 * Who can reach the server, and what that allows: decided once from the settings, before anything listens. Pure.
 * On loopback it is as easy as it can be; everywhere else nothing is open that was not opened on purpose.
 */
import type { PlainCredentials } from '../../../routes/auth/authorization.js'
import type { ServeConfig } from '../../../schemas/settings.js'
import { badConfiguration } from '../../errors.js'
import { isLoopback } from '../../network.js'

export interface Exposure {
  /** Only this machine can reach it: it listens on loopback, and not for a proxy. */
  readonly local: boolean
  readonly tls: boolean
  readonly insecure: boolean
  readonly anonymous: boolean
  readonly plainCredentials: PlainCredentials
  /** Origins whose pages may read; `local`: pages of this machine, which also write. */
  readonly corsOrigins: readonly string[] | 'local'
  /** For people, before it starts. */
  readonly warnings: readonly string[]
}

/** @throws `bad-configuration` for settings that contradict each other, or would open what they do not say they open */
export function exposureOf(config: ServeConfig): Exposure {
  const { host, insecure, dev } = config
  const local = isLoopback(host) && !config['trust-proxy']
  const where = isLoopback(host) ? 'behind a proxy' : `on ${host}`
  const tls = dev || config['tls-cert'] !== undefined || config['tls-key'] !== undefined
  if (dev && config['tls-cert'] !== undefined)
    throw badConfiguration('--dev makes a certificate; it takes no --tls-cert')
  if ((config['tls-cert'] === undefined) !== (config['tls-key'] === undefined)) {
    throw badConfiguration('--tls-cert and --tls-key go together')
  }
  if (dev && !local) throw badConfiguration(`--dev is for loopback; ${where} give --tls-cert and --tls-key`)
  if (config['insecure-anywhere'] && !insecure)
    throw badConfiguration('--insecure-anywhere is nothing without --insecure')
  if (insecure && !local && !config['insecure-anywhere']) {
    throw badConfiguration(
      `--insecure ${where} lets everybody who reaches it do everything; if that is what you want, say --insecure-anywhere too`
    )
  }
  if (insecure && config.anonymous === 'off')
    throw badConfiguration('--insecure lets everybody in, --anonymous=off does not')
  if (config.anonymous === 'on' && !local) {
    throw badConfiguration(
      `--anonymous=on is for loopback; ${where} give whoever comes an account or a ticket, or say --insecure --insecure-anywhere`
    )
  }
  checkOrigins('cors-origin', config['cors-origin'])
  checkOrigins('allow-origin', config['allow-origin'])
  checkProvider(config)
  const plain = !tls && !config['trust-proxy'] && !local && !insecure
  const warnings: string[] = []
  if (insecure) warnings.push('authentication is off: everybody who reaches this server can do everything')
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
    throw badConfiguration(`--${flag} is "*" or a list of origins, not both`)
  for (const origin of origins) {
    if (origin === '*' || (URL.canParse(origin) && new URL(origin).origin === origin)) continue
    throw badConfiguration(`--${flag} ${origin} is no origin; one looks like https://app.example`)
  }
}

/** A provider signs for other servers with the same keys, so audience and issuer are needed; its keys must come over HTTPS. */
function checkProvider(config: ServeConfig): void {
  const { 'jwt-jwks': jwks, 'jwt-public-key': key, 'jwt-issuer': issuer, 'jwt-audience': audience } = config
  if (jwks === undefined && key === undefined) {
    if (issuer === undefined && audience === undefined) return
    throw badConfiguration(
      '--jwt-issuer and --jwt-audience are for tokens whose keys --jwt-jwks or --jwt-public-key names'
    )
  }
  if (jwks !== undefined && key !== undefined) throw badConfiguration('--jwt-jwks or --jwt-public-key, not both')
  if (issuer === undefined || audience === undefined) {
    throw badConfiguration(
      'tokens of a provider need --jwt-issuer and --jwt-audience: it signs for others with the same keys'
    )
  }
  if (jwks === undefined) return
  if (!URL.canParse(jwks)) throw badConfiguration(`--jwt-jwks ${jwks} is not a URL`)
  const { protocol, hostname } = new URL(jwks)
  if (protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname))) return
  throw badConfiguration(`--jwt-jwks ${jwks} is not https: whoever is on the way could give other keys`)
}
