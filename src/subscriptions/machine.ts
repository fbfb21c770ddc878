/**
 * A subscription as a state machine. It does no I/O: its inputs are method calls, its outputs are `MachineEffects`.
 *
 *     catching-up ── read up to the tail ──▶ live ── buffer full, or a gap ──▶ catching-up ── …
 *     any ── bound or limit reached ──▶ complete
 *
 * Only pages that were read or offered move it on. Checkpoints, credit and acknowledgements never change where it
 * reads.
 */

import { limits } from '../limits.js'
import type { ReadResult, Span } from '../reading/event-read.js'

const FULL = limits.connection_buffer_bytes_max

export type Status = 'catching-up' | 'live' | 'complete'

/** What the machine causes. Called in order and synchronously. An effect may call `blocked`, and no other input. */
export interface MachineEffects {
  /** @param shared other machines get the very same array */
  send(events: readonly ReadResult[], shared: boolean): void
  caughtUp(cursor: number): void
  fellBehind(cursor: number): void
  /** Everything up to here was considered: the reader may resume after it. */
  checkpoint(cursor: number): void
  /** Read the source from `machine.next` on. */
  read(): void
  /** Nothing more comes. */
  complete(cursor: number): void
}

export interface MachineOptions {
  /** First cursor to consider. */
  readonly next: number
  /** Last cursor to consider. */
  readonly last?: number | undefined
  /** Events committed after this instant are not sent, milliseconds since 1970. */
  readonly until?: number | undefined
  /** Events to send in total. */
  readonly limit?: number | undefined
  /** Events that may be sent before the reader grants more; undefined: any number. */
  readonly credit?: number | undefined
  /** Events that may be in flight: sent and not acknowledged. Undefined: acknowledgements are not tracked. */
  readonly window?: number | undefined
  /** Live events that may wait to be sent before it falls behind. */
  readonly liveBuffer?: number | undefined
  /** Checkpoint after so many events that the filter passed over. */
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
  #left: number
  #credit: number
  /** Events from `next` on were committed after `until`. */
  #ended = false
  #blocked = false
  /** Events that match, and are not sent yet. */
  #waiting: readonly ReadResult[] = []
  #shared = false
  /** Cursors of events that were sent and not acknowledged. */
  #inFlight: number[] = []
  #sent = 0
  /** The last cursor that the reader was told. */
  #told: number

  constructor(effects: MachineEffects, options: MachineOptions) {
    this.#effects = effects
    this.#next = options.next
    this.#told = options.next - 1
    this.#last = options.last ?? Infinity
    this.#until = options.until ?? Infinity
    this.#left = options.limit ?? Infinity
    this.#credit = options.credit ?? Infinity
    this.#tracked = options.window !== undefined
    this.#window = options.window ?? Infinity
    this.#liveBuffer = options.liveBuffer ?? limits.live_buffer_events_default
    this.#checkpointEvery = options.checkpointEvery ?? limits.checkpoint_every_default
  }

  get status(): Status {
    return this.#status
  }

  /** The first cursor that was not considered. */
  get next(): number {
    return this.#next
  }

