/** Memory that a request takes from the budget until it is answered or its client disconnects. */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyRequest } from 'fastify'
import { DaybookError } from '../../src/errors.js'
import type { MemoryHold } from '../../src/memory/memory-hold.js'
import type { MemoryShare } from '../../src/memory/memory-share.js'
import { whileClientStays } from '../http/connections/client-gone.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** The response to this request. */
    answer: ServerResponse
  }
}

/**
 * The memory that each connection holds. Needed because a response that is pipelined behind another one gets no `close`
 * event when the connection closes.
 */
const holdsOf = new WeakMap<Socket, Set<MemoryHold>>()

/**
 * Takes memory for a request, and waits for it if necessary, until the client disconnects.
 * @throws `overloaded` as `MemoryShare.take`, and if the client has disconnected
 */
export async function takeFor(request: FastifyRequest, share: MemoryShare, bytes: number): Promise<MemoryHold> {
  const { answer } = request
  const { socket } = request.raw
  const hold = share.tryTake(bytes) ?? (await whileClientStays(socket, (gone) => share.take(bytes, gone)))
  if (answer.destroyed || socket.destroyed) {
    hold.release()
    throw new DaybookError('overloaded', 'The client has disconnected.', { written: false, retry: true })
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
