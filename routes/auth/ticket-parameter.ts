/**
 * `?ticket=` is taken out of an address before anything else sees it: no log, no link and no cache has it then, and it
 * is no parameter of any route.
 */
import type { IncomingMessage } from 'node:http'

const taken = new WeakMap<object, string>()

/** The address without its ticket. */
export function takeTicket(request: IncomingMessage & { originalUrl?: string }): string {
  const { url = '' } = request
  const start = url.indexOf('?')
  if (start < 0 || !url.includes('ticket=', start)) return url
  const left: string[] = []
  for (const parameter of url.slice(start + 1).split('&')) {
    if (!parameter.startsWith('ticket=')) left.push(parameter)
    else taken.set(request, parameter.slice('ticket='.length))
  }
  request.url = left.length === 0 ? url.slice(0, start) : `${url.slice(0, start)}?${left.join('&')}`
  request.originalUrl = request.url
  return request.url
}

/** The ticket that a request came with. */
export function takenTicket(request: IncomingMessage): string | undefined {
  return taken.get(request)
}
