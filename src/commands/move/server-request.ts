/** Requests of a command to a server: its address, credentials and certificate authority. */
import { readFileSync } from 'node:fs'
import { type ClientRequest, request as httpRequest, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http'
import { request as httpsRequest, type RequestOptions } from 'node:https'
import { badConfiguration, DaybookError, resourceUnusable, systemReason } from '../../errors.js'
import { isLoopback } from '../../network.js'
import { warn } from '../wording.js'

export interface RemoteConfig {
  readonly url: string
  readonly user?: string | undefined
  readonly password?: string | undefined
  readonly token?: string | undefined
  readonly 'tls-ca'?: string | undefined
}

/** The members of a problem document that commands read. */
export interface ServerProblem {
  readonly code?: string
  readonly detail?: string
}

/** Maximum number of bytes read of an error response. A problem document is shorter. */
const REFUSAL_BYTES_MAX = 64 * 1024

/**
 * Returns a request to the server. The caller must end it.
 * @param path with its query; appended to the path of --url, which a proxy may need
 * @param signal aborts the request and its response
 * @throws DaybookError `bad-configuration`, `resource-unusable`
 */
export function serverRequest(
  config: RemoteConfig,
  method: 'GET' | 'POST',
  path: string,
  headers: OutgoingHttpHeaders = {},
  signal?: AbortSignal
): ClientRequest {
  const target = serverAddress(config.url, path)
  const { authorization, ...trusted } = credentialsOf(config, target)
  const send = target.protocol === 'https:' ? httpsRequest : httpRequest
  return send(target, { method, headers: { ...authorization, ...headers }, ...trusted, ...(signal && { signal }) })
}

/** @throws DaybookError `bad-configuration` */
function serverAddress(url: string, path: string): URL {
  const base = URL.canParse(url) ? new URL(url) : undefined
  if (base === undefined || !/^https?:$/.test(base.protocol)) {
    throw badConfiguration(`--url ${url} is not the address of a server; an address looks like http://127.0.0.1:2113`)
  }
  return new URL(`${base.pathname.replace(/\/$/, '')}${path}`, base)
}

export function serverUnreachable(why: string, cause?: unknown): DaybookError {
  return new DaybookError('server-unreachable', why, {}, cause)
}

/** Returns the error for a request without a response. */
export function noServer(url: string, cause: unknown): DaybookError {
  const { code, message } = cause as NodeJS.ErrnoException
  const reason = systemReason(cause) || code || message
  const next = isUntrusted(code)
    ? 'name the certificate authority to trust with --tls-ca'
    : 'start the server, or name its address with --url'
  return serverUnreachable(`no server answers at ${url} (${reason}); ${next}`, cause)
}

function isUntrusted(code = ''): boolean {
  return /CERT|SELF_SIGNED|UNABLE_TO/.test(code)
}

/**
 * Returns the error for a response that is not 200, from its problem document or otherwise from its status.
 * @param response its body is read
 */
export async function errorOfRefusal(response: IncomingMessage, { url, user }: RemoteConfig): Promise<DaybookError> {
  const status = `${response.statusCode} ${response.statusMessage ?? ''}`.trim()
  const { code, detail } = problemIn(await beginningOf(response))
  if (detail === undefined)
    return serverUnreachable(
      `the server at ${url} is not Daybook, it answered "${status}"; name the address of a Daybook server with --url`
    )
  return refusedBy({ code: code ?? '', detail }, user)
}

/** Returns the error for a problem document. @param user the login name; undefined for a token or no credentials */
export function refusedBy({ code, detail = '' }: ServerProblem, user: string | undefined): DaybookError {
  const says = detail.replace(/\.$/, '')
  if (code === 'stopping')
    return serverUnreachable(`the server is stopping (${says}); run the command again to continue`)
  let next = ''
  if (code === 'wrong-credentials') {
    next = user === undefined ? '. Check DAYBOOK_TOKEN' : '. Check --user and DAYBOOK_PASSWORD'
  }
  if (code === 'sign-in-required') next = '. Sign in with --user and DAYBOOK_PASSWORD, or with DAYBOOK_TOKEN'
  return new DaybookError('import-refused', `the server refused: ${says}${next}`)
}

function problemIn(text: string): ServerProblem {
  try {
    const { code, detail } = JSON.parse(text) as Record<string, unknown>
    return { ...(typeof code === 'string' && { code }), ...(typeof detail === 'string' && { detail }) }
  } catch {
    return {}
  }
}

async function beginningOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      size += chunk.length
      if (size > REFUSAL_BYTES_MAX) break
    }
  } catch {} // the part that arrived is used
  return Buffer.concat(chunks).toString()
}

/** @throws DaybookError `bad-configuration`, `resource-unusable` */
function credentialsOf(
  config: RemoteConfig,
  { protocol, hostname }: URL
): Pick<RequestOptions, 'ca'> & { readonly authorization?: OutgoingHttpHeaders } {
  const { user, password, token, 'tls-ca': file } = config
  if (user !== undefined && token !== undefined) {
    throw badConfiguration('give --user or DAYBOOK_TOKEN, not both')
  }
  if (user !== undefined && password === undefined) {
    throw badConfiguration(`--user ${user} needs a password; set DAYBOOK_PASSWORD`)
  }
  const basic = user && `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
  const authorization = token === undefined ? basic : `Bearer ${token}`
  if (authorization !== undefined && protocol === 'http:' && !isLoopback(hostname)) {
    warn(`the password or token is sent to ${hostname} in plain text; use https://`)
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
    throw resourceUnusable(`--tls-ca: cannot read ${file}: ${systemReason(cause)}`, cause)
  }
}
