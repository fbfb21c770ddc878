/** Operations on the server itself: information, health, metrics, help. */
import { Type } from 'typebox'
import { Health, Info } from '../server.js'
import { jsonResponse, problemResponses } from './responses.js'

const text = { 'text/plain': { schema: Type.String() } }

function info(operationId: string) {
  return {
    operationId,
    summary: 'Get version, log identity, limits and links of the server',
    tags: ['server'],
    response: { 200: jsonResponse('Information about the server.', Info) }
  }
}

function sign(operationId: string, summary: string) {
  return { operationId, summary, tags: ['server'], response: { 200: jsonResponse('Yes.', Health) } }
}

export const serverOperations = {
  discover: info('discover'),
  info: info('getInfo'),
  ping: sign('ping', 'Check whether the server answers'),
  alive: sign('isAlive', 'Check whether the process runs'),
  ready: {
    operationId: 'isReady',
    summary: 'Check whether the server accepts reads and appends',
    tags: ['server'],
    response: { 200: jsonResponse('Ready.', Health), 503: jsonResponse('Not ready, and why.', Health) }
  },
  metrics: {
    operationId: 'getMetrics',
    summary: 'Get the metrics of the server in the Prometheus format',
    description: 'Metrics of single consumers are visible to operators and administrators only.',
    tags: ['server'],
    response: { 200: { description: 'Metrics.', content: text } }
  },
  contract: { hide: true },
  explainProblem: {
    operationId: 'explainProblem',
    summary: 'Explain a problem code',
    tags: ['server'],
    params: Type.Object({ code: Type.String() }),
    response: { 200: { description: 'A help page.', content: text }, ...problemResponses([404]) }
  }
}
