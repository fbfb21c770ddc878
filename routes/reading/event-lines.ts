/** NDJSON reads that are not live ("transfers"): one line per event, to the end of the range (native contract §2). */
import type { ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ReadQuery } from '../../schemas/read.js'
import { DaybookError, isDaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import type { Metrics } from '../../src/metrics.js'
import type { ReadRequest } from '../../src/reading/event-read.js'
import type { ReadMemory } from '../../src/reading/read-memory.js'
import type { Reader } from '../../src/reading/reader.js'
import type { Source } from '../../src/reading/source.js'
import type { Sources } from '../../src/reading/sources.js'
import type { Range } from '../../src/reading/walk.js'
import type { Clock } from '../../src/time/clock.js'
import { ClientGone } from '../http/connections/client-gone.js'
import { mediaTypes } from '../wire/media-types.js'
import { problemOf } from '../wire/problems/problem.js'
import { renderEvent, renderRecord } from '../wire/reading/recorded-event.js'
import type { Answers } from './answers.js'

/** The parts of the store that transfers use. */
export interface LineParts {
  readonly reader: Reader
  readonly sources: Sources
  readonly metrics: Metrics
  readonly clock: Clock
}

/** Responds with a transfer. @throws `cursor-beyond-head`, by the promise */
export async function sendLines(
  parts: LineParts,
  answers: Answers,
  { reply, source, read, query }: TransferRequest
): Promise<FastifyReply> {
  const { request } = reply
  const range = await parts.sources.resolve(source, read)
  reply.header('content-type', mediaTypes.ndjson)
  reply.header('cache-control', 'private, no-store')
  if (request.method === 'HEAD') return reply.send(Readable.from([]))
  const memory = answers.transferMemory(request)
  const lines = renderLines(parts, { request, query, source, read, range }, memory)
  answers.watch(reply, memory)
  return reply.send(Readable.from(lines, { objectMode: false, highWaterMark: 256 * 1024 }))
}

/** A request for a transfer. */
export interface TransferRequest {
  readonly reply: FastifyReply
  readonly source: Source
  readonly read: ReadRequest
  readonly query: ReadQuery
}

interface Transfer {
  readonly request: FastifyRequest
  readonly query: ReadQuery
  readonly source: Source
  readonly read: ReadRequest
  readonly range: Range
}

/** Renders the lines of a transfer. After an error, yields a problem line and throws, so that the response is cut. */
async function* renderLines(
  { reader, metrics, clock }: LineParts,
  { request, query, source, read, range }: Transfer,
  memory: ReadMemory
): AsyncGenerator<Buffer> {
  const { answer } = request
  const gone = new ClientGone(request, clock)
  const render = query.record ? renderRecord : renderEvent
  let left = query.limit ?? Infinity
  let sent = 0
  let cursor = range.first - 1
  try {
    const scan = {
      wanted: query.limit,
      bytes: limits.transfer_bytes,
      reserve: (bytes: number) => memory.turn(bytes, () => untilDrained(answer))
    }
    for await (const { events } of reader.spans(source, read, range, scan)) {
      let text = ''
      for (const event of events) {
        if (left-- <= 0) break
        text += render(event)
        text += '\n'
        sent++
        cursor = event.cursor
      }
      metrics.read(events.length)
      if (text !== '') {
        yield Buffer.from(text, 'latin1')
        gone.wrote()
      } else if (gone.aborted) {
        throw new DaybookError('request-timeout', 'The client has disconnected.')
      }
      if (left <= 0) break
    }
    if (query.trailer) yield Buffer.from(`${JSON.stringify({ end: { cursor: String(cursor), events: sent } })}\n`)
  } catch (error) {
    if (!gone.aborted) request.log.error({ err: error }, 'A transfer failed; its response was cut.')
    const coded = isDaybookError(error) ? error : new DaybookError('internal', (error as Error).message, {}, error)
    yield Buffer.from(`${JSON.stringify({ problem: problemOf(coded, request) })}\n`)
    throw error
  } finally {
    memory.close()
  }
}

/** Resolves when the response can accept more data or is closed; undefined if it can accept more at once. */
function untilDrained(response: ServerResponse): Promise<void> | undefined {
  const { socket, writableNeedDrain, destroyed } = response
  // The socket of an injected request accepts everything at once, and emits no `drain`.
  const acceptsAll = socket !== null && !(socket instanceof Socket)
  if (!writableNeedDrain || destroyed || acceptsAll) return undefined
  return new Promise((resolve) => {
    const end = () => {
      response.off('drain', end)
      response.off('close', end)
      resolve()
    }
    response.on('drain', end)
    response.on('close', end)
  })
}
