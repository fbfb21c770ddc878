/** The memory of reads and of their answers, until the clients have taken them. A client that takes nothing is cut. */
import type { ServerResponse } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { limits } from '../../src/limits.js'
import type { MemoryBudget } from '../../src/memory/memory-budget.js'
import { ReadMemory } from '../../src/reading/read-memory.js'
import type { Clock } from '../../src/time/clock.js'
import { whileClientStays } from '../http/connections/client-gone.js'
import { takenBytes, untakenBytes } from './socket-queue.js'

const LOOK_EVERY_MS = 500

/** What answers use of the store. */
export interface AnswerParts {
  readonly memory: MemoryBudget
  readonly clock: Clock
}

/** An answer that its client has not taken yet. */
interface PendingAnswer {
  readonly memory: ReadMemory
  /** When the client last took `drain_bytes_min`, or all there was; milliseconds of the monotonic clock. */
  since: number
  /** Bytes that the client had taken of this connection by then. */
  taken: number
}

export class Answers {
  readonly #parts: AnswerParts
  readonly #pending = new Map<ServerResponse, PendingAnswer>()
  #looking = false

  constructor(parts: AnswerParts) {
    this.#parts = parts
  }

  /** How many answers are watched. */
  get pending(): number {
    return this.#pending.size
  }

  /** Makes an answer with the memory of its read, and gives back what the answer does not need. */
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

  /** The memory of a read that is answered event by event. The caller releases it at its end. */
  transferMemory({ raw: { socket } }: FastifyRequest): ReadMemory {
    const { transfer_bytes: step, large_transfer_bytes: large } = limits
    return new ReadMemory(this.#parts.memory, { free: 2 * step, large, wait: (take) => whileClientStays(socket, take) })
  }

  /**
   * Sends a body, and holds its bytes until the client has taken them.
   * @param memory of the read that it was made by; undefined when nothing was read for it
   * @throws `overloaded`, by the promise, when there is no memory for it
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

  /** Releases the memory when the answer has ended, and cuts the connection when its client takes nothing. */
  watch({ raw: response, request }: FastifyReply, memory: ReadMemory): void {
    const { socket } = request.raw
    if (response.destroyed || socket.destroyed) {
      memory.close()
      return
    }
    this.#pending.set(response, { memory, since: this.#parts.clock.elapsed(), taken: takenBytes(response.socket) })
    const end = () => {
      this.#pending.delete(response)
      socket.removeListener('close', end)
      memory.close()
    }
    response.once('finish', end)
    response.once('close', end)
    // A response that stands behind another on its connection does not hear that it has closed.
    socket.once('close', end)
    if (!this.#looking) this.#lookLater()
  }

  #lookLater(): void {
    this.#looking = true
    this.#parts.clock.after(LOOK_EVERY_MS, () => {
      const now = this.#parts.clock.elapsed()
      for (const [response, answer] of this.#pending) this.#look(response, answer, now)
      this.#looking = false
      if (this.#pending.size > 0) this.#lookLater()
    })
  }

  #look(response: ServerResponse, answer: PendingAnswer, now: number): void {
    const taken = takenBytes(response.socket)
    const waiting = response.writableLength + untakenBytes(response.socket)
    // One that stands behind another on its connection cannot be taken yet: it only gives way to others.
    const isBehind = response.socket === null && !answer.memory.isWanted
    if (waiting === 0 || isBehind || taken - answer.taken >= limits.drain_bytes_min) {
      answer.since = now
      answer.taken = taken
    } else if (now - answer.since > this.#patience(answer)) response.destroy()
  }

  /** Less while others wait for the memory. */
  #patience({ memory }: PendingAnswer): number {
    return memory.isWanted ? limits.drain_wanted_ms : limits.drain_ms
  }
}
