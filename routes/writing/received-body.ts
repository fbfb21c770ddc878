/**
 * Request bodies as bytes: received within the memory budget, and inflated within the bound of their route. A small body
 * is not counted. A larger one waits for its bytes of the budget before it is read; meanwhile its client is kept from
 * sending by the socket.
 */
import { Readable } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { DaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import type { MemoryBudget } from '../../src/memory/memory-budget.js'
import type { MemoryHold } from '../../src/memory/memory-hold.js'
import type { MemoryShare } from '../../src/memory/memory-share.js'
import { askForBody } from '../http/connections/expectation.js'
import { announcedLength } from '../http/connections/request-body.js'
import { takeFor } from './request-memory.js'

const inflaters = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress
} as const

/** Up to here inflated chunks are put together at the end; beyond, one buffer of the full bound takes them. */
const INFLATED_CHUNKS_BYTES = 1024 * 1024

const EMPTY = Buffer.alloc(0)
const BODIED = new Set(['POST', 'PUT', 'PATCH'])

/** What receiving a body uses. */
export interface BodyParts {
  readonly memory: MemoryBudget
}

/** A body as it came. */
class ReceivedBody {
  readonly bytes: Buffer
  readonly share: MemoryShare
  /** Undefined: it is small. */
  readonly hold: MemoryHold | undefined

  constructor(bytes: Buffer, share: MemoryShare, hold?: MemoryHold) {
    this.bytes = bytes
    this.share = share
    this.hold = hold
  }
}

type Done = (error: Error | null, body?: unknown) => void

/** Receives every body as it is; a handler takes its bytes with `bodyOf`. @param bodyLimit bytes */
export function acceptBuffers(app: FastifyInstance, parts: BodyParts, bodyLimit: number = limits.body_bytes_max): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (request, payload, done) =>
    receiveBody(parts, request, payload, done, request.routeOptions.config.bodyMax ?? bodyLimit)
  )
}

/** Receives one body. @param limit bytes */
export function receiveBody(
  { memory }: BodyParts,
  request: FastifyRequest,
  payload: Readable,
  done: Done,
  limit: number = limits.body_bytes_max
): void {
  const { headers } = request.raw
  const length = headers['content-length'] === undefined ? undefined : announcedLength(headers)
  const small = length !== undefined && length <= limits.memory_small_bytes
  if (!BODIED.has(request.method) || request.routeOptions.config.ignoresBody) {
    payload.resume()
    done(null)
  } else if (length !== undefined && length > limit) {
    done(bodyTooLarge(limit))
  } else if (small && headers.expect === undefined) {
    receiveSmall(payload, length, memory.bodies, done)
  } else {
    const refusal = refusalOfType(request)
    if (refusal !== undefined) done(refusal)
    else if (small) {
      askForBody(request)
      receiveSmall(payload, length, memory.bodies, done)
    } else receiveCounted(request, payload, memory.bodies, { length, limit }).then((body) => done(null, body), done)
  }
}

/** Why the headers alone refuse the body; undefined: they do not. */
function refusalOfType(request: FastifyRequest): Error | undefined {
  try {
    request.routeOptions.config.takesBody?.(request)
    inflaterOf(request)
    return undefined
  } catch (error) {
    return error as Error
  }
}

function receiveSmall(payload: Readable, length: number, share: MemoryShare, done: Done): void {
  const chunks: Buffer[] = []
  let size = 0
  payload.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    size += chunk.length
  })
  payload.on('end', () => {
    if (size !== length) return done(brokenOff())
    // A copy: what node reads into is larger than the body, and would stay as long as it.
    done(null, new ReceivedBody(Buffer.concat(chunks, size), share))
  })
  payload.on('error', (cause) => done(brokenOff(cause)))
}

/** @param size `length`: announced, undefined when it is not; `limit`: the most that is taken; bytes */
async function receiveCounted(
  request: FastifyRequest,
  payload: Readable,
  share: MemoryShare,
  { length, limit }: { length: number | undefined; limit: number }
): Promise<ReceivedBody> {
  // All that the request will need is taken at once: a request that held some and waited for more could wait for
  // another that does the same.
  const inflated = inflaterOf(request) === undefined ? 0 : limit
  let hold: MemoryHold | undefined
  const begin = async () => {
    hold = await takeFor(request, share, (length ?? limit) + inflated)
    if (length !== undefined) askForBody(request)
    request.server.bodyTimes.restart(request)
    return Buffer.allocUnsafeSlow(length ?? limit)
  }
  if (length === undefined) askForBody(request)
  const into = length === undefined ? { free: limits.memory_small_bytes, begin } : { free: 0, begin }
  const bytes = await gather(payload, limit, into).catch((error) => {
    hold?.release()
    throw error instanceof DaybookError ? error : brokenOff(error)
  })
  if (length !== undefined && bytes.length !== length) throw brokenOff()
  hold?.shrink(bytes.length + inflated)
  return new ReceivedBody(bytes, share, hold)
}

