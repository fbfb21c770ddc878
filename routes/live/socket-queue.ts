/** Bytes that a socket has been given and the kernel has not taken yet. */
import type { Socket } from 'node:net'

/**
 * Bytes of the write under way that the kernel has still to take. A stream counts a write until it is done; this falls
 * while it goes on, as node's own timeouts see it. 0 where node does not say.
 */
export function queuedBytes(socket: Socket | null): number {
  const { _handle } = (socket ?? {}) as { _handle?: { writeQueueSize?: number } | null }
  return _handle?.writeQueueSize ?? 0
}
