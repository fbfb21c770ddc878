/**
 * A streamed write (native contract §4). Events arrive line by line and are committed in batches. Each batch is
 * acknowledged by a receipt line on the same connection. Every line is an append of its own: an event that is in its
 * stream already is skipped, so an interrupted write can be sent again from its beginning. The first invalid line ends
 * the write: the lines before it are written, the lines after it are not.
 *
 * A streamed write may last for hours. While it is idle between lines, it holds at most 64 KiB of a batch and of a
 * line, so it may be idle without a limit. Memory beyond that comes from the budget and must not be held for long: the
 * batch is committed, and a line that does not continue ends the write.
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

/** The parts of the store that a streamed write uses. */
export interface StreamedWriteParts {
  readonly writer: Writer
  readonly memory: MemoryBudget
  readonly clock: Clock
}

type SendLine = (line: object) => Promise<void>

export class StreamedWrite {
  readonly #parts: StreamedWriteParts
  readonly #body: Readable
  readonly #batch: number
  readonly #actor: Actor | undefined
  readonly #memory: LineMemory
  #lines: Line[] = []
  #size = 0

  /**
   * @param batch events per commit
   * @param actor the writing account; undefined: may write everything
   */
  constructor(parts: StreamedWriteParts, body: Readable, batch: number, actor?: Actor) {
    this.#parts = parts
    this.#body = body
    this.#batch = batch
    this.#actor = actor
    this.#memory = new LineMemory(parts.memory.bodies, parts.clock)
  }

  /** Sends the response headers at once, and a receipt for each committed batch. */
  answer(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const { clock } = this.#parts
    const receipts = new PassThrough()
    receipts.on('error', () => {}) // ignored: the client has disconnected, and the body reports that, too
    const sendLine: SendLine = async (line) => {
      if (!receipts.write(`${JSON.stringify(line)}\n`)) await drained(receipts, clock)
    }
    this.run(sendLine)
      .catch(async (error) => {
        const coded = isDaybookError(error) ? error : new DaybookError('internal', (error as Error).message, {}, error)
        if (!isDaybookError(error)) request.log.error({ err: error }, 'A streamed write failed.')
        this.#body.resume() // a client may send its whole body before it reads the response
        reply.raw.once('finish', () => {
          if (request.raw.complete === false) lingerAndClose(request.raw.socket, clock)
        })
        await sendLine({ problem: { ...problemOf(coded, request), ...outcomeMembers(coded) } })
      })
      .catch(() => request.raw.destroy()) // the client does not read the receipts
      .finally(() => receipts.end())
    // A buffering proxy would hold the receipts back until the end.
    reply.header('x-accel-buffering', 'no')
    return reply.code(200).header('content-type', mediaTypes.ndjson).send(receipts)
  }

  /**
   * Writes all lines.
   * @param sendLine called with a receipt after each commit
   * @throws the error that ended the write, with the number of its line
   */
  async run(sendLine: (receipt: Receipt) => Promise<void>): Promise<void> {
    const splitter = new LineSplitter()
    const gone = new AbortController()
    this.#body.once('close', () => {
      if (!this.#body.readableEnded) gone.abort()
    })
    try {
      for await (const chunk of this.#chunks(splitter, sendLine)) {
        for (const line of splitter.push(chunk)) if (this.#take(line)) await this.#commit(sendLine)
        if (splitter.pending <= limits.memory_small_bytes || this.#memory.tryLine()) continue
        // Commits the batch, which releases its memory, before it waits for more: two writes that each held memory and
        // waited for more could deadlock.
        await this.#commit(sendLine)
        await this.#memory.takeLine(gone.signal)
      }
      const last = splitter.end()
      if (last !== undefined) this.#take(last)
    } catch (error) {
      await this.#commit(sendLine) // the lines before the invalid one
      throw error
    } finally {
      this.#memory.release()
    }
    await this.#commit(sendLine)
  }

  /** Adds a line to the batch. @returns whether the batch must be committed now */
  #take({ number, bytes }: NumberedLine): boolean {
    const event = parseLine(bytes, number, 0, { stream: undefined, asPrinted: true })
    if (event !== undefined) {
      this.#lines.push({ number, event })
      this.#size += event.record.bytes.length
    }
    const fits = this.#memory.keepBatch(this.#size)
    return !fits || this.#lines.length >= this.#batch || this.#size >= limits.commit_bytes_max
  }

  /**
   * Yields the chunks of the body. Memory is held for at most `request_timeout_ms`, even if the client keeps sending
   * single bytes.
   */
  async *#chunks(splitter: LineSplitter, sendLine: (receipt: Receipt) => Promise<void>): AsyncGenerator<Buffer> {
    // The body must not be destroyed by an early end, because the response uses the same socket.
    const chunks = this.#body.iterator({ destroyOnReturn: false })
    try {
      for (;;) {
        const next = chunks.next()
        if (this.#memory.held > 0 && !(await this.#comesInTime(next))) {
          if (this.#memory.holdsLine) throw stalledLine(splitter.pending)
          await this.#commit(sendLine)
        }
        const { done, value } = await next
        if (done) return
        yield value as Buffer
      }
    } finally {
      // Not awaited: it would wait for the requested chunk, which may never arrive.
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

  async #commit(sendLine: (receipt: Receipt) => Promise<void>): Promise<void> {
    const lines = this.#lines
    this.#lines = []
    this.#size = 0
    try {
      await this.#append(lines, sendLine)
    } finally {
      this.#memory.release()
    }
  }

  async #append(lines: readonly Line[], sendLine: (receipt: Receipt) => Promise<void>): Promise<void> {
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
      await sendLine({
        receipt: { lines: (lines[done - 1] as Line).number, appended: done - replayed, replayed, position }
      })
    }
    if (result.refused !== undefined) {
      const { error, index } = result.refused
      const line = lines[index]?.number
      throw new DaybookError(error.code, `Line ${line}: ${error.message}`, { ...error.details, line }, error)
    }
  }
}

function stalledLine(bytes: number): DaybookError {
  const seconds = limits.request_timeout_ms / 1000
  return new DaybookError(
    'request-timeout',
    `A line, of which ${bytes} bytes have arrived, did not continue or end within ${seconds} s.`,
    {
      retry: true
    }
  )
}

/** Waits until the client reads receipts. @throws `request-timeout` after `drain_ms`, or if it has disconnected */
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
      settle(() =>
        reject(new DaybookError('request-timeout', 'The client does not read the receipts of this write.', {}))
      )
    const cancel = clock.after(limits.drain_ms, leave)
    receipts.once('drain', drain)
    receipts.once('close', leave)
    if (receipts.destroyed) leave()
  })
}
