/** Memory that a request takes of the budget and gives back when it is answered, or its client has gone. */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyRequest } from 'fastify'
import { DaybookError } from '../../src/errors.js'
import type { MemoryHold } from '../../src/memory/memory-hold.js'
import type { MemoryShare } from '../../src/memory/memory-share.js'
import { whileClientStays } from '../http/connections/client-gone.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** The response that will answer it. */
    answer: ServerResponse
  }
}

/** What each connection holds. A response that waits behind another one does not hear that the connection has closed. */
const holdsOf = new WeakMap<Socket, Set<MemoryHold>>()

/**
 * Takes bytes for a request, waiting for them as long as its client stays.
 * @throws `overloaded` as `MemoryShare.take`, and when the client has gone
 */
export async function takeFor(request: FastifyRequest, share: MemoryShare, bytes: number): Promise<MemoryHold> {
  const { answer } = request
  const { socket } = request.raw
  const hold = share.tryTake(bytes) ?? (await whileClientStays(socket, (gone) => share.take(bytes, gone)))
  if (answer.destroyed || socket.destroyed) {
    hold.release()
    throw new DaybookError('overloaded', 'The client has gone.', { written: false, retry: true })
  }
  const holds = holdsOf.get(socket) ?? watch(socket)
  holds.add(hold)
  answer.once('close', () => {
    hold.release()
    holds.delete(hold)
  })
  return hold
}

function watch(socket: Socket): Set<MemoryHold> {
  const holds = new Set<MemoryHold>()
  holdsOf.set(socket, holds)
  socket.once('close', () => {
    for (const hold of holds) hold.release()
  })
  return holds
}
