/** What every request passes before its route: who calls from where, whether the store is open, how long a body takes. */
import type { FastifyInstance, FastifyRequest, onRequestHookHandler, preHandlerHookHandler } from 'fastify'
import { DaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import { addressOf, isLoopback } from '../../src/network.js'
import type { Clock } from '../../src/time/clock.js'
import { isNdjson, mediaType } from '../wire/writing/stream-body.js'
import { endWithProblem } from './error-handler.js'

const LOCAL_HOST = /^(localhost|[\w-]+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i

/** No web page may reach a developer's store under a name of its own. @throws `host-refused`, `bad-request` */
export function checkHost(request: FastifyRequest, hosts: readonly string[] | undefined): void {
  const { host } = request.headers
  if (host === undefined && request.raw.httpVersion === '1.1') {
    throw new DaybookError('bad-request', 'A request of HTTP/1.1 names its Host.')
  }
  if (host === undefined) return
  if (!/^[\w.:[\]-]*$/.test(host)) throw new DaybookError('bad-request', 'The Host is a name or address and a port.')
  if (hosts === undefined) return
  if (LOCAL_HOST.test(host) || hosts.includes(host.replace(/:\d+$/, '').toLowerCase())) return
  throw new DaybookError(
    'host-refused',
    `This server listens on loopback and does not answer to "${host.slice(0, 100)}".`
  )
}

/**
 * A server that only this machine reaches is asked by nobody else: whoever comes through a proxy has to be told of.
 * @throws `host-refused`
 */
export function checkDirect({ headers }: FastifyRequest): void {
  const named = [
    ...String(headers['x-forwarded-for'] ?? '').split(','),
    ...[...(headers.forwarded ?? '').matchAll(/for="?([^;,"]*)/gi)].map(([, address = '']) => address)
  ]
  if (named.every((address) => address.trim() === '' || isLoopback(addressOf(address.trim())))) return
  throw new DaybookError(
    'host-refused',
    'This came through a proxy, for somebody else than this machine. Start the server with --trust-proxy: then it also wants passwords that not everybody knows.'
  )
}

/** @throws `starting`, `stopping` */
export function checkOpen({ status, reason }: { readonly status: string; readonly reason: string }): void {
  if (status === 'open') return
  throw new DaybookError(status === 'closed' ? 'stopping' : 'starting', `Not ready: ${reason}.`, {
    reason,
    retry: true
  })
}

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS'])

/** No foreign page may write. @throws `origin-refused` */
export function checkOrigin(request: FastifyRequest, allowed: readonly string[]): void {
  if (!SAFE.has(request.method)) checkSameOrigin(request, allowed, 'write here')
}

/**
 * @param what they may not do
 * @throws `origin-refused` for pages of other origins than the allowed, also where a browser names no origin (an image)
 */
export function checkSameOrigin(request: FastifyRequest, allowed: readonly string[], what: string): void {
  const origin = request.headers.origin ?? (request.headers['sec-fetch-site'] === 'cross-site' ? 'null' : undefined)
  if (origin === undefined) return
  if (allowed.includes(origin) || allowed.includes('*')) return
  // Where a proxy is believed, the host is what it says.
  if (URL.canParse(origin) && new URL(origin).host === request.host) return
  throw new DaybookError('origin-refused', `A page of ${origin.slice(0, 200)} may not ${what}.`, {
    written: false,
    retry: false
  })
}

const BODIED = new Set(['POST', 'PUT', 'PATCH'])
const SLOW_LOOK_MS = 5000

/**
 * Ends requests whose body has not come within the limit, with 408. A streamed write is left alone: it may last for
 * hours, and node's own limit knows no exception. Only routes that take a body pay for it.
 */
export function cutSlowBodies(app: FastifyInstance, clock: Clock): void {
  const waiting = new Map<FastifyRequest, number>()
  let cancel = () => {}
  const look = () => {
    const since = clock.elapsed() - limits.request_timeout_ms
    for (const [request, begun] of waiting) {
      const { complete, destroyed, socket } = request.raw
      if (!complete && !destroyed && begun > since) continue
      waiting.delete(request)
      if (!complete && !destroyed) endWithProblem(socket, 'request-timeout')
    }
    cancel = clock.after(SLOW_LOOK_MS, look)
  }
  app.addHook('onRoute', (route) => {
    if (![route.method].flat().some((method) => BODIED.has(method))) return
    const begin: onRequestHookHandler = (request, _reply, done) => {
      const streamed = route.url === '/events' && isNdjson(mediaType(request.headers['content-type']))
      if (!streamed) waiting.set(request, clock.elapsed())
      done()
    }
    const end: preHandlerHookHandler = (request, _reply, done) => {
      waiting.delete(request)
      done()
    }
    // Before the hooks that the route brings itself, which stay.
    route.onRequest = [begin, ...[route.onRequest ?? []].flat()]
    route.preHandler = [end, ...[route.preHandler ?? []].flat()]
  })
  app.addHook('onReady', async () => look())
  app.addHook('onClose', async () => cancel())
}

const IDLE_LOOK_MS = 50

/**
 * While the application closes, every answer is the last one of its connection, and connections that have fallen idle
 * are ended: a client that keeps asking on a kept-alive connection would otherwise hold the close for ever.
 */
export function closeGracefully(app: FastifyInstance, { clock }: { readonly clock: Clock }): { begun: boolean } {
  const closing = { begun: false }
  let cancel = () => {}
  const endIdle = () => {
    app.server.closeIdleConnections()
    cancel = clock.after(IDLE_LOOK_MS, endIdle)
  }
  app.addHook('preClose', async () => {
    closing.begun = true
    endIdle()
  })
  app.addHook('onClose', async () => cancel())
  return closing
}
