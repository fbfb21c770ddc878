/** How long the body of a request may take to come. */
import type { FastifyInstance, FastifyReply, FastifyRequest, preHandlerHookHandler } from 'fastify'
import { limits } from '../../../src/limits.js'
import type { Clock } from '../../../src/time/clock.js'
import { isNdjson, mediaType } from '../../wire/media-types.js'
import { endWithProblem } from '../error-handler.js'
import { lingerAndClose } from './lingering-close.js'
import { announcesBody } from './request-body.js'

const BODIED = new Set(['POST', 'PUT', 'PATCH'])
const SLOW_LOOK_MS = 1000

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
  /** Of a body that holds memory: what had come over its connection when something last came, and when that was. */
  progress?: { read: number; at: number }
}

/** What cutting bodies uses of the store. */
export interface BodyTimeParts {
  readonly clock: Clock
  readonly memory: { readonly bodies: { readonly waiting: number } }
}

/**
 * Ends a request with 408 when its body has not come within the limit, or when the body holds memory and nothing more of it
 * comes. Ends the connection of a request that was answered before its body had come, soon after the answer. A streamed
 * write is left alone: it may last for hours, and node's own limit knows no exception.
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

  /** Begins the time of a request that has a body; for one without, nothing is done. */
  begin(request: FastifyRequest, reply: FastifyReply): void {
    if (!announcesBody(request.raw) || isStreamed(request)) return
    this.#waiting.set(request, { reply, begun: this.#clock.elapsed(), answered: false })
  }

  /** The body has the memory that it waited for, and is read from now on. */
  restart(request: FastifyRequest): void {
    const time = this.#waiting.get(request)
    if (time === undefined) return
    time.begun = this.#clock.elapsed()
    time.progress = { read: request.raw.socket.bytesRead, at: time.begun }
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
      else if (time.begun <= now - limits.request_timeout_ms || this.#isStalled(time, socket.bytesRead, now)) {
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

  /** True when nothing more comes of a body that holds memory; sooner while others wait for that. */
  #isStalled({ progress }: BodyTime, read: number, now: number): boolean {
    if (progress === undefined) return false
    if (read > progress.read) {
      progress.read = read
      progress.at = now
    }
    return progress.at <= now - (this.#memory.bodies.waiting > 0 ? limits.drain_wanted_ms : limits.drain_ms)
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
export function cutSlowBodies(app: FastifyInstance, parts: BodyTimeParts): BodyTimes {
  const times = new BodyTimes(parts)
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
