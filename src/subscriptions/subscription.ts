/**
 * One live reader: a state machine, the source it reads, the tail it follows, and the connection that takes what comes.
 * It registers with the tail first, then reads up to it, then follows it.
 */

import { DaybookError, isDaybookError } from '../errors.js'
import { limits } from '../limits.js'
import type { Metrics } from '../metrics.js'
import type { ReadResult, Span } from '../reading/event-read.js'
import type { Reader } from '../reading/reader.js'
import type { Clock } from '../time/clock.js'
import { Machine, type MachineOptions } from './machine.js'
import type { Following, Tail } from './tail.js'
import type { Tails } from './tails.js'

/** Why a subscription ends. */
export interface Closing {
  readonly error: DaybookError
  /** Everything up to here was sent: where to go on. */
  readonly cursor: number
  /** Coming back would give nothing. */
  readonly final: boolean
}

/** The connection. What it is told it sends at once; none of it throws. */
export interface Connection {
  readonly transport: 'websocket' | 'sse' | 'ndjson'
  /** Whose it is, as far as can be told. */
  readonly client: string
  /** Bytes that wait to be taken. */
  readonly waiting: number
  /** Falls as long as they are taken, however slowly. */
  readonly unsent: number
  /** Calls back once when nothing waits any more. */
  drained(callback: () => void): void
  /**
   * @param shared others get the very same events, in the same form
   * @param retry of events at or before `retryTo`: how often they were sent before
   */
  send(events: readonly ReadResult[], shared: boolean, again?: { readonly retry: number; readonly to: number }): void
  caughtUp(cursor: number): void
  fellBehind(cursor: number): void
  checkpoint(cursor: number): void
  heartbeat(): void
  statistics(statistics: Statistics): void
  /** Says why, and ends. */
  close(closing: Closing): void
}

export interface Statistics {
  readonly cursor: number
  readonly status: string
  readonly sent: number
  readonly buffered: number
  readonly inFlight: number
  readonly credit: number
  readonly lag: Lag
}

/** How far behind its source a reader is. */
export interface Lag {
  /** Between its place and the source's end, matched by a filter or not. */
  readonly events: number
  /** Since the first of them was committed; 0 when there is none. */
  readonly seconds: number
}

/** What reading rests on; it may be taken away. */
export interface LiveRight {
  /** Of who reads; undefined: nobody who has signed in. */
  readonly login: string | undefined
  /** The stream whose rules decide; undefined: each event is judged by those of its own. */
  readonly stream: string | undefined
  /** When it ends by itself, milliseconds. */
  readonly expires: number | undefined
  /** Why it is no more; undefined: it holds. A promise only when metadata has to be read. */
  refusal(): DaybookError | undefined | Promise<DaybookError | undefined>
}

export interface SubscriptionOptions extends MachineOptions {
  /** Undefined: nobody takes it away. */
  readonly right?: LiveRight | undefined
  /** Seconds between signs of life; 0: none. */
  readonly heartbeat: number
  /** Seconds between statistics; undefined: none. */
  readonly statistics?: number | undefined
  /** Events read at once while catching up. */
  readonly readBatch?: number | undefined
}

export interface SubscriptionParts {
  reader: Reader
  tails: Tails
  clock: Clock
  metrics: Metrics
  /** A connection that takes nothing for so long is closed, milliseconds. */
  drainMs: number
}

/** A named consumer that is attached. */
export interface Keeper {
  /** Everything up to here was considered; what was sent of it was acknowledged. */
  settled(cursor: number): void
  /** Events up to here were sent. */
  sent(cursor: number): void
  /** Called with every pulse. */
  pulse(): void
}

export class Subscription {
  readonly id: number
  readonly following: Following
  readonly connection: Connection
  readonly machine: Machine
  /** When it began, milliseconds. */
  readonly since: number
  /** What of it was sent before: how often, and up to which cursor. */
  #again: { readonly retry: number; readonly to: number } | undefined
  readonly #parts: SubscriptionParts
  readonly #options: SubscriptionOptions
  readonly #onClosed: () => void
  readonly #keeper: Keeper | undefined
  #tail: Tail | undefined
  #leave = () => {}
  #spans: AsyncGenerator<Span> | undefined
  #reading = false
  /** It is full: since when, since when nothing was taken, and what waited then. */
  #blocked: { readonly begun: number; since: number; unsent: number } | undefined
  #beat: number
  #counted: number
  #told = 0
  #closed = false
  /** Questions whether it may still read that have no answer yet: nothing is sent until all have. */
  #held = 0

