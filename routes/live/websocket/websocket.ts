/** Live reads over WebSocket (native contract §5): the handshake, and the hand-over to a subscription. */
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
import { nameLastEventId, resumedAt } from '../last-event-id.js'
import type { Live } from '../live.js'
import { type LiveAsked, type LiveCaller, type LivePlan, planLive } from '../plan-live-read.js'
import { FrameSocket } from './frame-socket.js'
import { SOCKET_SOURCE, SocketReaders } from './socket-readers.js'
import type { SharedFrames } from './websocket-connection.js'

export const SUBPROTOCOL = 'daybook.v1'

/**
 * A request that can be upgraded to WebSocket only. As soon as a server handles upgrades, node takes every `Upgrade` for
 * one that it handles; a client that offers another protocol (Java's offers h2c) is answered as if it had not. One that
 * asks before the requests ahead of it on its connection were answered is refused: node would hand over the connection at
 * once. No client does that (RFC 6455 4.1).
 */
export class UpgradableMessage extends IncomingMessage {
  wantsUpgrade: boolean | null = null
  /** It asks before the requests ahead of it were answered. */
  isEarly = false

  get upgrade(): boolean {
    const { wantsUpgrade, method, headers } = this
    return wantsUpgrade === true && method === 'GET' && isWebSocket(headers.upgrade)
  }

  /** Node sets it when the headers have been read. */
  set upgrade(wanted: boolean | null) {
    this.isEarly = wanted === true && currentResponse(this.socket) !== undefined
    this.wantsUpgrade = wanted && !this.isEarly
  }
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** `reads`: over every transport; `upgrades`: only an upgrade to WebSocket. */
    live?: 'reads' | 'upgrades'
  }
}

function isLive({ routeOptions }: FastifyRequest): boolean {
  return routeOptions.config.live !== undefined
}

const NOT_PASSED_ON =
  'This is a WebSocket handshake (Sec-WebSocket-Key) without "Upgrade: websocket": a proxy in front of this server does not pass the headers Upgrade and Connection on. Let it, or read with Accept: text/event-stream.'
const BEHIND =
  'A WebSocket was asked for before the requests ahead of it on its connection were answered. Ask on a connection of its own.'

/** Accepts upgrades: routes with a `wsHandler` take them, all others refuse. */
export async function acceptWebSockets(app: FastifyInstance, clock: Clock): Promise<void> {
  await app.register(websocket, {
    options: {
      maxPayload: limits.client_frame_bytes_max,
      perMessageDeflate: false,
      clientTracking: false,
      handleProtocols: (offered) => offered.has(SUBPROTOCOL) && SUBPROTOCOL
    },
    // The client broke the protocol: a close frame has told it, and it has a while to read that.
    errorHandler: (_error, socket) => void clock.after(limits.close_linger_ms, () => socket.terminate()),
    // Subscriptions end their connections themselves.
    preClose: (done) => done()
  })
  app.addHook('onRequest', (request, reply, done) => {
    const { isEarly } = request.raw as UpgradableMessage
    // Node has dropped what came behind it.
    if (isEarly) reply.header('connection', 'close')
    const isHandshake = request.ws || request.headers['sec-websocket-key'] !== undefined
    if (isHandshake && !request.is404 && !isLive(request)) {
      throw new DaybookError('bad-request', 'Nothing is live at this address: ask without "Upgrade".')
    }
    if (isHandshake && !request.ws && request.method === 'GET' && isLive(request)) {
      throw new DaybookError('upgrade-lost', isEarly ? BEHIND : NOT_PASSED_ON)
    }
    done()
  })
}

/**
 * Options by which a GET route can be read over WebSocket, too.
 * @param asked the address and query of a request
 * @param access who may read there
 */
export function liveSocket(
  live: Live,
  asked: (request: FastifyRequest) => LiveAsked,
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
        const { address, query } = asked(request)
        return liveQueryOf(address, query, readContextOf(live.parts, request)).source
      }
    },
    preValidation: (request, _reply, done) => {
      nameLastEventId(request)
      done()
    },
    preHandler: async (request) => {
      if (!request.ws) return
      checkHandshake(request, live.origins)
      const plan = await planLive(live, callerOf(request), asked(request), resumedAt(request))
      // A connection that breaks in this moment never comes to the handler.
      request.raw.socket.once('close', () => plan.attachment?.release())
      if (request.raw.socket.destroyed) plan.attachment?.release()
      plans.set(request, plan)
    },
    wsHandler: (socket, request) => {
      readersOf(live, socket, request, shared).beginWith(plans.get(request) as LivePlan)
    }
  }
}

/** Options by which a GET route opens a WebSocket that has no subscription of its own. */
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
        const why = `"${parameter.slice(0, 60)}" is no parameter here: each "source" has its own.`
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

/** Whether a list of sub-protocols is well-formed: each a token, and named once (RFC 6455 §4.1). */
function areTokens(names: readonly string[]): boolean {
  return new Set(names).size === names.length && names.every((name) => /^[\w!#$%&'*+\-.^`|~]+$/.test(name))
}

/** Ends the connection of an upgrade with its answer, where the address is malformed and no route's hooks would end it. */
export function endUpgrade(request: FastifyRequest, reply: FastifyReply): void {
  if ((request.raw as UpgradableMessage).upgrade) reply.raw.once('finish', () => request.raw.socket.destroySoon())
}

/** @throws `bad-request`, `bad-header`, `origin-refused`, and what the query's schema says */
function checkHandshake(request: FastifyRequest, origins: Origins): void {
  const { headers } = request
  origins.check(request, 'follow events here over WebSocket')
  if (request.validationError !== undefined) throw request.validationError
  const protocols = headers['sec-websocket-protocol']?.split(',').map((one) => one.trim())
  if (protocols !== undefined && !(protocols.includes(SUBPROTOCOL) && areTokens(protocols))) {
    throw new DaybookError('bad-header', `The sub-protocol is ${SUBPROTOCOL}, or none.`, { available: [SUBPROTOCOL] })
  }
  const version = headers['sec-websocket-version']
  if (version !== '13' || !/^[+/0-9A-Za-z]{22}==$/.test(headers['sec-websocket-key'] ?? '')) {
    throw new DaybookError('bad-header', 'A WebSocket begins with Sec-WebSocket-Version: 13 and a Sec-WebSocket-Key.')
  }
}
