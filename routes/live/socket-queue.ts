/** What a socket has been given and the kernel has not taken. */
import type { Socket } from 'node:net'

/**
 * Bytes of a write under way that are still to be taken. A stream counts a write until all of it is; this falls while it
 * is taken, as node's own timeouts know. 0 where it cannot be told.
 */
export function queuedBytes(socket: Socket | null): number {
  const { _handle } = (socket ?? {}) as { _handle?: { writeQueueSize?: number } | null }
  return _handle?.writeQueueSize ?? 0
}