  /** Everything up to here was considered and, when it matched, sent. */
  get done(): number {
    return (this.#waiting[0]?.cursor ?? this.#next) - 1
  }

  /** Everything up to here was sent and, where acknowledgements are tracked, acknowledged. */
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

  /** Events sent; those sent again count again. */
  get sent(): number {
    return this.#sent
  }

  /** Why waiting events are not sent; undefined: they may be. */
  get standsStill(): 'connection' | 'acknowledgement' | 'credit' | undefined {
    if (this.#blocked) return 'connection'
    if (this.#inFlight.length >= this.#window) return 'acknowledgement'
    return this.#credit <= 0 ? 'credit' : undefined
  }

  /** It asked for a read, and needs the next page. */
  get wantsRead(): boolean {
    return this.#status === 'catching-up' && this.#waiting.length === 0 && this.standsStill === undefined
  }

  /** Asks for the first read, or completes when there is nothing to read. */
  begin(): void {
    this.#pump()
  }

  /** Accepts a page read at `next`. Ignores a page that was requested before a rewind. */
  onPage(span: Span): void {
    if (this.#status !== 'catching-up' || span.from !== this.#next) return
    this.#consider(span, false)
  }

  /** Accepts a page of the tail. A gap before the page sends it back to reading. */
  offered(page: Span): void {
    if (this.#status !== 'live' || page.to < this.#next) return // not live, or a page that was already considered
    if (page.from > this.#next) {
      this.#status = 'catching-up'
      this.#pump()
    } else this.#consider(page, true)
  }

  /** Everything up to the tail was read. */
  caughtUp(): void {
    if (this.#status !== 'catching-up' || this.#waiting.length > 0) return
    this.#status = 'live'
    this.#told = this.done
    this.#effects.caughtUp(this.done)
  }

  /** Adds credit. */
  grant(events: number): void {
    this.#credit = Math.min(this.#credit + events, Number.MAX_SAFE_INTEGER)
    this.#pump()
  }

  /** The reader acknowledged everything up to here. */
  acknowledged(cursor: number): void {
    const first = this.#inFlight.findIndex((sent) => sent > cursor)
    this.#inFlight = first < 0 ? [] : this.#inFlight.slice(first)
    this.#pump()
  }

  /** The connection takes no more for now. */
  blocked(): void {
    this.#blocked = true
  }

  drained(): void {
    this.#blocked = false
    this.#pump()
  }

  /** While catching up, drops events that were read and cannot be sent now. They are read again later. */
  forget(): void {
    if (this.#status !== 'catching-up') return
    this.#next = this.done + 1
    this.#waiting = []
    this.#ended = false // the event that ended it is read again, too
  }

  /** Drops waiting events and reads them again: the reader's rights may have changed. */
  readAgain(): void {
    if (this.#status === 'complete' || this.#waiting.length === 0) return
    this.#status = 'catching-up'
    this.forget()
    this.#pump()
  }

  /** Sends everything after a cursor once more. */
  rewind(cursor: number): void {
    if (this.#status === 'complete') return
    this.#status = 'catching-up'
    this.#waiting = []
    this.#inFlight = []
    this.#ended = false
    this.#next = cursor + 1
    this.#told = cursor
    this.#pump()
  }

  /** Sends a checkpoint when the reader was told of a lower cursor. */
  tellCheckpoint(): void {
    if (this.#status === 'complete' || this.done <= this.#told) return
    this.#told = this.done
    this.#effects.checkpoint(this.#told)
  }

  /** The instant `until` has passed: completes once the waiting events are sent. */
  timeIsOver(): void {
    this.#ended = true
    this.#pump()
  }

  #consider({ to, events }: Span, shared: boolean): void {
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
    if (this.done - this.#told >= this.#checkpointEvery) this.tellCheckpoint()
  }

  /** Sends what may be sent, then reads on or completes. */
  #pump(): void {
    while (this.#waiting.length > 0 && this.standsStill === undefined && this.#left > 0) {
      const room = Math.min(this.#credit, this.#window - this.#inFlight.length, this.#left, this.#nextBatchSize())
      const all = room >= this.#waiting.length
      const batch = all ? this.#waiting : this.#waiting.slice(0, room)
      this.#waiting = all ? [] : this.#waiting.slice(room)
      this.#credit -= batch.length
      this.#left -= batch.length
      this.#sent += batch.length
      if (this.#tracked) for (const { cursor } of batch) this.#inFlight.push(cursor)
      this.#told = (batch.at(-1) as ReadResult).cursor
      this.#effects.send(batch, this.#shared)
    }
    if (this.#status === 'complete') return
    if (this.#left <= 0) this.#complete(this.#told)
    else if (this.#waiting.length > 0) return
    else if (this.#ended || this.#next > this.#last) this.#complete(this.done)
    else if (this.wantsRead) this.#effects.read()
  }

  /** Events that fill the connection's buffer; the machine may be blocked before the next batch. */
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

  /** Drops the waiting events. They are read from the log when they can be sent. */
  #fallBehind(): void {
    this.#status = 'catching-up'
    this.forget()
    this.#effects.fellBehind(this.done)
  }
}