/**
 * All bytes of a stream. The stream is not destroyed when it is left early, as the answer goes over the same socket.
 * @param limit bytes
 * @param into `begin` gives the buffer for a stream that has more than `free` bytes; nothing is read meanwhile
 * @throws `body-too-large`, as the stream, as `begin`
 */
async function gather(
  stream: Readable,
  limit: number,
  { free, begin }: { free: number; begin: () => Promise<Buffer> }
): Promise<Buffer> {
  let buffer = free === 0 ? await begin() : undefined
  let chunks: Buffer[] = []
  let size = 0
  for await (const chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    if (size + chunk.length > limit) throw bodyTooLarge(limit)
    if (buffer === undefined && size + chunk.length > free) {
      buffer = await begin()
      let at = 0
      for (const earlier of chunks) at += earlier.copy(buffer, at)
      chunks = []
    }
    if (buffer === undefined) chunks.push(chunk)
    else chunk.copy(buffer, size)
    size += chunk.length
  }
  return buffer === undefined ? Buffer.concat(chunks, size) : buffer.subarray(0, size)
}

/**
 * The request's body, inflated. It can be taken once; its part of the memory budget is given back when the request is
 * answered, or its client has gone.
 * @throws `body-too-large` when it inflates past the bound, `bad-encoding` when it contradicts Content-Encoding,
 * `overloaded` when there is no memory to inflate it
 */
export async function bodyOf(request: FastifyRequest): Promise<Buffer> {
  const body = request.body as ReceivedBody | undefined
  if (body === undefined) return EMPTY
  request.body = undefined
  const inflater = inflaterOf(request)
  return inflater === undefined ? body.bytes : inflateBody(request, body, inflater())
}

async function inflateBody(
  request: FastifyRequest,
  { bytes, share, hold: taken }: ReceivedBody,
  inflater: ReturnType<(typeof inflaters)['gzip']>
): Promise<Buffer> {
  const limit = request.routeOptions.config.bodyMax ?? limits.body_bytes_max
  const hold = taken ?? (limit > limits.memory_small_bytes ? await takeFor(request, share, limit) : undefined)
  inflater.end(bytes)
  try {
    const begin = async () => Buffer.allocUnsafeSlow(limit)
    const inflated = await gather(inflater, limit, { free: INFLATED_CHUNKS_BYTES, begin })
    hold?.shrink(inflated.length > limits.memory_small_bytes ? inflated.length : 0)
    return inflated
  } catch (cause) {
    hold?.release()
    if (!(cause instanceof DaybookError)) throw badEncoding(request, cause)
    throw new DaybookError(cause.code, `The body has more than ${limit} bytes after decompression.`, cause.details)
  } finally {
    inflater.destroy()
  }
}

/** A streamed body, inflated as it comes. */
export function streamOf(request: FastifyRequest): Readable {
  const raw = request.body as Readable
  const inflater = inflaterOf(request)
  askForBody(request)
  if (inflater === undefined) return raw
  const inflated = inflater()
  raw.on('error', (error) => inflated.destroy(error))
  return Readable.from(inflateOrRefuse(raw.pipe(inflated), request), { objectMode: false })
}

async function* inflateOrRefuse(inflated: Readable, request: FastifyRequest): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of inflated) yield chunk as Buffer
  } catch (cause) {
    throw badEncoding(request, cause)
  }
}

function inflaterOf(request: FastifyRequest): (typeof inflaters)[keyof typeof inflaters] | undefined {
  const encoding = request.headers['content-encoding']?.trim().toLowerCase()
  if (encoding === undefined || encoding === 'identity' || encoding === '') return undefined
  const known = inflaters[encoding as keyof typeof inflaters]
  if (known !== undefined && Object.hasOwn(inflaters, encoding)) return known
  throw new DaybookError('unsupported-media-type', `Content-Encoding is one of ${Object.keys(inflaters).join(', ')}.`, {
    available: Object.keys(inflaters)
  })
}

function bodyTooLarge(limit: number): DaybookError {
  return new DaybookError('body-too-large', `A body has at most ${limit} bytes.`, { limit })
}

function brokenOff(cause?: Error): DaybookError {
  return new DaybookError('bad-request', 'The body does not have the length that its headers say.', {}, cause)
}

function badEncoding({ headers }: FastifyRequest, cause: unknown): DaybookError {
  return new DaybookError('bad-encoding', `The body is not ${headers['content-encoding']}.`, {}, cause)
}
