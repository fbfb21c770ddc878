import type { ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'

/** Returns the response that currently owns a connection, from a private field of node; undefined without one. */
export function currentResponse(socket: Duplex): ServerResponse | undefined {
  return (socket as Duplex & { _httpMessage?: ServerResponse | null })._httpMessage ?? undefined
}
