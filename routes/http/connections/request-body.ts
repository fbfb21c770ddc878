/** Facts about the body of a request, from its headers. */
import type { IncomingMessage } from 'node:http'
import { limits } from '../../../src/limits.js'

/** Returns true when a body follows the headers. A chunked body may turn out to be empty. */
export function announcesBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || announcedLength(headers) > 0
}

/** Returns true for a body with a known length that is too small to count towards the memory budget. */
export function isSmallBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] === undefined && announcedLength(headers) <= limits.memory_small_bytes
}

/** Returns the Content-Length in bytes; 0 without one. */
export function announcedLength(headers: IncomingMessage['headers']): number {
  const length = headers['content-length']
  return length === undefined ? 0 : Number(length)
}
