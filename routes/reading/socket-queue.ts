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

/** Bytes that were written to a socket and that the kernel has not taken. */
export function untakenBytes(socket: Socket | null): number {
  if (socket === null) return 0
  const { _writableState: state } = socket as { _writableState?: { writelen: number; writing: boolean } }
  const underWay = state?.writing ? Math.max(0, state.writelen - queuedBytes(socket)) : 0
  return Math.max(0, socket.writableLength - underWay)
}

/** Bytes that the kernel has taken of everything that was written to a socket. */
export function takenBytes(socket: Socket | null): number {
  return socket === null ? 0 : socket.bytesWritten - untakenBytes(socket)
}
