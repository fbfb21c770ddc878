/** Request ids. Responses, problems and the audit log contain them. */
import { randomBytes } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'

/** Returns an id generator: it uses the client's id if short and printable, otherwise a random prefix and a counter. */
export function requestIds(): (request: { readonly headers: IncomingHttpHeaders }) => string {
  const prefix = randomBytes(6).toString('base64url')
  let count = 0
  return ({ headers }) => {
    const given = headers['request-id'] ?? headers['x-request-id']
    if (typeof given === 'string' && /^[\w.:/+=-]{1,128}$/.test(given)) return given
    return `${prefix}-${(++count).toString(36)}`
  }
}
