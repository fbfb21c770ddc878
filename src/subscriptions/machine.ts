/**
 * A subscription as a state machine. It does no I/O: its inputs are method calls, its outputs are `MachineEffects`.
 *
 *     catching-up ── read up to the tail ──▶ live ── buffer full, or a gap ──▶ catching-up ── …
 *     any ── bound or limit reached ──▶ complete
 *
 * Only pages that were read or offered advance it. Checkpoints, credit and acknowledgements never change its read
 * position.
 */

import { limits } from '../limits.js'
import type { ReadResult, Span } from '../reading/event-read.js'

const FULL = limits.connection_buffer_bytes_max

export type Status = 'catching-up' | 'live' | 'complete'

/** The outputs of the machine, called in order and synchronously. An effect may call `blocked`, but no other input. */
export interface MachineEffects {
  /** @param shared other machines send the same array */
  send(events: readonly ReadResult[], shared: boolean): void
  caughtUp(cursor: number): void
  fellBehind(cursor: number): void
  /** All events up to this cursor were examined. The reader may resume after it. */
  checkpoint(cursor: number): void
  /** Read the source from `machine.next`. */
  read(): void
  /** No more events will be sent. */
  complete(cursor: number): void
}

export interface MachineOptions {
  /** First cursor to examine. */
  readonly next: number
  /** Last cursor to examine. */
  readonly last?: number | undefined
  /** Events committed after this instant are not sent, milliseconds since 1970. */
  readonly until?: number | undefined
  /** Maximum events to send in total. */
  readonly limit?: number | undefined
  /** Events that may be sent until the reader grants more. Undefined: unlimited. */
  readonly credit?: number | undefined
  /** Maximum events in flight: sent and not acknowledged. Undefined: acknowledgements are not tracked. */
  readonly window?: number | undefined
  /** Live events that may wait to be sent before the subscription falls behind. */
  readonly liveBuffer?: number | undefined
  /** Send a checkpoint after so many events that the filter excluded. */
  readonly checkpointEvery?: number | undefined
}

export class Machine {
  readonly #effects: MachineEffects
  readonly #last: number
  readonly #until: number
  readonly #tracked: boolean
  readonly #window: number
  readonly #liveBuffer: number
  readonly #checkpointEvery: number
  #status: Status = 'catching-up'
  #next: number
  #remaining: number
  #credit: number
  /** True when the event at `next` was committed after `until`. No later event is sent. */
  #ended = false
  #blocked = false
  /** Matching events that are not sent yet. */
  #waiting: readonly ReadResult[] = []
  #shared = false
  /** Cursors of events sent and not acknowledged. */
  #inFlight: number[] = []
  #sent = 0
  /** The last cursor reported to the reader. */
  #reportedCursor: number

  constructor(effects: MachineEffects, options: MachineOptions) {
    this.#effects = effects
    this.#next = options.next
    this.#reportedCursor = options.next - 1
    this.#last = options.last ?? Infinity
    this.#until = options.until ?? Infinity
    this.#remaining = options.limit ?? Infinity
    this.#credit = options.credit ?? Infinity
    this.#tracked = options.window !== undefined
    this.#window = options.window ?? Infinity
    this.#liveBuffer = options.liveBuffer ?? limits.live_buffer_events_default
    this.#checkpointEvery = options.checkpointEvery ?? limits.checkpoint_every_default
  }

  get status(): Status {
    return this.#status
  }

  /** The first cursor not examined yet. */
  get next(): number {
    return this.#next
  }

