/** /streams/{stream}/metadata: readable member names in the native form, an event in the Atom dialect. */
import type { FastifyContextConfig, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { metadataOperations } from '../../schemas/operations/metadata-operations.js'
import type { StreamParams } from '../../schemas/read.js'
import { DaybookError, isDaybookError } from '../../src/errors.js'
import type { StreamStates } from '../../src/index/stream-states.js'
import { limits } from '../../src/limits.js'
import type { Sources } from '../../src/reading/sources.js'
import { checkTakesMetadata } from '../../src/streams/index-streams.js'
import { METADATA_TYPE } from '../../src/streams/metadata.js'
import { checkStreamName, metastreamOf } from '../../src/streams/names.js'
import { serverEvent } from '../../src/streams/new-event.js'
import type { StreamState } from '../../src/streams/stream-state.js'
import type { ExpectedVersion } from '../../src/writing/plan/expected-version.js'
import type { Writer } from '../../src/writing/writer.js'
import { ofStream } from '../auth/authorization.js'
import { actorOf } from '../auth/caller-rights.js'
import type { AtomDialect } from '../eventstore/atom-dialect.js'
import { negotiates, offers } from '../eventstore/wire/codecs.js'
import { isDialectRead } from '../eventstore/wire/form.js'
import { VARY_SHARED } from '../eventstore/wire/vary.js'
import { negotiateWrite } from '../eventstore/writes.js'
import { mediaType, metadataContentType } from '../wire/media-types.js'
import { entityTag, matchesTag } from '../wire/reading/page.js'
import { expectedVersionOf } from '../wire/writing/conditions.js'
import { asSent, patchStored, toReadable, toStored, toStoredPatch } from '../wire/writing/metadata-body.js'
import { bodyOf } from '../writing/received-body.js'

/** The parts of the store that the metadata routes use. Read per request: the store may still be opening. */
export interface MetadataRouteParts {
  readonly sources: Sources
  readonly states: StreamStates
  readonly writer: Writer
}

export function metadataRoutes(app: FastifyInstance, parts: MetadataRouteParts, atom: AtomDialect): void {
  const { get, put, patch, append } = metadataOperations
  const url = '/streams/:stream/metadata'
  const read: FastifyContextConfig = {
    access: ofStream('readMetadata'),
    dialect: readsMetadataEvent,
    reads: 'metadata',
    negotiate: negotiates(offers.event)
  }
  app.get(url, { config: read, schema: get }, (request, reply) => {
    const { stream } = request.params as StreamParams
    return readsMetadataEvent(request)
      ? atom.begin(request, reply).singleEvents.metadata(request, reply, stream, 'head')
      : answerMetadata(parts, request, reply, stream)
  })
  const access = ofStream('writeMetadata')
  const config = (types: readonly string[]) => ({
    access,
    bodyMax: limits.metadata_bytes_max,
    takesBody: (request: FastifyRequest) => checkType(request, types)
  })
  app.put(url, { config: config(PUT_TYPES), schema: put }, (request, reply) => replace(parts, request, reply))
  app.patch(url, { config: config(PATCH_TYPES), schema: patch }, (request, reply) => merge(parts, request, reply))
  const written = { access, dialect: () => true, negotiate: negotiatesEvent, takesBody: negotiatesEvent }
  app.post(url, { config: written, schema: append }, (request, reply) => {
    const { stream } = request.params as StreamParams
    return atom.begin(request, reply).writes.writeMetadata(request, reply, stream)
  })
}

const PUT_TYPES = ['application/json']
const PATCH_TYPES = ['application/merge-patch+json', 'application/json']

const readsMetadataEvent = (request: FastifyRequest) => isDialectRead(request, 'metadata')
const negotiatesEvent = (request: FastifyRequest) => negotiateWrite(request, offers.write)

/** The stream whose metadata a request writes, and the expected version of that metadata. */
interface MetadataTarget {
  readonly stream: string
  readonly expected: ExpectedVersion
}

/**
 * Handles PUT.
 * @throws `bad-stream-name`, `unsupported-media-type`, `invalid-metadata`, `bad-condition`, the errors of the writer
 */
async function replace(parts: MetadataRouteParts, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { stream } = request.params as StreamParams
  checkTakesMetadata(stream)
  checkType(request, PUT_TYPES)
  const body = checkSize(await bodyOf(request))
  const { document: current } = await parts.states.of(stream)
  const stored = toStored(body, current)
  return writeStored(parts, request, reply, stored, { stream, expected: expectedVersionOf(request.headers) })
}

/** Handles PATCH. @throws as replace */
async function merge(parts: MetadataRouteParts, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { stream } = request.params as StreamParams
  checkTakesMetadata(stream)
  checkType(request, PATCH_TYPES)
  const patch = toStoredPatch(checkSize(await bodyOf(request)))
  return mergeStored(parts, request, reply, patch, { stream, expected: expectedVersionOf(request.headers) })
}

async function answerMetadata(
  parts: MetadataRouteParts,
  request: FastifyRequest,
  reply: FastifyReply,
  stream: string
): Promise<FastifyReply> {
  const contentType = metadataContentType(request.headers)
  checkStreamName(stream)
  await parts.sources.checkLives(stream)
  const { document: stored, version } = await parts.states.of(stream)
  if (version < 0 && (await parts.sources.head(stream)) < 0) {
    throw new DaybookError('stream-not-found', `Nothing was ever written to "${stream}".`, { stream, head: null })
  }
  const tag = entityTag(version, 'metadata')
  reply.header('etag', tag).header('vary', VARY_SHARED).header('cache-control', 'private, no-cache')
  if (matchesTag(request.headers['if-none-match'], tag)) return reply.code(304).send()
  reply.header('content-type', contentType)
  const readable = version < 0 ? EMPTY : toReadable(stored)
  return reply.send(Buffer.concat([readable, NEWLINE]))
}

const EMPTY = Buffer.from('{}')
/** The document of a metadata event whose data is not JSON. */
const NO_JSON = Buffer.alloc(0)
const NEWLINE = Buffer.from('\n')

/** Writes metadata that is under stored names already. */
async function writeStored(
  parts: MetadataRouteParts,
  request: FastifyRequest,
  reply: FastifyReply,
  stored: Buffer,
  { stream, expected }: MetadataTarget
): Promise<FastifyReply> {
  const metastream = metastreamOf(stream)
  const event = serverEvent(metastream, METADATA_TYPE, stored)
  const conditions = expected === 'any' ? [] : [{ stream: metastream, expected }]
  const append = { events: [event], conditions, kind: 'append', by: actorOf(request) } as const
  const result = await parts.writer.append(append).catch((error) => {
    throw isDaybookError(error) ? asSent(error) : error
  })
  const [placed] = result.events
  const version = placed?.number ?? 0
  reply.code(version === 0 ? 201 : 200).header('etag', entityTag(version, 'metadata'))
  return reply.send({ stream, version, position: placed?.position })
}

function checkSize(document: Buffer): Buffer {
  const limit = limits.metadata_bytes_max
  if (document.length <= limit) return document
  const why = `Stream metadata may have at most ${limit} bytes.`
  throw new DaybookError('invalid-metadata', why, { limit, written: false, retry: false })
}

/** Merges a patch, and writes the result if the version has not changed meanwhile; otherwise retries. */
async function mergeStored(
  parts: MetadataRouteParts,
  request: FastifyRequest,
  reply: FastifyReply,
  patch: Buffer,
  { stream, expected }: MetadataTarget
): Promise<FastifyReply> {
  for (;;) {
    await parts.sources.checkLives(stream)
    const state: StreamState = await parts.states.of(stream)
    const current = state.version < 0 ? EMPTY : (state.document ?? NO_JSON)
    const stored = patchStored(checkSize(current), patch)
    if (!metadataIs(expected, state.version)) throw wrongMetadataVersion(stream, expected, state.version)
    const unchanged = state.version < 0 ? 'no_stream' : state.version
    try {
      return await writeStored(parts, request, reply, checkSize(stored), { stream, expected: unchanged })
    } catch (error) {
      const isConflict = isDaybookError(error) && error.code === 'wrong-expected-version'
      if (!isConflict) throw error
    }
  }
}

/** Whether metadata has the expected version. @param version current version; -1 if there is no metadata */
function metadataIs(expected: ExpectedVersion, version: number): boolean {
  if (expected === 'any') return true
  return expected === 'stream_exists' ? version >= 0 : expected === (version < 0 ? 'no_stream' : version)
}

function wrongMetadataVersion(stream: string, expected: ExpectedVersion, version: number): DaybookError {
  const is = version < 0 ? 'was never written' : `is at version ${version}`
  return new DaybookError('wrong-expected-version', `The metadata of "${stream}" ${is}. Nothing was written.`, {
    stream: metastreamOf(stream),
    expected,
    head: version < 0 ? null : version,
    written: false,
    retry: false
  })
}

function checkType(request: FastifyRequest, types: readonly string[]): void {
  if (types.includes(mediaType(request.headers['content-type']))) return
  throw new DaybookError('unsupported-media-type', `This address accepts ${types.join(' and ')}.`, {
    available: types
  })
}
