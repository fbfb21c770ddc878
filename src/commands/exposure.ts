/**
 * Who can reach the server, and what that allows: decided once from the settings, before anything listens. Pure.
 * On loopback it is as easy as it can be; everywhere else nothing is open that was not opened on purpose.
 */
import { isIPv4 } from 'node:net'
import type { ServeConfig } from '../../schemas/config.js'
import { DaybookError } from '../errors.js'

export interface Exposure {
  /** Only this machine can reach it. */
  readonly loopback: boolean
  readonly tls: boolean
  readonly insecure: boolean
  readonly anonymous: boolean
  /** Passwords and tokens may come over plain HTTP. */
  readonly plainCredentials: boolean
  /** For people, before it starts. */
  readonly warnings: readonly string[]
}

/** @throws `bad-configuration` for settings that would open what they do not say they open */
export function exposureOf(config: ServeConfig): Exposure {
  const loopback = isLoopback(config.host)
  const { insecure } = config
  const tls = config.dev || config['tls-cert'] !== undefined || config['tls-key'] !== undefined
  if (config.dev && config['tls-cert'] !== undefined) throw refused('--dev makes a certificate; it takes no --tls-cert')
  if ((config['tls-cert'] === undefined) !== (config['tls-key'] === undefined)) {
    throw refused('--tls-cert and --tls-key go together')
  }
  if (config.dev && !loopback) throw refused(`--dev is for loopback; ${config.host} needs --tls-cert and --tls-key`)
  if (insecure && !loopback && !config['insecure-anywhere']) {
    throw refused(
      `--insecure on ${config.host} lets everybody who reaches it do everything; if that is what you want, say --insecure-anywhere too`
    )
  }
  if (config.anonymous === 'on' && !loopback) {
    throw refused(
      `--anonymous=on is for loopback; on ${config.host} give those who have no account a token, or a user, or say --insecure --insecure-anywhere`
    )
  }
  const credible = config['cors-origin'].includes('*') && config['cors-origin'].length > 1
  if (credible) throw refused('--cors-origin is "*" or a list of origins, not both')
  const unbound = config['jwt-issuer'] === undefined || config['jwt-audience'] === undefined
  if (config['jwt-jwks'] !== undefined && unbound) {
    throw refused('--jwt-jwks needs --jwt-issuer and --jwt-audience: a provider signs for others with the same keys')
  }
  const warnings: string[] = []
  if (insecure) warnings.push('authentication is off: everybody who reaches this server can do everything')
  const plain = !tls && !config['trust-proxy'] && !loopback && !insecure
  if (plain) {
    warnings.push(
      `plain HTTP on ${config.host}: requests with passwords or tokens are refused. Give --tls-cert and --tls-key, or --trust-proxy behind a proxy that serves TLS`
    )
  }
  return {
    loopback,
    tls,
    insecure,
    anonymous: insecure || (config.anonymous ?? (loopback ? 'on' : 'off')) === 'on',
    plainCredentials: !plain,
    warnings
  }
}

/** True for addresses that only this machine reaches. A name that merely begins like one is none. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || (isIPv4(host) && host.startsWith('127.'))
}

function refused(why: string): DaybookError {
  return new DaybookError('bad-configuration', why)
}
