/** Counts and limits the requests in flight. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { DaybookError } from '../../../src/errors.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** The counter that includes this request; undefined while the request is not counted. */
    flight: RequestsInFlight | undefined
  }
}

/** A request is in flight from the arrival of its body until its response is made, except while it waits for events. */
export class RequestsInFlight {
  readonly most: number
  count = 0

  constructor(most: number) {
    this.most = most
  }

  /** @throws `overloaded` when the limit is reached */
  check(): void {
    if (this.count < this.most) return
    throw new DaybookError(
      'overloaded',
      `The server is handling ${this.count} requests, which is its limit. Retry later.`,
      {
        limit: this.most,
        retry: true
      }
    )
  }

  add(request: FastifyRequest): void {
    this.count++
    request.flight = this
  }

  /** Stops counting a request that this counter includes. */
  leave(request: FastifyRequest): void {
    this.count--
    request.flight = undefined
  }
}

/**
 * Stops counting a request whose response is ready, or which waits for events.
 * @returns the counter, so that the caller can add the request again; undefined when the request was not counted
 */
export function leaveFlight(request: FastifyRequest): RequestsInFlight | undefined {
  const { flight } = request
  flight?.leave(request)
  return flight
}

/**
 * Rejects requests while too many are in flight. The limit counts requests instead of measuring event-loop delay,
 * because the delay also grows when another process uses the CPU.
 * @param isExempt returns true for requests that are never rejected
 */
export function limitInFlight(
  app: FastifyInstance,
  most: number,
  isExempt: (request: FastifyRequest) => boolean
): void {
  const flight = new RequestsInFlight(most)
  app.decorateRequest('flight', undefined)
  // Checked before the sign-in, which costs more. Checked again in preHandler: other requests may have been admitted
  // while the body arrived.
  app.addHook('onRequest', (request, _reply, done) => {
    if (!isExempt(request)) flight.check()
    done()
  })
  app.addHook('preHandler', (request, reply, done) => {
    // A WebSocket never gets a response. WebSockets have a limit of their own.
    if (!request.ws && !isExempt(request)) {
      flight.check()
      flight.add(request)
      // The client may disconnect before there is a response.
      reply.raw.once('close', () => leaveFlight(request))
    }
    done()
  })
  app.addHook('onSend', (request, _reply, payload, done) => {
    leaveFlight(request)
    done(null, payload)
  })
}
