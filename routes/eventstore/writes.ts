/** Appends, deletes and metadata in the Atom dialect (reference 5, 6, 11.3). */
import { randomUUID } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { isDaybookError } from '../../src/errors.js'
import type { StreamStates } from '../../src/index/stream-states.js'
import { idText } from '../../src/log/format.js'
import { checkDeletableName, checkTakesEvents, checkTakesMetadata } from '../../src/streams/index-streams.js'
import { isMetastream, metastreamOf } from '../../src/streams/names.js'
import type { NewEvent } from '../../src/streams/new-event.js'
import type { Writer } from '../../src/writing/writer.js'
import { actorOf } from '../auth/caller-rights.js'
import { bodyOf } from '../writing/received-body.js'
import { ForwardToIncoming, parseAppend, parseMetadata } from './wire/append/append-body.js'
import { bodyCodec, type Codec, negotiate, type Offer, offers } from './wire/codecs.js'
import { checkRequireLeader, EMPTY_GUID, expectedVersion, hardDelete, parseGuid } from './wire/headers.js'
import { asRefusal, badRequest, Refusal, wrongExpectedVersion } from './wire/refusal.js'
import { sendEmpty } from './wire/send.js'
import { type BaseOf, rawQueryOf, segment, streamUrl } from './wire/urls.js'

/** The parts of the store that writes use. */
export interface WriteParts {
  readonly writer: Writer
  readonly states: StreamStates
}

export class Writes {
  readonly #parts: WriteParts
  readonly #baseOf: BaseOf

  constructor(parts: WriteParts, baseOf: BaseOf) {
    this.#parts = parts
    this.#baseOf = baseOf
  }

  /** Appends events: `POST /streams/{s}`. @throws refusals */
  async append(request: FastifyRequest, reply: FastifyReply, stream: string): Promise<FastifyReply> {
    const codec = negotiateWrite(request, offers.write)
    return this.#refusing(async () => {
      checkTakesEvents(stream)
      try {
        const events = await parseAppend(stream, codec, request.raw, await bodyOf(request))
        return await this.#write(request, reply, stream, events)
      } catch (error) {
        if (!(error instanceof ForwardToIncoming)) throw error
        const location = `${streamUrl(this.#baseOf(request), stream)}/incoming/${randomUUID()}`
        throw new Refusal(307, 'Temporary Redirect', {
          body: 'Forwarding to idempotent URI',
          headers: { location },
          contentType: 'text/plain; charset=utf-8'
        })
      }
    })
  }

  /** Appends with an id in the path: `POST /streams/{s}/incoming/{id}`. @throws refusals */
  async appendIncoming(
    request: FastifyRequest,
    reply: FastifyReply,
    stream: string,
    given: string
  ): Promise<FastifyReply> {
    const codec = negotiateWrite(request, offers.incoming)
    const id = parseGuid(given)
    if (id === undefined) throw badRequest('Invalid request. Unable to parse guid')
    if (id === EMPTY_GUID) throw badRequest("Empty eventId provided. (Parameter 'eventId')")
    return this.#refusing(async () => {
      checkTakesEvents(stream)
      const events = await parseAppend(stream, codec, request.raw, await bodyOf(request), { id })
      return this.#write(request, reply, stream, events)
    })
  }

  /** Writes metadata: `POST /streams/{s}/metadata`. @throws refusals */
  async writeMetadata(request: FastifyRequest, reply: FastifyReply, stream: string): Promise<FastifyReply> {
    const codec = negotiateWrite(request, offers.write)
    if (isMetastream(stream)) {
      throw badRequest('Invalid request. Stream must be non-empty string and should not be metastream')
    }
    return this.#refusing(async () => {
      checkTakesMetadata(stream)
      const metastream = metastreamOf(stream)
      const events = await parseMetadata(metastream, codec, request.raw, await bodyOf(request))
      return this.#write(request, reply, metastream, events)
    })
  }

  async #write(
    request: FastifyRequest,
    reply: FastifyReply,
    stream: string,
    events: NewEvent[]
  ): Promise<FastifyReply> {
    checkDistinctIds(events)
    const result = await this.#parts.writer.append({
      kind: 'append-by-place',
      stream,
      expected: expectedVersion(request.headers),
      events,
      by: actorOf(request)
    })
    const number = result.events[0]?.number
    const location = `${this.#baseOf(request)}/streams/${segment(stream)}/${number}`
    return sendEmpty(reply, 201, 'Created', { location })
  }

  /** Deletes a stream: `DELETE /streams/{s}`. @throws refusals */
  async delete(request: FastifyRequest, reply: FastifyReply, stream: string): Promise<FastifyReply> {
    negotiate(request.headers.accept, null, offers.write)
    const expected = expectedVersion(request.headers)
    checkRequireLeader(request.headers)
    const permanent = hardDelete(request.headers)
    return this.#refusing(async () => {
      checkDeletableName(stream)
      try {
        await this.#parts.writer.delete({ kind: 'delete', stream, expected, permanent, by: actorOf(request) })
      } catch (error) {
        if (!isDaybookError(error)) throw error
        if (error.code === 'stream-not-found') throw wrongExpectedVersion(-1)
        if (error.code === 'wrong-expected-version' && expected === 'stream_exists') {
          const { metadata } = await this.#parts.states.of(stream)
          if (metadata.deleted) throw new Refusal(410, 'Stream deleted')
        }
        throw error
      }
      return sendEmpty(reply, 204, 'Stream deleted')
    })
  }

  async #refusing(work: () => Promise<FastifyReply>): Promise<FastifyReply> {
    try {
      return await work()
    } catch (error) {
      throw asRefusal(error, 'write')
    }
  }
}

/** Returns the codec of the body. @throws a 415 for its media type, a 406 when Accept permits no response */
export function negotiateWrite(request: FastifyRequest, offered: Offer): Codec {
  const codec = bodyCodec(request.headers['content-type'], offered)
  negotiate(request.headers.accept, rawQueryOf(request).get('format'), offered)
  return codec
}

/** @throws a 400 for a batch that repeats an id, because ids are unique in a stream */
function checkDistinctIds(events: readonly NewEvent[]): void {
  const seen = new Set<string>()
  for (const { id } of events) {
    if (id === undefined) continue
    const key = id.toString('latin1')
    if (seen.has(key))
      throw badRequest(
        `The batch has the eventId ${idText(id)} twice. Give the second event a new id. Nothing was written.`
      )
    seen.add(key)
  }
}
