/**
 * A streamed write (native contract §4): events come line by line, are committed in batches, and each batch is
 * acknowledged by a receipt line on the same connection. Every line is an append of its own: one whose event is in its
 * stream already is passed over, so a write that broke off can be sent again from its beginning. The first bad line ends
 * the write; the lines before it are written, none after it is.
 *
 * It may last for hours. While it is idle between its lines it holds at most 64 KiB of a batch and of a line, so it may
 * be idle for as long as it likes. What it holds beyond is taken of the memory budget, and must not lie there: a batch is
 * committed, and a line that does not go on ends the write.
 */
import type { Readable } from 'node:stream'
import { PassThrough } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Receipt } from '../../schemas/append.js'
import type { Actor } from '../../src/access/permissions.js'
import { DaybookError, isDaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import type { MemoryBudget } from '../../src/memory/memory-budget.js'
import { LineSplitter, type NumberedLine } from '../../src/ndjson.js'
import type { NewEvent } from '../../src/streams/new-event.js'
import type { Clock } from '../../src/time/clock.js'
import type { Writer } from '../../src/writing/writer.js'
import { lingerAndClose } from '../http/connections/lingering-close.js'
import { mediaTypes } from '../wire/media-types.js'
import { outcomeMembers } from '../wire/problems/outcome.js'
import { problemOf } from '../wire/problems/problem.js'
import { parseLine } from '../wire/writing/event-body.js'
import { LineMemory } from './line-memory.js'

interface Line {
  readonly number: number
  readonly event: NewEvent
}

/** What a streamed write uses. */
export interface StreamedWriteParts {
  readonly writer: Writer
  readonly memory: MemoryBudget
  readonly clock: Clock
}

type Say = (line: object) => Promise<void>

export class StreamedWrite {
  readonly #parts: StreamedWriteParts
  readonly #body: Readable
  readonly #batch: number
  readonly #actor: Actor | undefined
  readonly #memory: LineMemory
  #lines: Line[] = []
  #size = 0

  /**
   * @param batch events a commit
   * @param actor who writes; undefined: who may write everything
   */
  constructor(parts: StreamedWriteParts, body: Readable, batch: number, actor?: Actor) {
    this.#parts = parts
    this.#body = body
    this.#batch = batch
    this.#actor = actor
    this.#memory = new LineMemory(parts.memory.bodies, parts.clock)
  }

  /** Answers at once and goes on writing receipts as batches are committed. */
  answer(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const { clock } = this.#parts
    const receipts = new PassThrough()
    receipts.on('error', () => {}) // the client has gone; the body says so, too
    const say: Say = async (line) => {
      if (!receipts.write(`${JSON.stringify(line)}\n`)) await drained(receipts, clock)
    }
    this.run(say)
      .catch(async (error) => {
        const coded = isDaybookError(error) ? error : new DaybookError('internal', (error as Error).message, {}, error)
        if (!isDaybookError(error)) request.log.error({ err: error }, 'a streamed write failed')
        this.#body.resume() // the client may send first and read then
        reply.raw.once('finish', () => {
          if (request.raw.complete === false) lingerAndClose(request.raw.socket, clock)
        })
        await say({ problem: { ...problemOf(coded, request), ...outcomeMembers(coded) } })
      })
      .catch(() => request.raw.destroy()) // nobody takes the receipts
      .finally(() => receipts.end())
    // A proxy that gathers answers would keep the receipts until the end.
    reply.header('x-accel-buffering', 'no')
    return reply.code(200).header('content-type', mediaTypes.ndjson).send(receipts)
  }

  /**
   * Writes all lines. @param say called with a receipt after each commit
   * @throws what ended it, naming the line
   */
  async run(say: (receipt: Receipt) => Promise<void>): Promise<void> {
    const splitter = new LineSplitter()
    const gone = new AbortController()
    this.#body.once('close', () => {
      if (!this.#body.readableEnded) gone.abort()
    })
    try {
      for await (const chunk of this.#chunks(splitter, say)) {
        for (const line of splitter.push(chunk)) if (this.#take(line)) await this.#commit(say)
        if (splitter.pending <= limits.memory_small_bytes || this.#memory.tryLine()) continue
        // What is held is given back before more is waited for: two that wait for each other would wait for ever.
        await this.#commit(say)
        await this.#memory.takeLine(gone.signal)
      }
      const last = splitter.end()
      if (last !== undefined) this.#take(last)
    } catch (error) {
      await this.#commit(say) // what came before the bad line
      throw error
    } finally {
      this.#memory.release()
    }
    await this.#commit(say)
  }

  /** Adds a line to the batch. @returns whether the batch is to be committed now */
  #take({ number, bytes }: NumberedLine): boolean {
    const event = parseLine(bytes, number, 0, { stream: undefined, asPrinted: true })
    if (event !== undefined) {
      this.#lines.push({ number, event })
      this.#size += event.record.bytes.length
    }
    const fits = this.#memory.keepBatch(this.#size)
    return !fits || this.#lines.length >= this.#batch || this.#size >= limits.commit_bytes_max
  }

  /** The chunks of the body. Memory is held for no longer than a body may take, also where a byte comes now and then. */
  async *#chunks(splitter: LineSplitter, say: (receipt: Receipt) => Promise<void>): AsyncGenerator<Buffer> {
    // Not destroyed by an early end: the answer goes over the same socket.
    const chunks = this.#body.iterator({ destroyOnReturn: false })
    try {
      for (;;) {
        const next = chunks.next()
        if (this.#memory.held > 0 && !(await this.#comesInTime(next))) {
          if (this.#memory.holdsLine) throw lineNotGoingOn(splitter.pending)
          await this.#commit(say)
        }
        const { done, value } = await next
        if (done) return
        yield value as Buffer
      }
    } finally {
      // Not awaited: it waits for a chunk that has been asked for and may never come.
      chunks.return?.(undefined)?.catch(() => {})
    }
  }

  async #comesInTime(next: Promise<unknown>): Promise<boolean> {
    if (this.#memory.heldFor > limits.request_timeout_ms) return false
    let cancel = () => {}
    const late = new Promise<boolean>((resolve) => {
      cancel = this.#parts.clock.after(limits.request_timeout_ms, () => resolve(false))
    })
    try {
      return await Promise.race([next.then(() => true), late])
    } finally {
      cancel()
    }
  }

  async #commit(say: (receipt: Receipt) => Promise<void>): Promise<void> {
    const lines = this.#lines
    this.#lines = []
    this.#size = 0
    try {
      await this.#append(lines, say)
    } finally {
      this.#memory.release()
    }
  }

  async #append(lines: readonly Line[], say: (receipt: Receipt) => Promise<void>): Promise<void> {
    if (lines.length === 0) return
    const result = await this.#parts.writer.append({
      kind: 'append-each',
      events: lines.map(({ event }) => event),
      by: this.#actor
    })
    const replayed = result.events.filter((event) => event.replayed).length
    const done = result.events.length
    if (done > 0) {
      const position = result.events.reduce((last, event) => Math.max(last, event.position), -1)
      await say({ receipt: { lines: (lines[done - 1] as Line).number, appended: done - replayed, replayed, position } })
    }
    if (result.refused !== undefined) {
      const { error, index } = result.refused
      const line = lines[index]?.number
      throw new DaybookError(error.code, `Line ${line}: ${error.message}`, { ...error.details, line }, error)
    }
  }
}

function lineNotGoingOn(bytes: number): DaybookError {
  const seconds = limits.request_timeout_ms / 1000
  return new DaybookError(
    'request-timeout',
    `A line of ${bytes} bytes so far did not end, or did not go on, within ${seconds} s.`,
    {
      retry: true
    }
  )
}

/** Waits until receipts are read. @throws `request-timeout` when nobody reads them for `drain_ms`, or has gone */
function drained(receipts: PassThrough, clock: Clock): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (end: () => void) => {
      cancel()
      receipts.removeListener('drain', drain)
      receipts.removeListener('close', leave)
      end()
    }
    const drain = () => settle(resolve)
    const leave = () =>
      settle(() => reject(new DaybookError('request-timeout', 'The receipts of this write are not read.', {})))
    const cancel = clock.after(limits.drain_ms, leave)
    receipts.once('drain', drain)
    receipts.once('close', leave)
    if (receipts.destroyed) leave()
  })
}
