/**
 * Receives request bodies within the memory budget, and decompresses them within the size limit of their route. A small
 * body is not counted. A larger body is read only after its bytes were taken from the budget; until then, back-pressure
 * of the socket stops its client.
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

/** Up to this size, decompressed chunks are concatenated at the end. Larger bodies get one buffer of the full limit. */
const INFLATED_CHUNKS_BYTES = 1024 * 1024

const EMPTY = Buffer.alloc(0)
const BODIED = new Set(['POST', 'PUT', 'PATCH'])

/** The parts of the store that receiving a body uses. */
export interface BodyParts {
  readonly memory: MemoryBudget
}

/** A received body, not decompressed. */
class ReceivedBody {
  readonly bytes: Buffer
  readonly share: MemoryShare
  /** Memory that is held for the body; undefined for a small body. */
  readonly hold: MemoryHold | undefined

  constructor(bytes: Buffer, share: MemoryShare, hold?: MemoryHold) {
    this.bytes = bytes
    this.share = share
    this.hold = hold
  }
}

type Done = (error: Error | null, body?: unknown) => void

/** Makes the server receive all bodies as bytes. A handler gets them with `bodyOf`. @param bodyLimit limit in bytes */
export function acceptBuffers(app: FastifyInstance, parts: BodyParts, bodyLimit: number = limits.body_bytes_max): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (request, payload, done) =>
    receiveBody(parts, request, payload, done, request.routeOptions.config.bodyMax ?? bodyLimit)
  )
}

/** Receives one body. @param limit maximum size in bytes */
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

/** Returns the error if the headers alone show that the body will be refused. */
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
    if (size !== length) return done(truncatedBody())
    // Copies the body, even if it is a single chunk: a chunk would keep node's larger read buffer in memory.
    done(null, new ReceivedBody(Buffer.concat(chunks, size), share))
  })
  payload.on('error', (cause) => done(truncatedBody(cause)))
}

/**
 * Receives a body within the memory budget.
 * @param size `length`: the Content-Length, undefined without one; `limit`: the maximum size; both in bytes
 */
async function receiveCounted(
  request: FastifyRequest,
  payload: Readable,
  share: MemoryShare,
  { length, limit }: { length: number | undefined; limit: number }
): Promise<ReceivedBody> {
  // Takes all the memory that the request will need at once. Two requests that each held a part and waited for more
  // could deadlock.
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
    throw error instanceof DaybookError ? error : truncatedBody(error)
  })
  if (length !== undefined && bytes.length !== length) throw truncatedBody()
  hold?.shrink(bytes.length + inflated)
  return new ReceivedBody(bytes, share, hold)
}

/**
 * Returns all bytes of a stream. Does not destroy the stream on an error, because the response uses the same socket.
 * @param limit maximum size in bytes
 * @param into `begin` returns the buffer for a stream of more than `free` bytes; the stream is not read until then
 * @throws `body-too-large`, the errors of the stream, the errors of `begin`
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
 * Returns the decompressed body of a request. Can be called once per request. The memory of the body is released when
 * the request is answered or its client disconnects.
 * @throws `body-too-large` if it exceeds the limit after decompression, `bad-encoding` if it cannot be decoded as
 *   Content-Encoding says, `overloaded` if there is no memory to decompress it
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

/** Returns a streamed body, decompressed as it arrives. */
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
  throw new DaybookError(
    'unsupported-media-type',
    `Content-Encoding must be one of ${Object.keys(inflaters).join(', ')}.`,
    {
      available: Object.keys(inflaters)
    }
  )
}

function bodyTooLarge(limit: number): DaybookError {
  return new DaybookError('body-too-large', `The body of this request may have at most ${limit} bytes.`, { limit })
}

function truncatedBody(cause?: Error): DaybookError {
  return new DaybookError('bad-request', 'The body ended early, or its length differs from Content-Length.', {}, cause)
}

function badEncoding({ headers }: FastifyRequest, cause: unknown): DaybookError {
  return new DaybookError(
    'bad-encoding',
    `The body cannot be decoded as Content-Encoding: ${headers['content-encoding']}.`,
    {},
    cause
  )
}
