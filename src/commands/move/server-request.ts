/** How a command asks a server: its address, who signs in, and which authority vouches for it. */
import { readFileSync } from 'node:fs'
import { type ClientRequest, request as httpRequest, type OutgoingHttpHeaders } from 'node:http'
import { request as httpsRequest, type RequestOptions } from 'node:https'
import { badConfiguration } from '../../config.js'
import { DaybookError } from '../../errors.js'
import { isLoopback } from '../../network.js'

export interface RemoteConfig {
  readonly url: string
  readonly user?: string | undefined
  readonly password?: string | undefined
  readonly token?: string | undefined
  readonly 'tls-ca'?: string | undefined
}

/**
 * A request to the server, which the caller ends.
 * @param path with its query
 * @throws `bad-configuration`
 */
export function serverRequest(
  config: RemoteConfig,
  method: 'GET' | 'POST',
  path: string,
  headers: OutgoingHttpHeaders = {}
): ClientRequest {
  const { url } = config
  if (!URL.canParse('/events', url)) throw badConfiguration(`--url ${url} is not a URL`)
  const target = new URL(path, url)
  const { authorization, ...trusted } = credentialsOf(config, target)
  const send = target.protocol === 'https:' ? httpsRequest : httpRequest
  return send(target, { method, headers: { ...authorization, ...headers }, ...trusted })
}

export function serverUnreachable(why: string, cause?: unknown): DaybookError {
  return new DaybookError('server-unreachable', why, {}, cause)
}

/** @throws `bad-configuration` */
function credentialsOf(
  config: RemoteConfig,
  { protocol, hostname }: URL
): Pick<RequestOptions, 'ca'> & { readonly authorization?: OutgoingHttpHeaders } {
  const { user, password, token, 'tls-ca': file } = config
  if (user !== undefined && token !== undefined) {
    throw badConfiguration('sign in with --user or with DAYBOOK_TOKEN, not with both')
  }
  if (user !== undefined && password === undefined) {
    throw badConfiguration(`--user ${user} has a password: give it as DAYBOOK_PASSWORD`)
  }
  const basic = user && `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
  const authorization = token === undefined ? basic : `Bearer ${token}`
  if (authorization !== undefined && protocol === 'http:' && !isLoopback(hostname)) {
    process.stderr.write(`WARNING: the password or token goes to ${hostname} in plain text; use https://.\n`)
  }
  return {
    ...(authorization !== undefined && { authorization: { authorization } }),
    ...(file !== undefined && { ca: readAuthority(file) })
  }
}

function readAuthority(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (cause) {
    throw badConfiguration(`--tls-ca: cannot read ${file}: ${(cause as Error).message}`, cause)
  }
}
