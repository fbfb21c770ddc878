import type { ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'

/** The response that has the connection, by node's own name for it; undefined when no request is being answered there. */
export function currentResponse(socket: Duplex): ServerResponse | undefined {
  return (socket as Duplex & { _httpMessage?: ServerResponse | null })._httpMessage ?? undefined
}
