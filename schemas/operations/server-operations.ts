/** Operations on the server itself: information, health, metrics, help. */
import { Type } from 'typebox'
import { Health, Info } from '../server.js'
import { jsonResponse, problemResponses } from './responses.js'

const text = { 'text/plain': { schema: Type.String() } }

function info(operationId: string) {
  return {
    operationId,
    summary: 'Version, log identity, limits, links',
    tags: ['server'],
    response: { 200: jsonResponse('The server.', Info) }
  }
}

function sign(operationId: string, summary: string) {
  return { operationId, summary, tags: ['server'], response: { 200: jsonResponse('It does.', Health) } }
}

export const serverOperations = {
  discover: info('discover'),
  info: info('getInfo'),
  ping: sign('ping', 'Answers'),
  alive: sign('isAlive', 'The process runs'),
  ready: {
    operationId: 'isReady',
    summary: 'Reads and appends are served',
    tags: ['server'],
    response: { 200: jsonResponse('Ready.', Health), 503: jsonResponse('Not ready, and why.', Health) }
  },
  metrics: {
    operationId: 'getMetrics',
    summary: "What the server counts, in Prometheus' format",
    description: 'What is counted for each consumer is for operators and administrators.',
    tags: ['server'],
    response: { 200: { description: 'Metrics.', content: text } }
  },
  contract: { hide: true },
  explainProblem: {
    operationId: 'explainProblem',
    summary: 'What a problem code means',
    tags: ['server'],
    params: Type.Object({ code: Type.String() }),
    response: { 200: { description: 'A page.', content: text }, ...problemResponses([404]) }
  }
}
