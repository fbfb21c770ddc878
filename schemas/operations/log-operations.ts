/** Operations on /events: the whole log. */
import { Type } from 'typebox'
import { AppendResult, EventsAppendBody, EventsAppendQuery, Receipt } from '../append.js'
import { EventPlace, EventQuery, EventsQuery, manyEvents, oneEvent, overWebSocket } from '../read.js'
import { ref } from '../ref.js'
import { jsonContent, jsonResponse, problemResponses } from './responses.js'

export const logOperations = {
  read: {
    operationId: 'readEvents',
    summary: 'Read the log',
    description: overWebSocket,
    tags: ['events'],
    querystring: EventsQuery,
    response: {
      200: { description: 'A page, one line per event, or a live event stream.', content: manyEvents },
      ...problemResponses([400, 403, 404, 406, 409, 501])
    }
  },
  getEvent: {
    operationId: 'getEventAtPosition',
    summary: 'Get one event of the log by its position',
    tags: ['events'],
    params: Type.Object({ position: EventPlace }),
    querystring: EventQuery,
    response: { 200: { description: 'The event.', content: oneEvent }, ...problemResponses([400, 404, 406, 410]) }
  },
  append: {
    operationId: 'appendEvents',
    summary: 'Append to several streams at once',
    tags: ['events'],
    querystring: EventsAppendQuery,
    body: {
      content: {
        ...jsonContent(EventsAppendBody),
        'application/x-ndjson': {
          schema: Type.String({ description: 'With `batch`: one event with its `stream` per line.' })
        }
      }
    },
    response: {
      200: {
        description: 'With `batch`: one receipt line per batch.',
        content: { 'application/x-ndjson': { schema: ref(Receipt) } }
      },
      201: jsonResponse('The events are stored on disk.', AppendResult),
      ...problemResponses([400, 403, 409, 412, 413, 415, 422, 501, 503, 507])
    }
  }
}
