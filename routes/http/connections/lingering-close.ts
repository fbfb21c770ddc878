/** Closes connections while the client may still be sending. */
import { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { limits } from '../../../src/limits.js'
import type { Clock } from '../../../src/time/clock.js'
import { announcesBody, isSmallBody } from './request-body.js'

/**
 * Ends the response, drops the bytes that the client still sends, and then closes the connection. On an immediate close
 * with unread bytes, the kernel would reset the connection, and a client that sends its whole body first would lose the
 * response. The connection is destroyed when the client ends it, sends nothing for `close_linger_ms`, or keeps sending
 * for `drain_ms` or more than `dropped_body_bytes_max`.
 */
export function lingerAndClose(socket: Socket, clock: Clock): void {
  if (socket.destroyed) return
  if (socket.readableEnded) return void Socket.prototype.destroySoon.call(socket)
  const until = clock.elapsed() + limits.drain_ms
  let seen = socket.bytesRead
  let cancel = () => {}
  const check = () => {
    if (socket.bytesRead === seen || clock.elapsed() >= until) return socket.destroy()
    seen = socket.bytesRead
    cancel = clock.after(limits.close_linger_ms, check)
  }
  cancel = clock.after(limits.close_linger_ms, check)
  socket.once('end', () => socket.destroy())
  socket.once('close', () => cancel())
  socket.on('error', () => {}) // the client reset the connection; `close` follows
  socket.end()
  dropBytes(socket)
}

/**
 * Drops all further bytes of a connection, so that no further request is parsed. Destroys the connection after
 * `dropped_body_bytes_max` bytes.
 */
export function dropBytes(socket: Socket): void {
  const from = socket.bytesRead
  const drop = () => {
    if (socket.bytesRead - from > limits.dropped_body_bytes_max) socket.destroy()
  }
  // Node may have paused the socket, and only node's own `resume` listener restarts the reading. So force a `resume`
  // event, and take the bytes over after it.
  socket.pause()
  socket.once('resume', () => takeBytes(socket, drop))
  socket.resume()
}

/** Removes node's parser from a connection: only `drop` receives its bytes. */
function takeBytes(socket: Socket, drop: () => void): void {
  socket.on('data', drop)
  for (const listener of socket.listeners('data')) {
    if (listener !== drop) socket.removeListener('data', listener as () => void)
  }
}

/**
 * Prepares the response to a request that is refused before its body was read. The response closes the connection,
 * unless the body is small and the client does not wait for `100 Continue`: then the connection stays open. A client
 * that closes the connection itself, or does not send the rest of the body, still gets the whole response.
 */
export function endRefused({ raw }: FastifyRequest, reply: FastifyReply, clock: Clock): void {
  // `complete` is undefined for a request that a test injects.
  if (raw.complete !== false || reply.raw.headersSent || !announcesBody(raw)) return
  if (!isSmallBody(raw) || raw.headers.expect !== undefined) reply.header('connection', 'close')
  const { socket } = raw
  // Node calls this after the last response on a connection.
  socket.destroySoon = () => lingerAndClose(socket, clock)
}
