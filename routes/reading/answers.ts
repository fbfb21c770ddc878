/**
 * Accounts for the memory of reads and their responses until the responses are flushed. Cuts off clients that accept no
 * data.
 */
import type { ServerResponse } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { limits } from '../../src/limits.js'
import type { MemoryBudget } from '../../src/memory/memory-budget.js'
import { ReadMemory } from '../../src/reading/read-memory.js'
import type { Clock } from '../../src/time/clock.js'
import { whileClientStays } from '../http/connections/client-gone.js'
import { flushedBytes, unflushedBytes } from './socket-queue.js'

const POLL_MS = 500

/** The parts of the store that responses use. */
export interface AnswerParts {
  readonly memory: MemoryBudget
  readonly clock: Clock
}

/** A response that is not flushed yet. */
interface PendingAnswer {
  readonly memory: ReadMemory
  /**
   * When the client last made progress: accepted `drain_bytes_min` bytes, or all that was written. Milliseconds of the
   * monotonic clock.
   */
  since: number
  /** Bytes that were flushed on this connection at that time. */
  flushed: number
}

export class Answers {
  readonly #parts: AnswerParts
  readonly #pending = new Map<ServerResponse, PendingAnswer>()
  #isPolling = false

  constructor(parts: AnswerParts) {
    this.#parts = parts
  }

  /** Number of watched responses. */
  get pending(): number {
    return this.#pending.size
  }

  /** Runs a read with memory of its own. Then releases the memory that its response does not need. */
  async reading(request: FastifyRequest, work: (memory: ReadMemory) => Promise<FastifyReply>): Promise<FastifyReply> {
    const { socket } = request.raw
    const memory = new ReadMemory(this.#parts.memory, {
      large: limits.large_read_bytes,
      wait: (take) => whileClientStays(socket, take)
    })
    try {
      return await work(memory)
    } finally {
      memory.close()
    }
  }

  /** Returns the memory for a transfer, which is sent event by event. The caller must release it at the end. */
  transferMemory({ raw: { socket } }: FastifyRequest): ReadMemory {
    const { transfer_bytes: step, large_transfer_bytes: large } = limits
    return new ReadMemory(this.#parts.memory, { free: 2 * step, large, wait: (take) => whileClientStays(socket, take) })
  }

  /**
   * Sends a body, and holds memory for it until it is flushed.
   * @param memory memory of the read that produced the body; undefined if nothing was read for it
   * @throws `overloaded`, by the promise, if there is no memory for the body
   */
  send(reply: FastifyReply, body: Buffer, memory?: ReadMemory): FastifyReply | Promise<FastifyReply> {
    if (memory === undefined) {
      if (body.length <= limits.memory_small_bytes) return reply.send(body)
      return this.reading(reply.request, async (own) => this.send(reply, body, own))
    }
    const taken = memory.take(body.length)
    if (taken !== undefined) return taken.then(() => this.#send(reply, body, memory))
    return this.#send(reply, body, memory)
  }

  #send(reply: FastifyReply, body: Buffer, memory: ReadMemory): FastifyReply {
    if (memory.bytes > 0) this.watch(reply, memory.handOver())
    return reply.send(body)
  }

  /** Releases the memory when the response ends. Cuts the connection if its client accepts no data for too long. */
  watch({ raw: response, request }: FastifyReply, memory: ReadMemory): void {
    const { socket } = request.raw
    if (response.destroyed || socket.destroyed) {
      memory.close()
      return
    }
    this.#pending.set(response, { memory, since: this.#parts.clock.elapsed(), flushed: flushedBytes(response.socket) })
    const end = () => {
      this.#pending.delete(response)
      socket.removeListener('close', end)
      memory.close()
    }
    response.once('finish', end)
    response.once('close', end)
    // A response that is pipelined behind another one gets no `close` event when the connection closes.
    socket.once('close', end)
    if (!this.#isPolling) this.#pollLater()
  }

  #pollLater(): void {
    this.#isPolling = true
    this.#parts.clock.after(POLL_MS, () => {
      const now = this.#parts.clock.elapsed()
      for (const [response, answer] of this.#pending) this.#check(response, answer, now)
      this.#isPolling = false
      if (this.#pending.size > 0) this.#pollLater()
    })
  }

  #check(response: ServerResponse, answer: PendingAnswer, now: number): void {
    const flushed = flushedBytes(response.socket)
    const waiting = response.writableLength + unflushedBytes(response.socket)
    // A response behind another one on its connection cannot be sent yet. It is cut only if others need its memory.
    const isBehind = response.socket === null && !answer.memory.isWanted
    if (waiting === 0 || isBehind || flushed - answer.flushed >= limits.drain_bytes_min) {
      answer.since = now
      answer.flushed = flushed
    } else if (now - answer.since > this.#timeout(answer)) response.destroy()
  }

  /** Milliseconds without progress before a client is cut off. Shorter while other requests wait for memory. */
  #timeout({ memory }: PendingAnswer): number {
    return memory.isWanted ? limits.drain_wanted_ms : limits.drain_ms
  }
}
