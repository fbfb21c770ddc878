/** How a connection ends whose client may still be sending. */
import { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { limits } from '../../../src/limits.js'
import type { Clock } from '../../../src/time/clock.js'
import { announcesBody, isSmallBody } from './request-body.js'

/**
 * Ends the answer, drops what the client still sends, and closes. To close at once would leave bytes unread, for which
 * the kernel resets the connection: a client that sends its whole body first would lose the answer. The connection is
 * destroyed when the client has ended it, has sent nothing for `close_linger_ms`, or has sent for `drain_ms` or more
 * than `dropped_body_bytes_max`.
 */
export function lingerAndClose(socket: Socket, clock: Clock): void {
  if (socket.destroyed) return
  if (socket.readableEnded) return void Socket.prototype.destroySoon.call(socket)
  const until = clock.elapsed() + limits.drain_ms
  let seen = socket.bytesRead
  let cancel = () => {}
  const look = () => {
    if (socket.bytesRead === seen || clock.elapsed() >= until) return socket.destroy()
    seen = socket.bytesRead
    cancel = clock.after(limits.close_linger_ms, look)
  }
  cancel = clock.after(limits.close_linger_ms, look)
  socket.once('end', () => socket.destroy())
  socket.once('close', () => cancel())
  socket.on('error', () => {}) // the client has reset it; `close` follows
  socket.end()
  dropBytes(socket)
}

/**
 * Drops whatever comes over a connection from now on; after `dropped_body_bytes_max` of it the connection is destroyed.
 * Node parses, and the application runs, no further request.
 */
export function dropBytes(socket: Socket): void {
  const from = socket.bytesRead
  const drop = () => {
    if (socket.bytesRead - from > limits.dropped_body_bytes_max) socket.destroy()
  }
  // Node may have paused it: its own listener begins to read again, and without that nothing does.
  socket.pause()
  socket.once('resume', () => takeBytes(socket, drop))
  socket.resume()
}

/** Takes the bytes of a connection from node's parser. */
function takeBytes(socket: Socket, drop: () => void): void {
  socket.on('data', drop)
  for (const listener of socket.listeners('data')) {
    if (listener !== drop) socket.removeListener('data', listener as () => void)
  }
}

/**
 * Prepares the answer to a request that is refused before its body was read. The connection is closed after it, unless
 * the rest of the body is small: then the client may go on with it, if it does not wait to be asked for it. A client that closes it itself, or does not send
 * the rest, gets the whole answer all the same.
 */
export function endRefused({ raw }: FastifyRequest, reply: FastifyReply, clock: Clock): void {
  // A request that a test injects does not say whether it is complete.
  if (raw.complete !== false || reply.raw.headersSent || !announcesBody(raw)) return
  if (!isSmallBody(raw) || raw.headers.expect !== undefined) reply.header('connection', 'close')
  const { socket } = raw
  // Node calls this after the last answer of a connection.
  socket.destroySoon = () => lingerAndClose(socket, clock)
}
