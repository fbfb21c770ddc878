/** Live reads over WebSocket (native contract §5): the handshake, and the hand-over of the socket to subscriptions. */
import { IncomingMessage } from 'node:http'
import websocket, { type WebSocket } from '@fastify/websocket'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteShorthandOptions } from 'fastify'
import { DaybookError } from '../../../src/errors.js'
import { limits } from '../../../src/limits.js'
import type { Clock } from '../../../src/time/clock.js'
import type { Requirement } from '../../auth/authorization.js'
import { readContextOf } from '../../auth/caller-rights.js'
import { isWebSocket } from '../../eventstore/wire/form.js'
import { currentResponse } from '../../http/connections/current-response.js'
import type { Origins } from '../../http/same-origin.js'
import { SharedBytes, SharedTails } from '../../wire/live/live-frames.js'
import { liveQueryOf } from '../../wire/reading/read-request.js'
import { normalizeLastEventId, resumePoint } from '../last-event-id.js'
import type { Live } from '../live.js'
import { type LiveCaller, type LivePlan, type LiveTarget, planLive } from '../plan-live-read.js'
import { FrameSocket } from './frame-socket.js'
import { SOCKET_SOURCE, SocketReaders } from './socket-readers.js'
import type { SharedFrames } from './websocket-connection.js'

export const SUBPROTOCOL = 'daybook.v1'

/**
 * A request that can be upgraded only to WebSocket. If a server handles upgrades, node treats every `Upgrade` header as
 * one. With this class, an upgrade to another protocol (Java's HTTP client offers h2c) is ignored, and the request gets
 * a normal response. An upgrade that is pipelined behind unanswered requests is refused, because node would hand over
 * the connection before their responses are sent. No WebSocket client does that (RFC 6455 4.1).
 */
export class UpgradableMessage extends IncomingMessage {
  wantsUpgrade: boolean | null = null
  /** The upgrade is pipelined behind unanswered requests. */
  isEarly = false

  get upgrade(): boolean {
    const { wantsUpgrade, method, headers } = this
    return wantsUpgrade === true && method === 'GET' && isWebSocket(headers.upgrade)
  }

  /** Node sets it after it has parsed the headers. */
  set upgrade(wanted: boolean | null) {
    this.isEarly = wanted === true && currentResponse(this.socket) !== undefined
    this.wantsUpgrade = wanted && !this.isEarly
  }
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The live reads of a route. `reads`: over every transport; `upgrades`: over WebSocket only. */
    live?: 'reads' | 'upgrades'
  }
}

function isLive({ routeOptions }: FastifyRequest): boolean {
  return routeOptions.config.live !== undefined
}

const UPGRADE_REMOVED =
  'This is a WebSocket handshake (Sec-WebSocket-Key) without "Upgrade: websocket": probably a proxy removed the headers Upgrade and Connection. Configure it to pass them on, or read with Accept: text/event-stream.'
const UPGRADE_TOO_EARLY =
  'The WebSocket handshake was sent before earlier requests on the same connection were answered. Use a new connection for the WebSocket.'

/** Enables upgrades to WebSocket: routes with a `wsHandler` accept them, all other routes refuse them. */
export async function acceptWebSockets(app: FastifyInstance, clock: Clock): Promise<void> {
  await app.register(websocket, {
    options: {
      maxPayload: limits.client_frame_bytes_max,
      perMessageDeflate: false,
      clientTracking: false,
      handleProtocols: (offered) => offered.has(SUBPROTOCOL) && SUBPROTOCOL
    },
    // The client violated the protocol. It has time to read the close frame before the connection is cut.
    errorHandler: (_error, socket) => void clock.after(limits.close_linger_ms, () => socket.terminate()),
    // When the server stops, subscriptions close their connections themselves.
    preClose: (done) => done()
  })
  app.addHook('onRequest', (request, reply, done) => {
    const { isEarly } = request.raw as UpgradableMessage
    // Node has discarded everything that followed the handshake on this connection.
    if (isEarly) reply.header('connection', 'close')
    const isHandshake = request.ws || request.headers['sec-websocket-key'] !== undefined
    if (isHandshake && !request.is404 && !isLive(request)) {
      throw new DaybookError('bad-request', 'This address has no live reads: send the request without "Upgrade".')
    }
    if (isHandshake && !request.ws && request.method === 'GET' && isLive(request)) {
      throw new DaybookError('upgrade-lost', isEarly ? UPGRADE_TOO_EARLY : UPGRADE_REMOVED)
    }
    done()
  })
}

