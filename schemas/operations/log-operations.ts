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
      200: { description: 'A page, a line for each event, or events as they come.', content: manyEvents },
      ...problemResponses([400, 403, 404, 406, 409, 501])
    }
  },
  getEvent: {
    operationId: 'getEventAtPosition',
    summary: 'One event of the log',
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
          schema: Type.String({ description: 'With `batch`: an event with its `stream` a line.' })
        }
      }
    },
    response: {
      200: {
        description: 'A receipt line for each batch.',
        content: { 'application/x-ndjson': { schema: ref(Receipt) } }
      },
      201: jsonResponse('On disk.', AppendResult),
      ...problemResponses([400, 403, 409, 412, 413, 415, 422, 501, 503, 507])
    }
  }
}
