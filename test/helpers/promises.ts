/** Guarantees that hold for the response to any request. */
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib'
import { DOMParser } from '@xmldom/xmldom'
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import { errorCodes } from '../../src/errors.js'
import type { Store } from '../../src/store/store.js'
import { injectLive } from './endless.js'
import type { HostileRequest } from './hostile-pieces.js'

/** Sends a request as a client that accepts problems. Rejects with the request if there is no answer for 20 s. */
export async function injectHostile(app: FastifyInstance, request: HostileRequest): Promise<LightMyRequestResponse> {
  const { method, url, headers, payload } = request
  let timer: NodeJS.Timeout | undefined
  const never = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer to ${JSON.stringify(describeRequest(request))}`)), 20_000)
  })
  const asked = { method, url, headers: { accept: '*/*', ...headers }, ...(payload !== undefined && { payload }) }
  return Promise.race([injectLive(app, asked as InjectOptions), never]).finally(() => clearTimeout(timer))
}

export function describeRequest({ kind, method, url, headers, payload }: HostileRequest): object {
  return { kind, method, url: url.slice(0, 300), headers, payload: payload?.toString('latin1').slice(0, 500) }
}

/**
 * Returns the guarantee that an answer breaks; undefined if it breaks none. @param head position of the log's last
 * event before the request
 */
export function brokenGuarantee(
  request: HostileRequest,
  answer: LightMyRequestResponse,
  store: Store,
  head: number
): string | undefined {
  const written = store.log.head - head
  const { statusCode: status } = answer
  if (status === 501) {
    if (!NOT_YET.test(asksFor(request))) return '501 for something that is implemented'
  } else if (status >= 500) return `${status}`
  if (status >= 400 && written !== 0) return `${status}, and ${written} events were written`
  if (isReading(request) && written !== 0) return `a read wrote ${written} events`
  if (request.method === 'HEAD') return answer.body === '' ? undefined : 'a HEAD has a body'
  const wrong = wrongNatively(request, answer, store, written, head)
  return wrong !== undefined && mayBeDialect(request) ? wrongInDialect(request, answer, written) : wrong
}

function isReading({ method }: HostileRequest): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS'
}

function wrongNatively(
  request: HostileRequest,
  answer: LightMyRequestResponse,
  store: Store,
  written: number,
  head: number
): string | undefined {
  const { statusCode: status, headers } = answer
  const body = textOf(answer)
  const type = String(headers['content-type'] ?? '')
  if (status >= 400) return noProblem(status, type, body)
  if (request.method === 'DELETE') return status === 204 && written === 1 ? undefined : `${status}, ${written} written`
  if (status === 201) return wrongAppend(body, store, written, head)
  if (type.startsWith('application/x-ndjson')) return wrongLines(request, body, written)
  if (written !== 0 && request.method === 'POST') return `${status}, and ${written} events were written`
  return type.startsWith('application/json') ? notJson(body) : undefined
}

/** Whether the dialect may have answered. Each of its guarantees is weaker than that of the native form. */
function mayBeDialect({ url, headers }: HostileRequest): boolean {
  const types = `${headers.accept ?? ''} ${headers['content-type'] ?? ''}`
  return (
    Object.keys(headers).some((name) => /^(es|kurrent)-/.test(name)) ||
    (headers.accept !== undefined && headers.accept !== '*/*') ||
    /vnd\.(eventstore|kurrent)|xml/i.test(types) ||
    /[?&](embed|format)\b/.test(url) ||
    /^\/streams\/(?:[^/]*\/){2,}|^\/streams\/\$all\/|\/(metadata|filtered)\b|\/$/.test(pathOf(url))
  )
}

/** Reference 1.2, 1.3: errors are text or empty; a write is reported by status and headers only. */
function wrongInDialect(request: HostileRequest, answer: LightMyRequestResponse, written: number): string | undefined {
  const { statusCode: status, headers } = answer
  const body = textOf(answer)
  const type = String(headers['content-type'] ?? '')
  if (status >= 400) {
    if (headers['es-currentversion'] !== undefined) return wrongVersionRefusal(request)
    if (type.startsWith('application/problem+json')) return noProblem(status, type, body)
    return body === '' || /^text\/plain\b/.test(type) ? undefined : `a refusal as ${type}`
  }
  if (status === 201) {
    if (body !== '') return `201 with a body: ${body.slice(0, 100)}`
    return /\/streams\/[^/]+\/\d+$/.test(String(headers.location)) ? undefined : `201 with Location ${headers.location}`
  }
  if (status === 204 || status === 304) return body === '' ? undefined : `${status} with a body`
  if (status === 307) return written === 0 && headers.location ? undefined : '307 without a Location'
  if (/\bjson\b/.test(type)) return notJson(body)
  return /\bxml\b/.test(type) ? notXml(body) : undefined
}

/** The dialect's refusal of a version is right only if the dialect knows the version. */
function wrongVersionRefusal({ headers }: HostileRequest): string | undefined {
  const asked = ['es-expectedversion', 'kurrent-expectedversion'].flatMap((name) => headers[name]?.trim() || [])
  const known = asked.length === 0 || asked.some((version) => /^[+-]?\d{1,40}$/.test(version))
  return known ? undefined : `"${asked}" was taken for a version`
}

const NOT_YET = /where/i

function asksFor({ url, headers, payload }: HostileRequest): string {
  return `${decode(url)} ${JSON.stringify(headers)} ${payload?.toString('latin1') ?? ''}`
}

function textOf({ headers, rawPayload, body }: LightMyRequestResponse): string {
  const encoding = headers['content-encoding']
  if (encoding === 'gzip') return gunzipSync(rawPayload).toString()
  if (encoding === 'br') return brotliDecompressSync(rawPayload).toString()
  if (encoding === 'deflate') return inflateSync(rawPayload).toString()
  return body
}

/** Returns the path as it is sent: a client resolves `.` and `..`. */
export function pathOf(url: string): string {
  return new URL(url, 'http://localhost').pathname
}

export function decode(url: string): string {
  try {
    return decodeURIComponent(url)
  } catch {
    return url
  }
}

export function noProblem(status: number, type: string, body: string): string | undefined {
  if (!type.startsWith('application/problem+json')) return `${status} as ${type || 'nothing'}, not as a problem`
  const wrong = notJson(body)
  if (wrong !== undefined) return wrong
  const problem = JSON.parse(body)
  if (problem.status !== status) return `the problem says ${problem.status}, the answer ${status}`
  if (!(errorCodes as readonly string[]).includes(problem.code)) return `unknown code "${problem.code}"`
  if (problem.type !== `/problems/${problem.code}`) return `the type of ${problem.code} is ${problem.type}`
  if (typeof problem.title !== 'string' || problem.title === '') return 'a problem without a title'
  if (typeof problem.detail !== 'string' || problem.detail.length < 10)
    return `a detail that says nothing: "${problem.detail}"`
  return undefined
}

function wrongAppend(body: string, store: Store, written: number, head: number): string | undefined {
  const wrong = notJson(body)
  if (wrong !== undefined) return wrong
  const { position, replayed, events } = JSON.parse(body)
  if (replayed) return written === 0 ? undefined : `a replay that wrote ${written} events`
  if (written < 1) return '201, and nothing was written'
  // An append to a deleted stream revives it: its metadata follows the events (reference 6).
  const revived = written - (events?.length ?? written)
  if (revived < 0) return `201 says ${events.length} events, ${written} were written`
  if (position !== store.log.head - revived) return `201 says position ${position}, the log ends at ${store.log.head}`
  const first = events?.[0]?.position
  return first === undefined || first === head + 1 ? undefined : `the first event is reported at ${first}`
}

/** Checks the lines of a read, or the receipts of a streamed write. */
function wrongLines(request: HostileRequest, body: string, written: number): string | undefined {
  let appended = 0
  const lines = body.split('\n').filter((line) => line !== '')
  for (const [i, line] of lines.entries()) {
    const wrong = notJson(line)
    if (wrong !== undefined) return wrong
    const { receipt, problem } = JSON.parse(line)
    appended += receipt?.appended ?? 0
    if (problem === undefined) continue
    if (i !== lines.length - 1) return 'a problem in the middle of a transfer'
    if (problem.status >= 500) return `${problem.status} ${problem.code} at the end of a transfer`
  }
  if (isReading(request)) return undefined
  // Each deleted stream is revived by one metadata event.
  const streams = new Set(request.payload?.toString('latin1').match(/"stream":"[^"]*"/g)).size
  const consistent = written >= appended && written <= appended + streams
  return consistent ? undefined : `the receipts say ${appended} events, ${written} were written`
}

export function notJson(body: string): string | undefined {
  try {
    JSON.parse(body)
    return undefined
  } catch {
    return `the answer is not JSON: ${body.slice(0, 200)}`
  }
}

/** Returns what is wrong with a text that should be XML; undefined if nothing is. */
export function notXml(body: string): string | undefined {
  const refuse = (_level: string, message: string) => {
    throw new Error(message)
  }
  try {
    new DOMParser({ onError: refuse, locator: false }).parseFromString(body, 'text/xml')
    return undefined
  } catch (error) {
    return `the answer is not XML: ${(error as Error).message}: ${body.slice(0, 200)}`
  }
}
