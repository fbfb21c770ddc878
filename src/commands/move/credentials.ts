/** How a command that talks to a server says who it is, and whom it trusts. */
import { readFileSync } from 'node:fs'
import type { RequestOptions } from 'node:https'
import { DaybookError } from '../../errors.js'
import { isLoopback } from '../../network.js'

export interface CredentialsConfig {
  readonly url: string
  readonly user?: string | undefined
  readonly password?: string | undefined
  readonly token?: string | undefined
  readonly 'tls-ca'?: string | undefined
}

/** What a request to the server needs. @throws `bad-configuration` */
export function credentialsOf(config: CredentialsConfig): Pick<RequestOptions, 'headers' | 'ca'> {
  const { user, password, token, 'tls-ca': file } = config
  if (user !== undefined && token !== undefined) {
    throw new DaybookError('bad-configuration', 'sign in with --user or with DAYBOOK_TOKEN, not with both')
  }
  if (user !== undefined && password === undefined) {
    throw new DaybookError('bad-configuration', `--user ${user} has a password: give it as DAYBOOK_PASSWORD`)
  }
  const basic = user && `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
  const authorization = token === undefined ? basic : `Bearer ${token}`
  if (authorization !== undefined && URL.canParse(config.url)) {
    const { protocol, hostname } = new URL(config.url)
    if (protocol === 'http:' && !isLoopback(hostname)) {
      process.stderr.write(`WARNING: the password or token goes to ${hostname} in plain text; use https://.\n`)
    }
  }
  return {
    headers: authorization === undefined ? {} : { authorization },
    ...(file !== undefined && { ca: readAuthority(file) })
  }
}

function readAuthority(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (cause) {
    throw new DaybookError('bad-configuration', `--tls-ca: cannot read ${file}: ${(cause as Error).message}`, {}, cause)
  }
}
