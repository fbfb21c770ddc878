/** Progress of writes to a socket: bytes that the kernel has and has not accepted yet. */
import type { Socket } from 'node:net'

/**
 * Returns the bytes of the current write that the kernel has not accepted yet. A stream counts a whole write until it
 * is done, whereas this number falls during the write; node's own timeouts use it, too. 0 if node does not provide it.
 */
export function queuedBytes(socket: Socket | null): number {
  const { _handle } = (socket ?? {}) as { _handle?: { writeQueueSize?: number } | null }
  return _handle?.writeQueueSize ?? 0
}

/** Returns the bytes that were written to a socket and that the kernel has not accepted yet. */
export function unflushedBytes(socket: Socket | null): number {
  if (socket === null) return 0
  const { _writableState: state } = socket as { _writableState?: { writelen: number; writing: boolean } }
  const flushedOfWrite = state?.writing ? Math.max(0, state.writelen - queuedBytes(socket)) : 0
  return Math.max(0, socket.writableLength - flushedOfWrite)
}

/** Returns the total bytes that were written to a socket and that the kernel has accepted. */
export function flushedBytes(socket: Socket | null): number {
  return socket === null ? 0 : socket.bytesWritten - unflushedBytes(socket)
}
