/** /streams/{stream}/metadata: what is known of a stream, natively under readable names, in the dialect as an event. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { MetadataWritten, StreamMetadata } from '../../schemas/metadata.js'
import { problemResponses } from '../../schemas/problem.js'
import { ref } from '../../schemas/ref.js'
import { DaybookError, isDaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import type { Store } from '../../src/store/store.js'
import { METADATA_TYPE } from '../../src/streams/metadata.js'
import { checkAppendableName, checkStreamName, isMetastream, metastreamOf } from '../../src/streams/names.js'
import { serverEvent } from '../../src/streams/new-event.js'
import type { StreamState } from '../../src/streams/stream-state.js'
import type { ExpectedVersion } from '../../src/writing/expected-version.js'
import { ofStream } from '../auth/authorization.js'
import { actorOf } from '../auth/rechecks.js'
import type { AtomDialect } from '../eventstore/atom-dialect.js'
import { negotiates, offers } from '../eventstore/wire/codecs.js'
import { isDialectRead } from '../eventstore/wire/form.js'
import { negotiateWrite } from '../eventstore/writes.js'
import { entityTag, matchesTag } from '../wire/reading/page.js'
import { bodyOf } from '../wire/writing/body.js'
import { expectedVersionOf } from '../wire/writing/conditions.js'
import { patchStored, toReadable, toStored, toStoredPatch } from '../wire/writing/metadata-body.js'
import { mediaType } from '../wire/writing/stream-body.js'

const StreamParams = Type.Object({ stream: Type.String({ description: 'Percent-encoded once.' }) })
const document = { 'application/json': { schema: ref(StreamMetadata) } }
const written = { description: 'On disk.', content: { 'application/json': { schema: ref(MetadataWritten) } } }

export function metadataRoutes(app: FastifyInstance, store: Store, atom: AtomDialect): void {
  const streamOf = (request: FastifyRequest) => (request.params as { stream: string }).stream

  app.get(
    '/streams/:stream/metadata',
    {
      config: {
        access: ofStream('readMetadata'),
        dialect: (request) => isDialectRead(request, 'single'),
        negotiate: negotiates(offers.event)
      },
      schema: {
        operationId: 'getMetadata',
        summary: 'What is known of a stream',
        tags: ['streams'],
        params: StreamParams,
        response: { 200: { description: 'Its metadata.', content: document }, ...problemResponses(400, 404, 410) }
      }
    },
    (request, reply) => {
      const stream = streamOf(request)
      if (isDialectRead(request, 'single')) {
        return atom.begin(request, reply).singleEvents.metadata(request, reply, stream, 'head')
      }
      return answer(store, request, reply, stream)
    }
  )

  app.put(
    '/streams/:stream/metadata',
    {
      config: { access: ofStream('writeMetadata'), bodyMax: limits.metadata_bytes_max },
      schema: {
        operationId: 'putMetadata',
        summary: 'Replace what is known of a stream',
        tags: ['streams'],
        params: StreamParams,
        body: { content: document },
        response: { 200: written, 201: written, ...problemResponses(400, 410, 412, 415, 503, 507) }
      }
    },
    async (request, reply) => {
      const stream = nameOf(streamOf(request))
      checkType(request, ['application/json'])
      const stored = toStored(checkSize(await bodyOf(request)))
      return write(store, request, reply, stream, stored, expectedVersionOf(request.headers))
    }
  )

  app.patch(
    '/streams/:stream/metadata',
    {
      config: { access: ofStream('writeMetadata'), bodyMax: limits.metadata_bytes_max },
      schema: {
        operationId: 'patchMetadata',
        summary: 'Change what is known of a stream, by a JSON merge patch (RFC 7396)',
        tags: ['streams'],
        params: StreamParams,
        body: { content: { 'application/merge-patch+json': { schema: ref(StreamMetadata) }, ...document } },
        response: { 200: written, 201: written, ...problemResponses(400, 410, 412, 415, 503, 507) }
      }
    },
    async (request, reply) => {
      const stream = nameOf(streamOf(request))
      checkType(request, ['application/merge-patch+json', 'application/json'])
      const patch = toStoredPatch(checkSize(await bodyOf(request)))
      return change(store, request, reply, stream, patch, expectedVersionOf(request.headers))
    }
  )

  app.post(
    '/streams/:stream/metadata',
    {
      config: {
        access: ofStream('writeMetadata'),
        dialect: () => true,
        negotiate: (request) => negotiateWrite(request, offers.write)
      },
      schema: {
        operationId: 'appendMetadata',
        summary: 'Write metadata as an event',
        tags: ['atom'],
        params: StreamParams,
        response: { 201: { type: 'null', description: 'On disk.' } }
      }
    },
    (request, reply) => atom.begin(request, reply).writes.writeMetadata(request, reply, streamOf(request))
  )
}

async function answer(
  store: Store,
  request: FastifyRequest,
  reply: FastifyReply,
  stream: string
): Promise<FastifyReply> {
  checkStreamName(stream)
  await store.sources.checkLives(stream)
  const { document: stored, version } = await store.states.of(stream)
  if (version < 0 && (await store.sources.head(stream)) < 0) {
    throw new DaybookError('stream-not-found', `Nothing was ever written to "${stream}".`, { stream, head: null })
  }
  const tag = entityTag(version, 'metadata')
  reply.header('etag', tag).header('vary', 'Accept').header('cache-control', 'private, no-cache')
  if (matchesTag(request.headers['if-none-match'], tag)) return reply.code(304).send()
  reply.header('content-type', 'application/json; charset=utf-8')
  const readable = version < 0 ? EMPTY : toReadable(stored)
  return reply.send(Buffer.concat([readable, NEWLINE]))
}

const EMPTY = Buffer.from('{}')
/** The document of an event that holds no JSON. */
const NO_JSON = Buffer.alloc(0)
const NEWLINE = Buffer.from('\n')