  /** All events up to this cursor were examined, and those that matched were sent. */
  get done(): number {
    return (this.#waiting[0]?.cursor ?? this.#next) - 1
  }

  /** All events up to this cursor were sent and, if acknowledgements are tracked, acknowledged. */
  get settled(): number {
    return (this.#inFlight[0] ?? this.done + 1) - 1
  }

  get credit(): number {
    return this.#credit
  }

  get inFlight(): number {
    return this.#inFlight.length
  }

  get buffered(): number {
    return this.#waiting.length
  }

  /** Number of events sent. Each redelivery counts again. */
  get sent(): number {
    return this.#sent
  }

  /** Why waiting events cannot be sent. Undefined: they can be sent. */
  get standsStill(): 'connection' | 'acknowledgement' | 'credit' | undefined {
    if (this.#blocked) return 'connection'
    if (this.#inFlight.length >= this.#window) return 'acknowledgement'
    return this.#credit <= 0 ? 'credit' : undefined
  }

  /** True when the machine needs the next page. */
  get wantsRead(): boolean {
    return this.#status === 'catching-up' && this.#waiting.length === 0 && this.standsStill === undefined
  }

  /** Requests the first read, or completes when there is nothing to read. */
  begin(): void {
    this.#pump()
  }

  /** Accepts a page read at `next`. Ignores pages requested before a rewind. */
  onPage(span: Span): void {
    if (this.#status !== 'catching-up' || span.from !== this.#next) return
    this.#examine(span, false)
  }

  /** Accepts a page of the tail. After a gap it switches back to catching up. */
  offered(page: Span): void {
    if (this.#status !== 'live' || page.to < this.#next) return // not live, or already examined
    if (page.from > this.#next) {
      this.#status = 'catching-up'
      this.#pump()
    } else this.#examine(page, true)
  }

  /** Switches to live. Called when everything up to the tail was read. */
  caughtUp(): void {
    if (this.#status !== 'catching-up' || this.#waiting.length > 0) return
    this.#status = 'live'
    this.#reportedCursor = this.done
    this.#effects.caughtUp(this.done)
  }

  /** Adds credit. */
  grant(events: number): void {
    this.#credit = Math.min(this.#credit + events, Number.MAX_SAFE_INTEGER)
    this.#pump()
  }

  /** Removes events up to a cursor from those in flight. */
  acknowledged(cursor: number): void {
    const first = this.#inFlight.findIndex((sent) => sent > cursor)
    this.#inFlight = first < 0 ? [] : this.#inFlight.slice(first)
    this.#pump()
  }

  /** Stops sending until `drained`. */
  blocked(): void {
    this.#blocked = true
  }

  drained(): void {
    this.#blocked = false
    this.#pump()
  }

  /** While catching up, drops events that were read and cannot be sent now. They are read again later. */
  dropUnsent(): void {
    if (this.#status !== 'catching-up') return
    this.#next = this.done + 1
    this.#waiting = []
    this.#ended = false // the event after `until` is read again, too
  }

  /** Drops waiting events and reads them again, because the reader's rights may have changed. */
  readAgain(): void {
    if (this.#status === 'complete' || this.#waiting.length === 0) return
    this.#status = 'catching-up'
    this.dropUnsent()
    this.#pump()
  }

  /** Sends all events after a cursor again. */
  rewind(cursor: number): void {
    if (this.#status === 'complete') return
    this.#status = 'catching-up'
    this.#waiting = []
    this.#inFlight = []
    this.#ended = false
    this.#next = cursor + 1
    this.#reportedCursor = cursor
    this.#pump()
  }

  /** Sends a checkpoint if the cursor advanced since it was last reported. */
  sendCheckpoint(): void {
    if (this.#status === 'complete' || this.done <= this.#reportedCursor) return
    this.#reportedCursor = this.done
    this.#effects.checkpoint(this.#reportedCursor)
  }

  /** Called when the instant `until` has passed. Completes after the waiting events are sent. */
  untilReached(): void {
    this.#ended = true
    this.#pump()
  }

  #examine({ to, events }: Span, shared: boolean): void {
    let fresh = events
    if (events.length > 0 && (events[0] as ReadResult).cursor < this.#next) {
      fresh = events.filter(({ cursor }) => cursor >= this.#next)
    }
    if (to > this.#last) fresh = fresh.filter(({ cursor }) => cursor <= this.#last)
    const late = this.#until === Infinity ? -1 : fresh.findIndex(({ record }) => record.created > this.#until)
    this.#next = Math.min(to, this.#last) + 1
    if (late >= 0) {
      this.#ended = true
      this.#next = (fresh[late] as ReadResult).cursor
      fresh = fresh.slice(0, late)
    }
    this.#shared = shared && (this.#waiting.length === 0 || this.#shared)
    if (fresh.length > 0) this.#waiting = this.#waiting.length === 0 ? fresh : [...this.#waiting, ...fresh]
    this.#pump()
    if (this.#status === 'complete') return
    if (this.#status === 'live' && this.#overflows()) this.#fallBehind()
    if (this.done - this.#reportedCursor >= this.#checkpointEvery) this.sendCheckpoint()
  }

  /** Sends waiting events as far as allowed, then requests a read or completes. */
  #pump(): void {
    while (this.#waiting.length > 0 && this.standsStill === undefined && this.#remaining > 0) {
      const room = Math.min(this.#credit, this.#window - this.#inFlight.length, this.#remaining, this.#nextBatchSize())
      const all = room >= this.#waiting.length
      const batch = all ? this.#waiting : this.#waiting.slice(0, room)
      this.#waiting = all ? [] : this.#waiting.slice(room)
      this.#credit -= batch.length
      this.#remaining -= batch.length
      this.#sent += batch.length
      if (this.#tracked) for (const { cursor } of batch) this.#inFlight.push(cursor)
      this.#reportedCursor = (batch.at(-1) as ReadResult).cursor
      this.#effects.send(batch, this.#shared)
    }
    if (this.#status === 'complete') return
    if (this.#remaining <= 0) this.#complete(this.#reportedCursor)
    else if (this.#waiting.length > 0) return
    else if (this.#ended || this.#next > this.#last) this.#complete(this.done)
    else if (this.wantsRead) this.#effects.read()
  }

  /** Returns how many events fill the connection's buffer. The machine may be blocked before the next batch. */
  #nextBatchSize(): number {
    let bytes = 0
    const full = this.#waiting.findIndex(({ record }) => (bytes += record.bytes.length) >= FULL)
    return full < 0 ? this.#waiting.length : full + 1
  }

  #complete(cursor: number): void {
    this.#status = 'complete'
    this.#next = cursor + 1
    this.#waiting = []
    this.#effects.complete(cursor)
  }

  #overflows(): boolean {
    if (this.#waiting.length > this.#liveBuffer) return true
    let bytes = 0
    for (const { record } of this.#waiting) bytes += record.bytes.length
    return bytes > limits.live_buffer_bytes_max
  }

  /** Drops the waiting events. They are read from the log again when they can be sent. */
  #fallBehind(): void {
    this.#status = 'catching-up'
    this.dropUnsent()
    this.#effects.fellBehind(this.done)
  }
}
