/** How many requests are being worked on, and the limit of that. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { DaybookError } from '../../../src/errors.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** Where this request is counted; undefined while it is not. */
    flight: RequestsInFlight | undefined
  }
}

/** A request is in flight from when its body has arrived until its answer is made, except while it waits for events. */
export class RequestsInFlight {
  readonly most: number
  count = 0

  constructor(most: number) {
    this.most = most
  }

  /** @throws `overloaded` when no further request can be taken */
  check(): void {
    if (this.count < this.most) return
    throw new DaybookError('overloaded', `${this.count} requests are being answered, as many as there may be.`, {
      limit: this.most,
      retry: true
    })
  }

  add(request: FastifyRequest): void {
    this.count++
    request.flight = this
  }

  /** Ends the count of a request that is counted here. */
  leave(request: FastifyRequest): void {
    this.count--
    request.flight = undefined
  }
}

/**
 * Ends the count of a request whose answer is made, or that waits for events.
 * @returns where it was counted, to be counted there again
 */
export function leaveFlight(request: FastifyRequest): RequestsInFlight | undefined {
  const { flight } = request
  flight?.leave(request)
  return flight
}

/**
 * Refuses requests while too many are in flight. What is counted is work that waits, not how late a timer is: that also
 * happens when another process needs the processor.
 * @param isExempt true for requests that are always answered
 */
export function limitInFlight(
  app: FastifyInstance,
  most: number,
  isExempt: (request: FastifyRequest) => boolean
): void {
  const flight = new RequestsInFlight(most)
  app.decorateRequest('flight', undefined)
  // Before the sign-in, which costs more; and again, since other requests may have been taken while the body came.
  app.addHook('onRequest', (request, _reply, done) => {
    if (!isExempt(request)) flight.check()
    done()
  })
  app.addHook('preHandler', (request, reply, done) => {
    // A WebSocket has no answer; how many there may be has a limit of its own.
    if (!request.ws && !isExempt(request)) {
      flight.check()
      flight.add(request)
      // Its client may go before there is an answer.
      reply.raw.once('close', () => leaveFlight(request))
    }
    done()
  })
  app.addHook('onSend', (request, _reply, payload, done) => {
    leaveFlight(request)
    done(null, payload)
  })
}
