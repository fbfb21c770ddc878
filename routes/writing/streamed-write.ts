/**
 * A streamed write (native contract §4): events come line by line, are committed in batches, and each batch is
 * acknowledged by a receipt line on the same connection. Every line is an append of its own: one whose event is in its
 * stream already is passed over, so a write that broke off can be sent again from its beginning. The first bad line ends
 * the write; the lines before it are written, none after it is.
 */
import type { Readable } from 'node:stream'
import { PassThrough } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Receipt } from '../../schemas/append.js'
import type { Actor } from '../../src/access/permissions.js'
import { DaybookError, isDaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import { splitLines } from '../../src/ndjson.js'
import type { NewEvent } from '../../src/streams/new-event.js'
import type { Writer } from '../../src/writing/writer.js'
import { mediaTypes } from '../wire/media-types.js'
import { problemOf } from '../wire/problems/problem.js'
import { parseLine } from '../wire/writing/event-body.js'

interface Line {
  readonly number: number
  readonly event: NewEvent
}

export class StreamedWrite {
  readonly #writer: Writer
  readonly #body: Readable
  readonly #batch: number
  readonly #actor: Actor | undefined

  /**
   * @param batch events a commit
   * @param actor who writes; undefined: who may write everything
   */
  constructor(writer: Writer, body: Readable, batch: number, actor?: Actor) {
    this.#writer = writer
    this.#body = body
    this.#batch = batch
    this.#actor = actor
  }

  /** Answers at once and goes on writing receipts as batches are committed. */
  answer(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const receipts = new PassThrough()
    const say = async (line: object) => {
      if (!receipts.write(`${JSON.stringify(line)}\n`)) await new Promise((resolve) => receipts.once('drain', resolve))
    }
    this.run(say)
      .catch(async (error) => {
        const coded = isDaybookError(error) ? error : new DaybookError('internal', (error as Error).message, {}, error)
        if (!isDaybookError(error)) request.log.error({ err: error }, 'a streamed write failed')
        await say({ problem: problemOf(coded, request.id) })
        this.#body.resume() // let the client finish sending, so that it reads why
      })
      .finally(() => receipts.end())
    return reply.code(200).header('content-type', mediaTypes.ndjson).send(receipts)
  }

  /**
   * Writes all lines. @param say called with a receipt after each commit
   * @throws what ended it, naming the line
   */
  async run(say: (receipt: Receipt) => Promise<void>): Promise<void> {
    let lines: Line[] = []
    let size = 0
    let number = 0
    const commit = async () => {
      const full = lines
      lines = []
      size = 0
      await this.#commit(full, say)
    }
    try {
      for await (const bytes of splitLines(this.#body)) {
        number++
        const event = parseLine(bytes, number, 0, { stream: undefined, asPrinted: true })
        if (event !== undefined) {
          lines.push({ number, event })
          size += event.record.bytes.length
        }
        if (lines.length >= this.#batch || size >= limits.commit_bytes_max) await commit()
      }
    } catch (error) {
      await commit() // what came before the bad line
      throw error
    }
    await commit()
  }

  async #commit(lines: readonly Line[], say: (receipt: Receipt) => Promise<void>): Promise<void> {
    if (lines.length === 0) return
    const result = await this.#writer.append({
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