async function write(
  store: Store,
  request: FastifyRequest,
  reply: FastifyReply,
  stream: string,
  stored: Buffer,
  expected: ExpectedVersion
): Promise<FastifyReply> {
  const metastream = metastreamOf(stream)
  const event = serverEvent(metastream, METADATA_TYPE, stored)
  const conditions = expected === 'any' ? [] : [{ stream: metastream, expected }]
  const result = await store.writer.append({ events: [event], conditions, mode: 'batch', by: actorOf(request) })
  const [placed] = result.events
  const version = placed?.number ?? 0
  reply.code(version === 0 ? 201 : 200).header('etag', entityTag(version, 'metadata'))
  return reply.send({ stream, version, position: placed?.position })
}

function checkSize(document: Buffer): Buffer {
  const limit = limits.metadata_bytes_max
  if (document.length <= limit) return document
  const why = `Stream metadata has at most ${limit} bytes.`
  throw new DaybookError('invalid-metadata', why, { limit, written: false, retry: false })
}

/** Reads, merges and writes on the condition that nobody wrote in between; else again. */
async function change(
  store: Store,
  request: FastifyRequest,
  reply: FastifyReply,
  stream: string,
  patch: Buffer,
  expected: ExpectedVersion
): Promise<FastifyReply> {
  for (;;) {
    await store.sources.checkLives(stream)
    const state: StreamState = await store.states.of(stream)
    const standing = state.version < 0 ? EMPTY : (state.document ?? NO_JSON)
    const stored = patchStored(checkSize(standing), patch)
    if (!metadataIs(expected, state.version)) throw wrongVersion(stream, expected, state.version)
    const unchanged = state.version < 0 ? 'no_stream' : state.version
    try {
      return await write(store, request, reply, stream, checkSize(stored), unchanged)
    } catch (error) {
      const overtaken = isDaybookError(error) && error.code === 'wrong-expected-version'
      if (!overtaken) throw error
    }
  }
}

/** @param version of the metadata, -1 when there is none */
function metadataIs(expected: ExpectedVersion, version: number): boolean {
  if (expected === 'any') return true
  return expected === 'stream_exists' ? version >= 0 : expected === (version < 0 ? 'no_stream' : version)
}

function wrongVersion(stream: string, expected: ExpectedVersion, version: number): DaybookError {
  const is = version < 0 ? 'was never written' : `is at version ${version}`
  return new DaybookError('wrong-expected-version', `The metadata of "${stream}" ${is}. Nothing was written.`, {
    stream: metastreamOf(stream),
    expected,
    head: version < 0 ? null : version,
    written: false,
    retry: false
  })
}

function nameOf(stream: string): string {
  checkAppendableName(metastreamOf(stream))
  if (isMetastream(stream)) {
    throw new DaybookError('bad-stream-name', 'Metadata has no metadata.', { stream })
  }
  return stream
}

function checkType(request: FastifyRequest, types: readonly string[]): void {
  if (types.includes(mediaType(request.headers['content-type']))) return
  throw new DaybookError('unsupported-media-type', `This address takes ${types.join(' or ')}.`, { available: types })
}
