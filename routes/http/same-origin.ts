/** What pages of other origins may not do (native contract §8). */
import type { FastifyRequest } from 'fastify'
import { DaybookError } from '../../src/errors.js'

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS'])

/** @param allowed origins whose pages may write, beside the server's own @throws `origin-refused` */
export function refuseForeignWrites(request: FastifyRequest, allowed: readonly string[]): void {
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
