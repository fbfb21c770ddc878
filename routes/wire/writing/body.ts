/** Request bodies as bytes: inflated within the bound, whatever the content type. */
import { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { brotliDecompress, createBrotliDecompress, createGunzip, createInflate, gunzip, inflate } from 'node:zlib'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { DaybookError } from '../../../src/errors.js'
import { JsonReader } from '../../../src/json.js'
import { limits } from '../../../src/limits.js'

const inflaters = {
  gzip: { whole: promisify(gunzip), stream: createGunzip },
  'x-gzip': { whole: promisify(gunzip), stream: createGunzip },
  deflate: { whole: promisify(inflate), stream: createInflate },
  br: { whole: promisify(brotliDecompress), stream: createBrotliDecompress }
} as const

function inflaterOf(request: FastifyRequest): (typeof inflaters)[keyof typeof inflaters] | undefined {
  const encoding = request.headers['content-encoding']?.trim().toLowerCase()
  if (encoding === undefined || encoding === 'identity' || encoding === '') return undefined
  const known = inflaters[encoding as keyof typeof inflaters]
  if (known !== undefined && Object.hasOwn(inflaters, encoding)) return known
  throw new DaybookError('unsupported-media-type', `Content-Encoding is one of ${Object.keys(inflaters).join(', ')}.`, {
    available: Object.keys(inflaters)
  })
}

/** Makes every body a Buffer; a handler inflates it with `bodyOf`. @param bodyLimit bytes */
export function acceptBuffers(app: FastifyInstance, bodyLimit: number = limits.body_bytes_max): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit }, (_request, body, done) => done(null, body))
}

/**
 * The request's body, inflated.
 * @throws `body-too-large` when it inflates past the bound, `bad-encoding` when it contradicts Content-Encoding
 */
export async function bodyOf(request: FastifyRequest): Promise<Buffer> {
  const body = (request.body as Buffer | undefined) ?? Buffer.alloc(0)
  const limit = request.routeOptions.config.bodyMax ?? limits.body_bytes_max
  const inflater = inflaterOf(request)
  if (inflater === undefined) {
    if (body.length > limit) throw new DaybookError('body-too-large', `A body has at most ${limit} bytes.`, { limit })
    return body
  }
  try {
    return await inflater.whole(body, { maxOutputLength: limit })
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
      const why = `The body has more than ${limit} bytes after decompression.`
      throw new DaybookError('body-too-large', why, { limit })
    }
    throw new DaybookError('bad-encoding', `The body is not ${request.headers['content-encoding']}.`, {}, cause)
  }
}

/** The one JSON value that bytes are, without the white space around it. @throws `malformed-json` */
export function wholeValue(bytes: Buffer): Buffer {
  const reader = new JsonReader(bytes)
  const value = reader.slice()
  reader.end()
  return value
}

/** The one JSON object that a body is. @throws `malformed-json`, `invalid-body` */
export function parseJsonObject(body: Buffer): object {
  const reader = new JsonReader(body)
  const value = reader.value()
  reader.end()
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  throw new DaybookError('invalid-body', 'The body is a JSON object.')
}

/** A body that is JSON, but not what its address takes. @param where the member that is wrong */
export function invalidBody(why: string, where: { pointer?: string } = {}): DaybookError {
  return new DaybookError('invalid-body', why, where)
}

/** A streamed body, inflated as it comes. */
export function streamOf(request: FastifyRequest): Readable {
  const raw = request.body as Readable
  const inflater = inflaterOf(request)
  if (inflater === undefined) return raw
  const inflated = inflater.stream()
  raw.on('error', (error) => inflated.destroy(error))
  return Readable.from(inflateOrRefuse(raw.pipe(inflated), request), { objectMode: false })
}

async function* inflateOrRefuse(inflated: Readable, request: FastifyRequest): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of inflated) yield chunk as Buffer
  } catch (cause) {
    throw new DaybookError('bad-encoding', `The body is not ${request.headers['content-encoding']}.`, {}, cause)
  }
}
