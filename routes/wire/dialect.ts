/**
 * Appends in EventStoreDB's words (native contract §3): its body type, its expected-version header, its refusals.
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyReply } from 'fastify'
import { DaybookError } from '../../src/errors.js'
import type { NewEvent } from '../../src/streams/append.js'
import { checkBatch, EventDraft, type IdSource, makeEvent } from './event-body.js'
import { JsonReader } from './json.js'

export const EVENTS_JSON = 'application/vnd.eventstore.events+json'

/** True when an append is to be answered in the dialect: its body type or one of its headers says so. */
export function isDialectAppend(headers: IncomingHttpHeaders): boolean {
  if (headers['content-type']?.trim().toLowerCase().startsWith('application/vnd.eventstore.')) return true
  for (const name in headers) if (name.startsWith('es-') || name.startsWith('kurrent-')) return true
  return false
}

/** `[{ eventId, eventType, data, metadata }]`. @throws `invalid-event`, `bad-event-id`, `malformed-json`, `empty-batch` */
export function parseDialectEvents(body: Buffer, options: { stream: string; ids: IdSource }): NewEvent[] {
  const reader = new JsonReader(body)
  if (!reader.atArray) throw new DaybookError('invalid-body', `A body of type ${EVENTS_JSON} is an array of events.`)
  const events: NewEvent[] = []
  reader.elements((index) => {
    if (!reader.atObject) throw new DaybookError('invalid-event', 'An event is an object.', { index })
    const draft = new EventDraft()
    reader.members((name) => {
      if (name === 'data') draft.data = reader.slice()
      else if (name === 'metadata') draft.metadata = reader.slice()
      else if (name === 'eventType') draft.type = reader.value()
      else if (name === 'eventId') draft.id = reader.value()
      else reader.slice() // the original passes over what it does not know
    })
    events.push(makeEvent(draft, index, options))
  })
  reader.end()
  return checkBatch(events)
}

/** Answers a refused expected version as the original does: 400, its reason phrase, the head in a header, no body. */
export function sendWrongVersion(reply: FastifyReply, head: number | null): FastifyReply {
  reply.raw.statusMessage = 'Wrong expected EventNumber'
  return reply
    .code(400)
    .header('es-currentversion', head ?? -1)
    .header('content-type', 'text/plain; charset=utf-8')
    .send('')
}
