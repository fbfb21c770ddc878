/** Operations on /streams/{stream} and /streams/{stream}/{number}. */
import { type Static, Type } from 'typebox'
import { AppendQuery, AppendResult, StreamAppendBody } from '../append.js'
import { EventPlace, EventQuery, manyEvents, oneEvent, overWebSocket, StreamParams, StreamQuery } from '../read.js'
import { jsonResponse, problemResponses } from './responses.js'

const params = StreamParams
const EventParams = Type.Object({ ...StreamParams.properties, number: EventPlace })

const DeleteQuery = Type.Object(
  {
    permanent: Type.Optional(
      Type.Boolean({
        description:
          '`true` deletes the stream permanently with a tombstone: no event can be appended to it again. Default `false`.'
      })
    )
  },
  { additionalProperties: false }
)
export type DeleteQuery = Static<typeof DeleteQuery>

const headerText = (description: string) => Type.Optional(Type.String({ description }))
const AppendHeaders = Type.Object({
  'if-match': headerText('`"7"`: the last event must be number 7. `*`: the stream must exist.'),
  'if-none-match': headerText('`*`: the stream must never have been written to.'),
  'idempotency-key': headerText('1 to 255 characters. Makes retries safe for events without an `id`.'),
  'event-type': headerText('The body is the bare data of one event; this is its type.'),
  'event-id': headerText('With Event-Type: the id of the event.'),
  'event-metadata': headerText('With Event-Type: the metadata of the event, as ASCII JSON.'),
  prefer: headerText('`return=minimal` or `return=representation`.'),
  'daybook-log': headerText(
    'Identity of the log that the expected number was read from. If that log has changed since, the request fails with `log-changed`.'
  )
})

const DeleteHeaders = Type.Object({
  'if-match': AppendHeaders.properties['if-match'],
  'if-none-match': AppendHeaders.properties['if-none-match'],
  'daybook-log': AppendHeaders.properties['daybook-log']
})

export const streamOperations = {
  read: {
    operationId: 'readStream',
    summary: 'Read a stream',
    description: overWebSocket,
    tags: ['streams'],
    params,
    querystring: StreamQuery,
    response: {
      200: { description: 'A page, one line per event, or a live event stream.', content: manyEvents },
      ...problemResponses([400, 403, 404, 406, 409, 410, 501])
    }
  },
  getEvent: {
    operationId: 'getEvent',
    summary: 'Get one event of a stream by its number',
    tags: ['streams'],
    params: EventParams,
    querystring: EventQuery,
    response: { 200: { description: 'The event.', content: oneEvent }, ...problemResponses([400, 404, 406, 410]) }
  },
  append: {
    operationId: 'appendToStream',
    summary: 'Append events to a stream',
    tags: ['streams'],
    params,
    querystring: AppendQuery,
    headers: AppendHeaders,
    body: {
      content: {
        'application/json': { schema: StreamAppendBody },
        'application/x-ndjson': { schema: Type.String({ description: 'One event per line, as one atomic batch.' }) }
      }
    },
    response: {
      201: jsonResponse('The events are stored on disk.', AppendResult),
      ...problemResponses([400, 403, 409, 412, 413, 415, 422, 503, 507])
    }
  },
  remove: {
    operationId: 'deleteStream',
    summary: 'Delete a stream',
    tags: ['streams'],
    params,
    querystring: DeleteQuery,
    headers: DeleteHeaders,
    response: {
      204: { type: 'null', description: 'Deleted. An append revives the stream, unless it was deleted permanently.' },
      ...problemResponses([400, 404, 410, 412, 503, 507])
    }
  }
}
