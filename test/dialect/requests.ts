/** Requests of dialect clients, shared by the rows of several sections. */
import type { FastifyInstance, InjectOptions } from 'fastify'
import { codecHash, codecs } from '../../routes/eventstore/wire/codecs.js'
import { systemClock } from '../../src/time/clock.js'
import type { Shows } from './rows.js'

export const OK = '200 OK'
export const MISSING = '404 Not Found'
export const DELETED = '410 Deleted'
export const NO_FORM = '406 Requested URI is not available in requested format'
export const TEXT = {
  'content-type': 'text/plain; charset=utf-8',
  'cache-control': undefined,
  etag: undefined,
  vary: undefined
}
export const HARD = { 'es-harddelete': 'True' }
export const UNRESOLVED = { 'es-resolvelinktos': 'False' }
export const WRONG_TYPE = '415 Invalid or missing Content-Type'
export const DESCRIPTION = '200 Description Document'
export const answersAs = ({ contentType }: { contentType: string }): Shows => ({
  headers: { 'content-type': contentType }
})
export const WRONG_VERSION = '400 Wrong expected EventNumber'
export const tag = `"0;${codecHash(codecs.atomJson)}"`
export const CREATED = '201 Created'
export const BAD = '400 Bad Request'
export const FEED = codecs.atomJson.type

export type Headers = Record<string, string>

let made = 0
export const newId = () => `5c1f7f3e-8a5b-4a57-9d0b-${(++made).toString(16).padStart(12, '0')}`
export const event = (more: object = {}) => ({ eventId: newId(), eventType: 'T', data: { a: 1 }, ...more })
export const link = (target: string, more: object = {}) => event({ eventType: '$>', data: target, ...more })
export const get = (url: string, accept: string = FEED, headers: Headers = {}): InjectOptions => ({
  method: 'GET',
  url: `/streams/${url}`,
  headers: { accept, ...headers }
})
export const post = (stream: string, events: object[]): InjectOptions => ({
  method: 'POST',
  url: `/streams/${stream}`,
  headers: { 'content-type': codecs.eventsJson.type },
  payload: JSON.stringify(events)
})
export const many = (stream: string, count: number) =>
  post(
    stream,
    Array.from({ length: count }, () => event())
  )
export const raw = (stream: string, type: string, payload: string): InjectOptions => ({
  method: 'POST',
  url: `/streams/${stream}`,
  headers: { 'content-type': type, 'es-eventtype': 'T', 'es-eventid': newId() },
  payload
})
export const metadata = (stream: string, document: object): InjectOptions => ({
  ...raw(`${stream}/metadata`, 'application/json', JSON.stringify(document)),
  headers: { 'content-type': 'application/json', 'es-eventid': newId() }
})
export const remove = (stream: string, headers: Headers = {}): InjectOptions => ({
  method: 'DELETE',
  url: `/streams/${stream}`,
  headers: { accept: FEED, ...headers }
})
/** The time of the store's clock, in seconds since the start of 2026. */
let now = 0
export const clock = { ...systemClock, now: () => Date.UTC(2026) + now * 1000 }
/** Sends requests one after the other; a number sets the clock. */
export const write = (...steps: (InjectOptions | number)[]) => {
  return async (app: FastifyInstance) => {
    for (const step of steps) {
      if (typeof step === 'number') now = step
      else await app.inject(step)
    }
  }
}

export const gone = write(
  many('soft', 1),
  remove('soft'),
  many('hard', 1),
  remove('hard', HARD),
  many('cut', 3),
  metadata('cut', { $tb: 3 }),
  metadata('only', { a: 1 })
)
