/** Operations on /consumers. */
import { Type } from 'typebox'
import { limits } from '../../src/limits.js'
import { Acknowledged, Acknowledgement, ConsumerList, ConsumerReset, ConsumerShown, NewConsumer } from '../consumers.js'
import { ConsumerQuery, manyEvents, overWebSocket } from '../read.js'
import { jsonContent, jsonResponse, problemResponses } from './responses.js'

const tags = ['consumers']
const params = Type.Object({
  name: Type.String({ description: `Name of the consumer: 1 to ${limits.consumer_name_chars_max} characters.` })
})

export const consumerOperations = {
  list: {
    operationId: 'listConsumers',
    summary: 'List named consumers, and live reads without a named consumer',
    tags,
    response: { 200: jsonResponse('The consumers, ordered by name.', ConsumerList) }
  },
  get: {
    operationId: 'getConsumer',
    summary: 'Get the state, position and lag of a consumer',
    tags,
    params,
    response: { 200: jsonResponse('The consumer.', ConsumerShown), ...problemResponses([404]) }
  },
  put: {
    operationId: 'putConsumer',
    summary: 'Create a consumer',
    tags,
    params,
    body: { content: jsonContent(NewConsumer) },
    response: {
      200: jsonResponse('The consumer exists already, with the same definition.', ConsumerShown),
      201: jsonResponse('Created; its position is stored on disk.', ConsumerShown),
      ...problemResponses([400, 409, 503, 507])
    }
  },
  remove: {
    operationId: 'deleteConsumer',
    summary: 'Delete a consumer and its position',
    tags,
    params,
    response: { 204: { type: 'null', description: 'Deleted.' }, ...problemResponses([404, 503, 507]) }
  },
  read: {
    operationId: 'readAsConsumer',
    summary: 'Read the events after the position of a consumer',
    description: overWebSocket,
    tags,
    params,
    querystring: ConsumerQuery,
    response: {
      200: { description: 'A page, one line per event, or a live event stream.', content: manyEvents },
      ...problemResponses([400, 403, 404, 406, 409, 410])
    }
  },
  acknowledge: {
    operationId: 'acknowledge',
    summary: 'Acknowledge all events up to a cursor',
    tags,
    params,
    body: { content: jsonContent(Acknowledgement) },
    response: {
      200: jsonResponse('The new position is stored on disk.', Acknowledged),
      ...problemResponses([400, 404, 409])
    }
  },
  reset: {
    operationId: 'resetConsumer',
    summary: 'Move a consumer to another position, in a new generation',
    tags,
    params,
    body: { content: jsonContent(ConsumerReset) },
    response: {
      200: jsonResponse('The new position is stored on disk.', ConsumerShown),
      ...problemResponses([400, 404, 409])
    }
  }
}
