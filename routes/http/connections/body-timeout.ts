/** How long the body of a request may take to come. */
import type { FastifyInstance, FastifyReply, FastifyRequest, preHandlerHookHandler } from 'fastify'
import { limits } from '../../../src/limits.js'
import type { Clock } from '../../../src/time/clock.js'
import { isNdjson, mediaType } from '../../wire/media-types.js'
import { endWithProblem } from '../error-handler.js'
import { lingerAndClose } from './lingering-close.js'
import { announcesBody } from './request-body.js'

const BODIED = new Set(['POST', 'PUT', 'PATCH'])
const SLOW_LOOK_MS = 5000

declare module 'fastify' {
  interface FastifyInstance {
    readonly bodyTimes: BodyTimes
  }
}

interface BodyTime {
  readonly reply: FastifyReply
  /** When its time began to run, milliseconds of the monotonic clock. */
  begun: number
  /** The request was answered without its body, and the rest of it is dropped. */
  answered: boolean
}

/**
 * Ends requests whose body has not come within the limit, with 408; and the connections of those that were answered
 * before their body has come, soon after the answer. A streamed write is left alone: it may last for hours, and node's
 * own limit knows no exception.
 */
export class BodyTimes {
  readonly #clock: Clock
  readonly #waiting = new Map<FastifyRequest, BodyTime>()
  #cancel = () => {}

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Begins the time of a request that has a body; for one without, nothing is done. */
  begin(request: FastifyRequest, reply: FastifyReply): void {
    if (!announcesBody(request.raw) || isStreamed(request)) return
    this.#waiting.set(request, { reply, begun: this.#clock.elapsed(), answered: false })
  }

  /** The body is read from now on: it was kept waiting by the server until now. */
  restart(request: FastifyRequest): void {
    const time = this.#waiting.get(request)
    if (time !== undefined) time.begun = this.#clock.elapsed()
  }

  /** The body is there. */
  end(request: FastifyRequest): void {
    this.#waiting.delete(request)
  }

  /** Looks at all bodies, now and again. */
  readonly look = (): void => {
    const now = this.#clock.elapsed()
    for (const [request, time] of this.#waiting) {
      const { complete, destroyed, socket } = request.raw
      if (complete !== false || destroyed || socket.destroyed) this.#waiting.delete(request)
      else if (time.reply.raw.writableEnded) this.#lookAnswered(request, time, now)
      else if (time.begun <= now - limits.request_timeout_ms) {
        this.#waiting.delete(request)
        endWithProblem(socket, 'request-timeout')
        lingerAndClose(socket, this.#clock)
      }
    }
    this.#cancel = this.#clock.after(SLOW_LOOK_MS, this.look)
  }

  close(): void {
    this.#cancel()
  }

  /** Node reads and drops what still comes after an answer, however long that takes. */
  #lookAnswered(request: FastifyRequest, time: BodyTime, now: number): void {
    if (!time.answered) {
      time.answered = true
      time.begun = now
    } else if (time.begun <= now - limits.close_linger_ms) {
      this.#waiting.delete(request)
      request.raw.socket.destroy()
    }
  }
}

/** @returns the times of the bodies of all requests; `begin` is the caller's to call, before anything is refused */
export function cutSlowBodies(app: FastifyInstance, clock: Clock): BodyTimes {
  const times = new BodyTimes(clock)
  app.decorate('bodyTimes', times)
  app.addHook('onRoute', (route) => {
    if (![route.method].flat().some((method) => BODIED.has(method))) return
    const end: preHandlerHookHandler = (request, _reply, done) => {
      if (request.raw.complete !== false) times.end(request)
      done()
    }
    // Before the hooks that the route brings itself, which stay.
    route.preHandler = [end, ...[route.preHandler ?? []].flat()]
  })
  app.addHook('onReady', async () => times.look())
  app.addHook('onClose', async () => times.close())
  return times
}

function isStreamed({ method, routeOptions, headers }: FastifyRequest): boolean {
  return method === 'POST' && routeOptions.url === '/events' && isNdjson(mediaType(headers['content-type']))
}
