/**
 * All subscriptions of one WebSocket (native contract §5, ADR 28): its own, for which the socket was opened, and those
 * that `subscribe` and `unsubscribe` frames begin and end.
 */
import type { FastifyRequest } from 'fastify'
import type { SubscribeFrame } from '../../../schemas/frames.js'
import { DaybookError, isDaybookError } from '../../../src/errors.js'
import { limits } from '../../../src/limits.js'
import type { Closing } from '../../../src/subscriptions/connection.js'
import type { Subscription } from '../../../src/subscriptions/subscription.js'
import { problemKinds, problemOf } from '../../wire/problems/problem.js'
import { parseCursor } from '../../wire/reading/cursor-bounds.js'
import { resumePoint } from '../last-event-id.js'
import type { Live } from '../live.js'
import { type LivePlan, planLive } from '../plan-live-read.js'
import { badFrame, type ClientFrame, checkFrame, parseFrame, subOf } from './client-frames.js'
import type { FrameSocket, SocketListener } from './frame-socket.js'
import { targetOfSource } from './live-source.js'
import { type SharedFrames, WebSocketConnection } from './websocket-connection.js'

/** The source of a ticket for a socket without a subscription of its own. */
export const SOCKET_SOURCE = '/subscriptions'

/**
 * Maximum number of answers (begin or end of a subscription) that a client leaves unread. A client that exceeds it is
 * cut off: it could otherwise fill the queue by subscribing again and again.
 */
const UNREAD_ANSWERS_MAX = 1000

/** A subscription of the socket. */
interface SocketReader {
  readonly sub: string | undefined
  plan?: LivePlan
  /** Undefined while the read is being planned. */
  subscription?: Subscription
  /** The client or the socket has ended it; it may still be in planning. */
  ended?: boolean
}

export class SocketReaders implements SocketListener {
  readonly #live: Live
  readonly #socket: FrameSocket
  readonly #request: FastifyRequest
  readonly #shared: SharedFrames
  #own: SocketReader | undefined
  readonly #named = new Map<string, SocketReader>()
  /** The last frame, `closing`, was sent. */
  #finished = false
  #unread = 0
  #release = () => {}

  constructor(live: Live, socket: FrameSocket, request: FastifyRequest, shared: SharedFrames) {
    this.#live = live
    this.#socket = socket
    this.#request = request
    this.#shared = shared
  }

  /** Begins a socket with a subscription of its own. */
  beginWith(plan: LivePlan): void {
    this.#own = { sub: undefined, plan }
    this.#open(this.#own, plan, ({ error, cursor }) => this.#finish(error, cursor))
    this.#socket.begin(this)
  }

