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
      Type.Boolean({ description: '`true`: a tombstone. Nothing can ever be appended again. Default `false`.' })
    )
  },
  { additionalProperties: false }
)
export type DeleteQuery = Static<typeof DeleteQuery>

const headerText = (description: string) => Type.Optional(Type.String({ description }))
const AppendHeaders = Type.Object({
  'if-match': headerText('`"7"`: the last event is 7. `*`: the stream exists.'),
  'if-none-match': headerText('`*`: the stream was never written.'),
  'idempotency-key': headerText('1 to 255 characters; makes a retry exact without ids of events.'),
  'event-type': headerText('The body is the bare data of one event of this type.'),
  'event-id': headerText('With Event-Type: the id.'),
  'event-metadata': headerText('With Event-Type: metadata as ASCII JSON.'),
  prefer: headerText('`return=minimal` or `return=representation`.'),
  'daybook-log': headerText('The log that the expected number was read from: see `log-changed`.')
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
      200: { description: 'A page, a line for each event, or events as they come.', content: manyEvents },
      ...problemResponses([400, 403, 404, 406, 409, 410, 501])
    }
  },
  getEvent: {
    operationId: 'getEvent',
    summary: 'One event of a stream',
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
        'application/x-ndjson': { schema: Type.String({ description: 'An event a line, one atomic batch.' }) }
      }
    },
    response: {
      201: jsonResponse('On disk.', AppendResult),
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
      204: { type: 'null', description: 'Deleted. An append brings it back, unless it was deleted for ever.' },
      ...problemResponses([400, 404, 410, 412, 503, 507])
    }
  }
}
