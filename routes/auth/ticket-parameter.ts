/**
 * Removes `?ticket=` from the address of a request before any other code sees it. Logs, links and caches then do not
 * contain the ticket, and routes need not declare the parameter.
 */
import type { IncomingMessage } from 'node:http'

const taken = new WeakMap<object, string>()

/** Removes the ticket from the address and remembers it. Returns the address without it. */
export function stripTicket(request: IncomingMessage & { originalUrl?: string }): string {
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

/** Returns the ticket that came with a request; undefined without one. */
export function ticketOf(request: IncomingMessage): string | undefined {
  return taken.get(request)
}