  constructor(
    parts: SubscriptionParts,
    id: number,
    following: Following,
    options: SubscriptionOptions,
    connection: Connection,
    onClosed: () => void,
    keeper?: Keeper
  ) {
    this.#parts = parts
    this.id = id
    this.following = following
    this.#options = options
    this.connection = connection
    this.#onClosed = onClosed
    this.#keeper = keeper
    this.since = parts.clock.now()
    this.#beat = this.#counted = parts.clock.elapsed()
    this.machine = new Machine(
      {
        send: (events, shared) => this.#send(events, shared),
        caughtUp: (cursor) => this.#say(() => connection.caughtUp(cursor)),
        fellBehind: (cursor) => this.#say(() => connection.fellBehind(cursor)),
        checkpoint: (cursor) => this.#say(() => connection.checkpoint(cursor)),
        read: () => this.#read(),
        complete: (cursor) => this.#complete(cursor)
      },
      options
    )
  }

  /** Nobody's name is read under. */
  get isAnonymous(): boolean {
    return this.#keeper === undefined
  }

  /** Login of who reads; undefined: nobody who has signed in. */
  get login(): string | undefined {
    return this.#options.right?.login
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Begins to read. What goes wrong closes it. */
  start(): void {
    this.checkRight(undefined) // it may have been taken away while the connection was made
    if (this.#closed) return
    const listener = {
      offered: (page: Span) => this.machine.offered(page),
      failed: (error: Error) => this.fail(error)
    }
    this.#parts.tails.follow(this.following, listener).then(
      ({ tail, leave }) => {
        if (this.#closed) return leave()
        this.#tail = tail
        this.#leave = leave
        this.machine.begin()
      },
      (error: Error) => this.fail(error)
    )
  }

  /** Ends with what went wrong. */
  fail(error: Error): void {
    const coded = isDaybookError(error) ? error : new DaybookError('internal', error.message, {}, error)
    this.close(coded, coded.code === 'stream-deleted')
  }

  /** Says why and ends the connection. @param final coming back would give nothing */
  close(error: DaybookError, final = false): void {
    if (this.#closed) return
    this.connection.close({ error, cursor: this.machine.done, final })
    this.ended()
  }

  /** The connection is gone. */
  ended(): void {
    if (this.#closed) return
    this.#closed = true
    this.#leave()
    this.#spans?.return(undefined).catch(() => {}) // what it held is let go either way
    this.#onClosed()
  }

  /**
   * Rules have changed: whoever may read no more is told so, before anything else is sent.
   * @param stream whose; undefined: perhaps all
   */
  checkRight(stream: string | undefined): void {
    const { right } = this.#options
    if (right === undefined || this.#closed) return
    if (right.stream === undefined) {
      // Who sees everything goes on seeing it.
      if (this.following.request.viewer !== undefined) this.#lookAgain()
    } else if (stream !== undefined && right.stream !== stream) return
    const refusal = right.refusal()
    if (!(refusal instanceof Promise)) {
      if (refusal !== undefined) this.close(refusal)
      return
    }
    this.#held++
    this.machine.blocked()
    refusal.then(
      (refused) => {
        this.#held--
        if (refused !== undefined) this.close(refused)
        else if (this.#held === 0 && this.#blocked === undefined && !this.#closed) this.machine.drained()
      },
      (error: Error) => this.fail(error)
    )
  }

  /** What was read by rules that hold no more, and was not sent, is read again. */
  #lookAgain(): void {
    this.#spans?.return(undefined).catch(() => {}) // what it held is let go either way
    this.#spans = undefined
    this.machine.readAgain()
  }

  /** What is in flight is sent once more. @param retry how often that was done by now */
  sendAgain(retry: number): void {
    const to = this.machine.done
    this.#again = { retry, to }
    this.machine.rewind(this.machine.settled)
  }

  /** Looks at what has become due. @param now milliseconds of the clock that never goes back */
  pulse(now: number): void {
    if (this.#blocked !== undefined) this.#lookWhetherTaken(this.#blocked, now)
    if (this.#closed) return
    const { heartbeat, statistics, until, right } = this.#options
    if ((right?.expires ?? Infinity) <= this.#parts.clock.now()) {
      this.checkRight(undefined)
      if (this.#closed) return
    }
    if (heartbeat > 0 && now - this.#beat >= heartbeat * 1000) {
      this.#beat = now
      if (this.#blocked === undefined) this.connection.heartbeat()
    }
    if (this.#blocked === undefined && now - this.#told >= limits.checkpoint_told_ms) {
      this.#told = now
      this.machine.tellCheckpoint()
    }
    if (statistics !== undefined && now - this.#counted >= statistics * 1000) {
      this.#counted = now
      void this.#tellStatistics()
    }
    if (until !== undefined && this.#parts.clock.now() > until + 1000 && this.machine.status === 'live') {
      this.machine.timeIsOver()
    }
    this.#keeper?.settled(this.machine.settled)
    this.#keeper?.pulse()
  }

  /** How far behind its source it is. */
  async lag(): Promise<Lag> {
    return lagOf(this.#parts, this.following, this.machine.done)
  }

  #send(events: readonly ReadResult[], shared: boolean): void {
    this.#parts.metrics.read(events.length)
    this.#beat = this.#parts.clock.elapsed()
    this.#keeper?.sent((events.at(-1) as ReadResult).cursor)
    this.#say(() => this.connection.send(events, shared, this.#again))
    if (this.#again !== undefined && (events.at(-1) as ReadResult).cursor >= this.#again.to) this.#again = undefined
  }

  /** Sends something, and stops when the connection has taken more than it passes on. */
  #say(something: () => void): void {
    if (this.#closed) return
    something()
    if (this.#blocked !== undefined || this.connection.waiting <= limits.connection_buffer_bytes_max) return
    const now = this.#parts.clock.elapsed()
    this.#blocked = { begun: now, since: now, unsent: this.connection.unsent }
    this.machine.blocked()
    this.connection.drained(() => {
      this.#blocked = undefined
      if (!this.#closed && this.#held === 0) this.machine.drained()
    })
  }

  /** Nothing is kept for who may not come back for long. */
  #forget(): void {
    this.machine.forget()
    this.#spans?.return(undefined).catch(() => {}) // what it held is let go either way
    this.#spans = undefined
  }

  #read(): void {
    if (this.#reading || this.#tail === undefined) return
    this.#reading = true
    this.#readOn(this.#tail)
      .catch((error: Error) => this.fail(error))
      .finally(() => {
        this.#reading = false
        if (!this.#closed && this.machine.wantsRead) this.#read()
      })
  }

  async #readOn(tail: Tail): Promise<void> {
    const { reader } = this.#parts
    const { machine } = this
    while (!this.#closed && machine.wantsRead) {
      if (this.#spans === undefined) {
        if (machine.next >= tail.next) return machine.caughtUp()
        const source = await reader.sources.toFollow(this.following.address)
        const range = { first: machine.next, last: source.head }
        // The tail may be ahead of what can be read by less than a turn.
        if (range.first > range.last) await new Promise((resolve) => setImmediate(resolve))
        else this.#spans = reader.spans(source, this.following.request, range, this.#options.readBatch)
        continue
      }
      const spans = this.#spans
      const { value, done } = await spans.next()
      if (this.#closed) return
      if (this.#spans !== spans) continue // it was let go meanwhile
      if (done || value.from !== machine.next) {
        if (!done) await spans.return(undefined)
        this.#spans = undefined
      } else machine.taken(value)
    }
  }

  async #tellStatistics(): Promise<void> {
    const { machine } = this
    const { status, sent, buffered, inFlight, credit } = machine
    const lag = await this.lag().catch(() => undefined)
    if (this.#closed || lag === undefined) return
    this.connection.statistics({ cursor: machine.done, status, sent, buffered, inFlight, credit, lag })
  }

  #complete(cursor: number): void {
    if (this.#closed) return
    const error = new DaybookError('complete', 'Everything that was asked for was sent.')
    this.connection.close({ error, cursor, final: true })
    this.ended()
  }

  /** A slow connection is waited for, one that takes nothing is not. */
  #lookWhetherTaken(blocked: { readonly begun: number; since: number; unsent: number }, now: number): void {
    if (now - blocked.begun > limits.forget_ms) this.#forget()
    const { unsent } = this.connection
    if (unsent < blocked.unsent) Object.assign(blocked, { since: now, unsent })
    else if (now - blocked.since > this.#parts.drainMs) {
      const why = `The connection took nothing for ${this.#parts.drainMs / 1000} s. Come back with the cursor.`
      this.close(new DaybookError('too-slow', why, { retry: true }))
    }
  }
}

/** How far behind its source a place is. */
export async function lagOf(
  { reader, clock }: { reader: Reader; clock: Clock },
  { address }: Pick<Following, 'address'>,
  cursor: number
): Promise<Lag> {
  const source = await reader.sources.toFollow(address)
  const events = Math.max(0, source.head - cursor)
  const created = events === 0 ? undefined : await reader.sources.createdAt(source, cursor + 1)
  return { events, seconds: created === undefined ? 0 : Math.max(0, (clock.now() - created) / 1000) }
}
