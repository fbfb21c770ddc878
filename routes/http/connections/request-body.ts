/** What the headers of a request say of its body. */
import type { IncomingMessage } from 'node:http'
import { limits } from '../../../src/limits.js'

/** True when a body follows the headers; it may be empty where its length is not said. */
export function announcesBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || announcedLength(headers) > 0
}

/** True for a body that says it is too small to be counted. */
export function isSmallBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] === undefined && announcedLength(headers) <= limits.memory_small_bytes
}

/** The Content-Length, bytes; 0 without one. */
export function announcedLength(headers: IncomingMessage['headers']): number {
  const length = headers['content-length']
  return length === undefined ? 0 : Number(length)
}