  /** Begins a socket without a subscription of its own. It is pinged here, and closed when the server stops. */
  beginEmpty(): void {
    const { subscriptions, clock } = this.#live.parts
    const { ending } = subscriptions
    let cancel = () => {}
    const pingLater = () => {
      cancel = clock.after(limits.heartbeat_seconds_default * 1000, () => {
        this.#socket.ping()
        pingLater()
      })
    }
    const stop = () => this.#finish(ending.reason as DaybookError, undefined)
    this.#release = () => {
      cancel()
      ending.removeEventListener('abort', stop)
    }
    pingLater()
    ending.addEventListener('abort', stop)
    this.#socket.begin(this)
    if (ending.aborted) stop()
  }

  /** Handles a frame of the client. After a bad frame, sends an `error` frame; the connection stays open. */
  received(data: Buffer, isBinary: boolean): void {
    let sub: string | undefined
    try {
      const value = parseFrame(data, isBinary)
      sub = subOf(value)
      this.#take(checkFrame(value))
    } catch (error) {
      this.#refuse(error as Error, sub)
    }
  }

  closed(how: string): void {
    this.#release()
    this.#own?.subscription?.ended(how)
    this.#endNamed(how)
  }

  filled(): void {
    this.#own?.subscription?.filled()
    for (const { subscription } of this.#named.values()) subscription?.filled()
  }

  #take(frame: ClientFrame): void {
    if (frame.frame === 'subscribe') this.#subscribe(frame)
    else if (frame.frame === 'unsubscribe') this.#unsubscribe(frame.sub)
    else {
      const reader = this.#readerOf(frame.sub)
      if (frame.frame === 'credit') reader?.subscription?.machine.grant(frame.events)
      else this.#acknowledge(reader, parseCursor('cursor', frame.cursor))
    }
  }

  /** Returns the subscription with this name; without a name, the socket's own. @throws `bad-frame` */
  #readerOf(sub: string | undefined): SocketReader | undefined {
    if (sub === undefined) {
      if (this.#own !== undefined) return this.#own
      throw badFrame('This socket has no subscription of its own: name one with "sub".')
    }
    const reader = this.#named.get(sub)
    if (reader?.subscription !== undefined) return reader
    if (reader === undefined) throw badFrame(`This socket has no subscription named ${JSON.stringify(sub)}.`)
    throw badFrame(`The subscription ${JSON.stringify(sub)} has not begun: wait for its "subscribed" frame.`)
  }

  #acknowledge(reader: SocketReader | undefined, cursor: number): void {
    const { attachment } = reader?.plan ?? {}
    if (attachment === undefined)
      throw badFrame('Only a read for a consumer can be acknowledged: connect with ?consumer=name.')
    const { sub } = reader as SocketReader
    attachment.consumer.acknowledge(cursor, attachment.generation, Infinity).then(
      () => this.#socket.tell('acked', { sub, cursor: String(cursor) }),
      (error: Error) => this.#refuse(error, sub)
    )
  }

  #subscribe({ sub, source, credit }: SubscribeFrame): void {
    if (this.#finished) return
    if (this.#named.has(sub)) throw badFrame(`This socket has another subscription named ${JSON.stringify(sub)}.`)
    const most = limits.socket_subscriptions_max
    if (this.#named.size >= most) {
      const why = `This socket has ${most} subscriptions, the maximum for one socket.`
      this.#tellEnded(sub, new DaybookError('limit-reached', why, { limit: most }), undefined)
      return
    }
    const reader: SocketReader = { sub }
    this.#named.set(sub, reader)
    this.#socket.share()
    this.#plan(source, credit).then(
      (plan) => this.#openNamed(reader, plan),
      (error: Error) => {
        this.#named.delete(sub)
        this.#tellEnded(sub, coded(error), undefined)
      }
    )
  }

  /** Plans the live read of a source. @throws as targetOfSource and planLive; `not-permitted` */
  async #plan(source: string, credit: number | undefined): Promise<LivePlan> {
    const request = this.#request
    const { ticketSource = SOCKET_SOURCE } = request
    if (ticketSource !== SOCKET_SOURCE) {
      const why = `The ticket of this socket is only for ${ticketSource}. For several subscriptions, use a ticket for ${SOCKET_SOURCE}.`
      throw new DaybookError('not-permitted', why, { source: ticketSource })
    }
    const target = await targetOfSource(this.#live.parts, request, source, credit)
    return planLive(this.#live, { request, headers: {}, grants: true }, target, resumePoint(target))
  }

  #openNamed(reader: SocketReader, plan: LivePlan): void {
    const sub = reader.sub as string
    if (reader.ended) {
      plan.attachment?.release()
      this.#named.delete(sub)
      this.#tellEnded(sub, unsubscribed(), undefined)
      return
    }
    this.#countAnswer()
    this.#open(reader, plan, ({ error, cursor }) => {
      this.#named.delete(sub)
      this.#tellEnded(sub, error, cursor)
      if (error.code === 'too-slow' || error.code === 'stopping') this.#endAll(error)
    })
  }

  #open(reader: SocketReader, plan: LivePlan, onClose: (closing: Closing) => void): void {
    reader.plan = plan
    const connection = new WebSocketConnection(this.#socket, reader.sub, plan, this.#shared, onClose)
    reader.subscription = this.#live.open(plan, connection)
  }

  #unsubscribe(sub: string): void {
    const reader = this.#named.get(sub)
    if (reader === undefined) throw badFrame(`This socket has no subscription named ${JSON.stringify(sub)}.`)
    reader.ended = true
    const { subscription } = reader
    if (subscription === undefined) return // still in planning: #openNamed ends it
    this.#named.delete(sub)
    const error = unsubscribed()
    subscription.ended(error.message)
    this.#tellEnded(sub, error, subscription.machine.done)
  }

  /** Closes the socket because of an error that affects all its subscriptions. */
  #endAll(error: DaybookError): void {
    if (this.#finished) return
    const own = this.#own?.subscription
    if (own === undefined) this.#finish(error, undefined)
    else own.close(error)
  }

  /** Ends all subscriptions and closes the socket. @param cursor cursor of the socket's own subscription */
  #finish(error: DaybookError, cursor: number | undefined): void {
    if (this.#finished) return
    this.#finished = true
    if (error.code === 'too-slow' || error.code === 'stopping') {
      for (const { subscription } of [...this.#named.values()]) subscription?.close(error)
    }
    this.#endNamed(`The socket was closed with ${error.code}.`)
    this.#socket.close(error, cursor)
  }

  #endNamed(how: string): void {
    for (const reader of this.#named.values()) {
      reader.ended = true
      reader.subscription?.ended(how)
    }
    this.#named.clear()
  }

  #tellEnded(sub: string, error: DaybookError, cursor: number | undefined): void {
    this.#countAnswer()
    const place = cursor === undefined ? {} : { cursor: String(cursor) }
    this.#socket.tell('ended', { ...problemOf(error, this.#request), ...place, sub })
  }

  #refuse(error: Error, sub: string | undefined): void {
    const { code, message } = coded(error)
    // Cuts off a client that sends bad frames but does not read the errors.
    if (this.#socket.waiting > limits.live_buffer_bytes_max) this.#socket.cut()
    else this.#socket.tell('error', { sub, code, title: problemKinds[code].title, detail: message })
  }

  /** Counts unread answers to `subscribe` and `unsubscribe`, and cuts off a client with too many. */
  #countAnswer(): void {
    if (this.#socket.waiting === 0) this.#unread = 0
    else if (++this.#unread > UNREAD_ANSWERS_MAX) this.#socket.cut()
  }
}

function unsubscribed(): DaybookError {
  return new DaybookError('complete', 'The client unsubscribed.')
}

function coded(error: Error): DaybookError {
  return isDaybookError(error) ? error : new DaybookError('internal', error.message, {}, error)
}
