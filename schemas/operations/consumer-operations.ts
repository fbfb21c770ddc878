/** Operations on /consumers. */
import { Type } from 'typebox'
import { limits } from '../../src/limits.js'
import { Acknowledged, Acknowledgement, ConsumerList, ConsumerReset, ConsumerShown, NewConsumer } from '../consumers.js'
import { ConsumerQuery, manyEvents, overWebSocket } from '../read.js'
import { jsonContent, jsonResponse, problemResponses } from './responses.js'

const tags = ['consumers']
const params = Type.Object({
  name: Type.String({ description: `1 to ${limits.consumer_name_chars_max} characters.` })
})

export const consumerOperations = {
  list: {
    operationId: 'listConsumers',
    summary: 'Named consumers, and who reads live without a name',
    tags,
    response: { 200: jsonResponse('By name.', ConsumerList) }
  },
  get: {
    operationId: 'getConsumer',
    summary: 'State, place and lag of a consumer',
    tags,
    params,
    response: { 200: jsonResponse('The consumer.', ConsumerShown), ...problemResponses([404]) }
  },
  put: {
    operationId: 'putConsumer',
    summary: 'Make a consumer',
    tags,
    params,
    body: { content: jsonContent(NewConsumer) },
    response: {
      200: jsonResponse('It is there, and the same.', ConsumerShown),
      201: jsonResponse('Made; its place is on disk.', ConsumerShown),
      ...problemResponses([400, 409, 503, 507])
    }
  },
  remove: {
    operationId: 'deleteConsumer',
    summary: 'Forget a consumer and its place',
    tags,
    params,
    response: { 204: { type: 'null', description: 'Forgotten.' }, ...problemResponses([404, 503, 507]) }
  },
  read: {
    operationId: 'readAsConsumer',
    summary: 'Events after the place of a consumer',
    description: overWebSocket,
    tags,
    params,
    querystring: ConsumerQuery,
    response: {
      200: { description: 'A page, a line for each event, or events as they come.', content: manyEvents },
      ...problemResponses([400, 403, 404, 406, 409, 410])
    }
  },
  acknowledge: {
    operationId: 'acknowledge',
    summary: 'Everything up to a cursor was dealt with',
    tags,
    params,
    body: { content: jsonContent(Acknowledgement) },
    response: { 200: jsonResponse('On disk.', Acknowledged), ...problemResponses([400, 404, 409]) }
  },
  reset: {
    operationId: 'resetConsumer',
    summary: 'Let a consumer go on elsewhere, in a new generation',
    tags,
    params,
    body: { content: jsonContent(ConsumerReset) },
    response: { 200: jsonResponse('On disk.', ConsumerShown), ...problemResponses([400, 404, 409]) }
  }
}
