/** Time-outs for the bodies of requests. */
import type { FastifyInstance, FastifyReply, FastifyRequest, preHandlerHookHandler } from 'fastify'
import { limits } from '../../../src/limits.js'
import type { Clock } from '../../../src/time/clock.js'
import { isNdjson, mediaType } from '../../wire/media-types.js'
import { endWithProblem } from '../error-handler.js'
import { lingerAndClose } from './lingering-close.js'
import { announcesBody } from './request-body.js'

const BODIED = new Set(['POST', 'PUT', 'PATCH'])
const CHECK_INTERVAL_MS = 1000

declare module 'fastify' {
  interface FastifyInstance {
    readonly bodyTimes: BodyTimes
  }
}

interface BodyTime {
  readonly reply: FastifyReply
  /** When the time-out started, in milliseconds of the monotonic clock. */
  begun: number
  /** True when the response was sent before the body had arrived; the rest of the body is then dropped. */
  answered: boolean
  /** For a body with reserved memory: bytes read from its connection so far, and when the last of them arrived. */
  progress?: { read: number; at: number }
}

/** The parts of the store that body time-outs use. */
export interface BodyTimeParts {
  readonly clock: Clock
  readonly memory: { readonly bodies: { readonly waiting: number } }
}

/**
 * Ends a request with 408 when its body does not arrive within the limit, or when a body with reserved memory stalls.
 * Ends the connection soon after the response when a request was answered before its body had arrived. Streamed writes
 * are exempt: they may last for hours, and node's own time-out allows no exceptions.
 */
export class BodyTimes {
  readonly #clock: Clock
  readonly #memory: BodyTimeParts['memory']
  readonly #waiting = new Map<FastifyRequest, BodyTime>()
  #cancel = () => {}

  constructor({ clock, memory }: BodyTimeParts) {
    this.#clock = clock
    this.#memory = memory
  }

  /** Starts the time-out of a request. Does nothing for a request without a body, or for a streamed write. */
  begin(request: FastifyRequest, reply: FastifyReply): void {
    if (!announcesBody(request.raw) || isStreamed(request)) return
    this.#waiting.set(request, { reply, begun: this.#clock.elapsed(), answered: false })
  }

  /** Restarts the time-out. Called when the body has got the memory that it waited for, and reading begins. */
  restart(request: FastifyRequest): void {
    const time = this.#waiting.get(request)
    if (time === undefined) return
    time.begun = this.#clock.elapsed()
    time.progress = { read: request.raw.socket.bytesRead, at: time.begun }
  }

  /** Ends the time-out: the body has arrived. */
  end(request: FastifyRequest): void {
    this.#waiting.delete(request)
  }

  /** Checks all bodies, and schedules the next check. */
  readonly check = (): void => {
    const now = this.#clock.elapsed()
    for (const [request, time] of this.#waiting) {
      const { complete, destroyed, socket } = request.raw
      if (complete !== false || destroyed || socket.destroyed) this.#waiting.delete(request)
      else if (time.reply.raw.writableEnded) this.#checkAnswered(request, time, now)
      else if (time.begun <= now - limits.request_timeout_ms || this.#isStalled(time, socket.bytesRead, now)) {
        this.#waiting.delete(request)
        endWithProblem(socket, 'request-timeout')
        lingerAndClose(socket, this.#clock)
      }
    }
    this.#cancel = this.#clock.after(CHECK_INTERVAL_MS, this.check)
  }

  close(): void {
    this.#cancel()
  }

  /** Returns true when a body with reserved memory stalls; sooner while other bodies wait for memory. */
  #isStalled({ progress }: BodyTime, read: number, now: number): boolean {
    if (progress === undefined) return false
    if (read > progress.read) {
      progress.read = read
      progress.at = now
    }
    return progress.at <= now - (this.#memory.bodies.waiting > 0 ? limits.drain_wanted_ms : limits.drain_ms)
  }

  /** Ends the connection after `close_linger_ms`: node itself would read and drop the rest without a time limit. */
  #checkAnswered(request: FastifyRequest, time: BodyTime, now: number): void {
    if (!time.answered) {
      time.answered = true
      time.begun = now
    } else if (time.begun <= now - limits.close_linger_ms) {
      this.#waiting.delete(request)
      request.raw.socket.destroy()
    }
  }
}

/** Adds the hooks for body time-outs. The caller must call `begin` for each request, before any check refuses it. */
export function limitBodyTimes(app: FastifyInstance, parts: BodyTimeParts): BodyTimes {
  const times = new BodyTimes(parts)
  app.decorate('bodyTimes', times)
  app.addHook('onRoute', (route) => {
    if (![route.method].flat().some((method) => BODIED.has(method))) return
    const end: preHandlerHookHandler = (request, _reply, done) => {
      if (request.raw.complete !== false) times.end(request)
      done()
    }
    // Runs before the route's own hooks, which are kept.
    route.preHandler = [end, ...[route.preHandler ?? []].flat()]
  })
  app.addHook('onReady', async () => times.check())
  app.addHook('onClose', async () => times.close())
  return times
}

function isStreamed({ method, routeOptions, headers }: FastifyRequest): boolean {
  return method === 'POST' && routeOptions.url === '/events' && isNdjson(mediaType(headers['content-type']))
}