/**
 * Returns the options of a GET route that can also be read over WebSocket.
 * @param targetOf returns the source and the query of a request
 * @param access the rights that the route requires
 */
export function liveSocket(
  live: Live,
  targetOf: (request: FastifyRequest) => LiveTarget,
  access: Requirement
): Pick<RouteShorthandOptions, 'preValidation' | 'preHandler' | 'config'> & {
  wsHandler: (socket: WebSocket, request: FastifyRequest) => void
} {
  const plans = new WeakMap<FastifyRequest, LivePlan>()
  const shared = { whole: new SharedBytes(), tails: new SharedTails() }
  return {
    config: {
      live: 'reads',
      access,
      ticketFor: (request) => {
        const { address, query } = targetOf(request)
        return liveQueryOf(address, query, readContextOf(live.parts, request)).source
      }
    },
    preValidation: (request, _reply, done) => {
      normalizeLastEventId(request)
      done()
    },
    preHandler: async (request) => {
      if (!request.ws) return
      checkHandshake(request, live.origins)
      const plan = await planLive(live, callerOf(request), targetOf(request), resumePoint(request))
      // If the connection breaks now, wsHandler is never called; the consumer must be released all the same.
      request.raw.socket.once('close', () => plan.attachment?.release())
      if (request.raw.socket.destroyed) plan.attachment?.release()
      plans.set(request, plan)
    },
    wsHandler: (socket, request) => {
      readersOf(live, socket, request, shared).beginWith(plans.get(request) as LivePlan)
    }
  }
}

/** Returns the options of a GET route that opens a WebSocket without a subscription of its own. */
export function emptySocket(
  live: Live,
  access: Requirement
): Pick<RouteShorthandOptions, 'preHandler' | 'config'> & {
  wsHandler: (socket: WebSocket, request: FastifyRequest) => void
} {
  const shared = { whole: new SharedBytes(), tails: new SharedTails() }
  return {
    config: { live: 'upgrades', access, ticketFor: () => SOCKET_SOURCE },
    preHandler: async (request) => {
      if (!request.ws) return
      checkHandshake(request, live.origins)
      const [parameter] = Object.keys(request.query as object)
      if (parameter !== undefined) {
        const why = `There is no parameter "${parameter.slice(0, 60)}" here: put it into the "source" of a subscription.`
        throw new DaybookError('unknown-parameter', why, { parameter })
      }
      live.parts.subscriptions.checkRoom()
    },
    wsHandler: (socket, request) => readersOf(live, socket, request, shared).beginEmpty()
  }
}

function callerOf(request: FastifyRequest): LiveCaller {
  return { request, headers: request.headers, grants: request.ws }
}

function readersOf(live: Live, socket: WebSocket, request: FastifyRequest, shared: SharedFrames): SocketReaders {
  return new SocketReaders(live, new FrameSocket(socket, request, live.parts.clock), request, shared)
}

/** Whether a list of sub-protocols is well-formed: valid tokens without duplicates (RFC 6455 §4.1). */
function areTokens(names: readonly string[]): boolean {
  return new Set(names).size === names.length && names.every((name) => /^[\w!#$%&'*+\-.^`|~]+$/.test(name))
}

/** Closes the connection of an upgrade after its response. Needed for a malformed address, for which no hooks run. */
export function endUpgrade(request: FastifyRequest, reply: FastifyReply): void {
  if ((request.raw as UpgradableMessage).upgrade) reply.raw.once('finish', () => request.raw.socket.destroySoon())
}

/** Checks a WebSocket handshake. @throws `bad-header`, `origin-refused`, and the validation error of the query */
function checkHandshake(request: FastifyRequest, origins: Origins): void {
  const { headers } = request
  origins.check(request, 'follow events here over WebSocket')
  if (request.validationError !== undefined) throw request.validationError
  const protocols = headers['sec-websocket-protocol']?.split(',').map((one) => one.trim())
  if (protocols !== undefined && !(protocols.includes(SUBPROTOCOL) && areTokens(protocols))) {
    throw new DaybookError('bad-header', `Sec-WebSocket-Protocol must contain ${SUBPROTOCOL}, or be absent.`, {
      available: [SUBPROTOCOL]
    })
  }
  const version = headers['sec-websocket-version']
  if (version !== '13' || !/^[+/0-9A-Za-z]{22}==$/.test(headers['sec-websocket-key'] ?? '')) {
    throw new DaybookError(
      'bad-header',
      'A WebSocket handshake requires Sec-WebSocket-Version: 13 and a valid Sec-WebSocket-Key.'
    )
  }
}
