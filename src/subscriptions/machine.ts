/**
 * A subscription as a state machine. It does no I/O: what arrives is told to it, what is to happen it asks of its
 * outlet.
 *
 *     catching-up ── read up to where the tail is ──▶ live ── buffer full, or a gap ──▶ catching-up ── …
 *     any ── bound or limit reached ──▶ complete
 *
 * Only what was read or offered moves it. Checkpoints, credit and acknowledgements are numbers: none of them changes
 * where it reads.
 */
import { limits } from '../limits.js'
import type { ReadResult, Span } from '../reading/event-read.js'

const FULL = limits.connection_buffer_bytes_max

export type Status = 'catching-up' | 'live' | 'complete'

/** What the machine asks for. Called in order, at once; none of it may call the machine but `blocked`. */
export interface Outlet {
  /** @param shared others get the very same events */
  send(events: readonly ReadResult[], shared: boolean): void
  caughtUp(cursor: number): void
  fellBehind(cursor: number): void
  /** Everything up to here was considered. */
  checkpoint(cursor: number): void
  /** Go on reading at `machine.next`. */
  read(): void
  /** There is nothing more to come. */
  complete(cursor: number): void
}

export interface MachineOptions {
  /** First cursor to consider. */
  readonly next: number
  /** Last cursor to consider. */
  readonly last?: number | undefined
  /** Events committed after this instant are not for it, milliseconds. */
  readonly until?: number | undefined
  /** Events to send in all. */
  readonly limit?: number | undefined
  /** Events that may be sent until more is granted. */
  readonly credit?: number | undefined
  /** Events that may be sent and not acknowledged. */
  readonly window?: number | undefined
  /** Live events that may wait to be sent. */
  readonly liveBuffer?: number | undefined
  /** Passed over so many events, it says how far it is. */
  readonly checkpointEvery?: number | undefined
}

export class Machine {
  readonly #outlet: Outlet
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
  /** Nothing after this was committed in time. */
  #ended = false
  #blocked = false
  /** Considered and matched, and not sent yet. */
  #waiting: readonly ReadResult[] = []
  #shared = false
  /** Cursors sent and not acknowledged. */
  #inFlight: number[] = []
  #sent = 0
  /** The last cursor that the reader knows of. */
  #told: number

  constructor(outlet: Outlet, options: MachineOptions) {
    this.#outlet = outlet
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

  /** The first cursor that was not considered yet. */
  get next(): number {
    return this.#next
  }

  /** Everything up to here was considered and, when it matched, sent. */
  get done(): number {
    return (this.#waiting[0]?.cursor ?? this.#next) - 1
  }

  /** Everything up to here was dealt with: also acknowledged, when that is asked for. */
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

  /** Events sent, each time counted. */
  get sent(): number {
    return this.#sent
  }

  /** Why nothing is sent though something waits. */
  get standsStill(): 'connection' | 'acknowledgement' | 'credit' | undefined {
    if (this.#blocked) return 'connection'
    if (this.#inFlight.length >= this.#window) return 'acknowledgement'
    return this.#credit <= 0 ? 'credit' : undefined
  }

  /** The outlet's `read` was asked for and has not been answered with what it gave. */
  get wantsRead(): boolean {
    return this.#status === 'catching-up' && this.#waiting.length === 0 && this.standsStill === undefined
  }

  /** Asks for the first read, or says that there is nothing to read. */
  begin(): void {
    this.#pump()
  }

  /** What was read where `next` stands. Of another place it is left alone: a rewind came between. */
  taken(span: Span): void {
    if (this.#status !== 'catching-up' || span.from !== this.#next) return
    this.#consider(span, false)
  }

  /** A page of the tail. Before a gap it goes back to reading. */
  offered(page: Span): void {
    if (this.#status !== 'live' || page.to < this.#next) return // the past, or a reader's own business
    if (page.from > this.#next) {
      this.#status = 'catching-up'
      this.#pump()
    } else this.#consider(page, true)
  }

  /** Everything was read up to where the tail is. */
  caughtUp(): void {
    if (this.#status !== 'catching-up' || this.#waiting.length > 0) return
    this.#status = 'live'
    this.#told = this.done
    this.#outlet.caughtUp(this.done)
  }

  /** More events may be sent. */
  grant(events: number): void {
    this.#credit = Math.min(this.#credit + events, Number.MAX_SAFE_INTEGER)
    this.#pump()
  }

  /** Everything up to here was dealt with by the reader. */
  acknowledged(cursor: number): void {
    const first = this.#inFlight.findIndex((sent) => sent > cursor)
    this.#inFlight = first < 0 ? [] : this.#inFlight.slice(first)
    this.#pump()
  }

  /** The connection takes no more. */
  blocked(): void {
    this.#blocked = true
  }

  drained(): void {
    this.#blocked = false
    this.#pump()
  }

  /** Keeps nothing of what was read and cannot be sent now: it is read again when it can. */
  forget(): void {
    if (this.#status !== 'catching-up') return
    this.#next = this.done + 1
    this.#waiting = []
    this.#ended = false // what ended it is read again, too
  }

  /** What waits is read again: other events may be seen by now. */
  readAgain(): void {
    if (this.#status === 'complete' || this.#waiting.length === 0) return
    this.#status = 'catching-up'
    this.forget()
    this.#pump()
  }

  /** Everything after a cursor is sent once more. */
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

  /** Says how far it is, when the reader cannot know. It saves a number and changes nothing else. */
  tellCheckpoint(): void {
    if (this.#status === 'complete' || this.done <= this.#told) return
    this.#told = this.done
    this.#outlet.checkpoint(this.#told)
  }

  /** The instant after which nothing is for it has passed. */
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

  /** Sends what may be sent; then says what comes next. */
  #pump(): void {
    while (this.#waiting.length > 0 && this.standsStill === undefined && this.#left > 0) {
      const room = Math.min(this.#credit, this.#window - this.#inFlight.length, this.#left, this.#mouthful())
      const all = room >= this.#waiting.length
      const batch = all ? this.#waiting : this.#waiting.slice(0, room)
      this.#waiting = all ? [] : this.#waiting.slice(room)
      this.#credit -= batch.length
      this.#left -= batch.length
      this.#sent += batch.length
      if (this.#tracked) for (const { cursor } of batch) this.#inFlight.push(cursor)
      this.#told = (batch.at(-1) as ReadResult).cursor
      this.#outlet.send(batch, this.#shared)
    }
    if (this.#status === 'complete') return
    if (this.#left <= 0) this.#complete(this.#told)
    else if (this.#waiting.length > 0) return
    else if (this.#ended || this.#next > this.#last) this.#complete(this.done)
    else if (this.wantsRead) this.#outlet.read()
  }

  /** How many events fill a connection: whether it takes more is asked before the next. */
  #mouthful(): number {
    let bytes = 0
    const full = this.#waiting.findIndex(({ record }) => (bytes += record.bytes.length) >= FULL)
    return full < 0 ? this.#waiting.length : full + 1
  }

  #complete(cursor: number): void {
    this.#status = 'complete'
    this.#next = cursor + 1
    this.#waiting = []
    this.#outlet.complete(cursor)
  }

  #overflows(): boolean {
    if (this.#waiting.length > this.#liveBuffer) return true
    let bytes = 0
    for (const { record } of this.#waiting) bytes += record.bytes.length
    return bytes > limits.live_buffer_bytes_max
  }

  /** Nothing of what waits is kept: it is read from the log again when it can be sent. */
  #fallBehind(): void {
    this.#status = 'catching-up'
    this.forget()
    this.#outlet.fellBehind(this.done)
  }
}
