/**
 * Planning an append: a pure function of what the store holds and what is asked. The same requests in the same order
 * give the same log anywhere, so nothing here reads a clock, makes an id or touches a disk.
 */
import { DaybookError } from '../errors.js'
import { type StoredRecord, sameContent, type UnplacedRecord } from '../log/format.js'
import { type Condition, type ExpectedVersion, holds } from './expected-version.js'

/** One event to append, encoded. */
export interface NewEvent {
  readonly stream: string
  /** 16 bytes, when a retry of it must be recognised: the client gave it, or the key it was made from. */
  readonly id: Buffer | undefined
  readonly type: string
  readonly record: UnplacedRecord
}

export interface AppendRequest {
  readonly events: readonly NewEvent[]
  readonly conditions: readonly Condition[]
  /**
   * `batch`: all or nothing. `each`: every event is an append of its own, in order, up to the first that is refused
   * (a streamed write, which may be sent again from its beginning).
   */
  readonly mode: 'batch' | 'each'
  /** The ids were made from an Idempotency-Key; this is the id an event after the last one would have. */
  readonly keyed?: { readonly stream: string; readonly nextId: Buffer } | undefined
}

/** Where an event stands, or will stand when the commit has succeeded. */
export interface PlacedEvent {
  readonly event: NewEvent
  readonly number: number
  readonly position: number
  readonly created: number
  /** It was there already; nothing was written for it. */
  readonly replayed: boolean
}

export interface AppendResult {
  readonly events: readonly PlacedEvent[]
  /** True when nothing was written: all events were there already. */
  readonly replayed: boolean
  /** The last number of each stream concerned, after this append. */
  readonly heads: ReadonlyMap<string, number>
  /** In mode `each`: the first event that was refused. Nothing from it on was written. */
  readonly refused?: { readonly index: number; readonly error: DaybookError } | undefined
}

/** An event that is already in the stream under the same id. */
export interface KnownEvent {
  readonly number: number
  readonly position: number
  readonly created: number
  sameContent(record: UnplacedRecord): boolean
}

/**
 * What the plan may know: heads and ids as the log has them, then as the earlier plans of the same commit leave them.
 */
export class PlanningView {
  /** Events planned so far, in order: what will be committed. */
  readonly planned: PlacedEvent[] = []
  readonly #heads = new Map<string, number>()
  readonly #known = new Map<string, KnownEvent>()
  readonly #next: number
  readonly created: number
  readonly #committedHead: (stream: string) => number

  /**
   * @param next the position the next record gets
   * @param created the instant of this commit, milliseconds
   * @param committedHead number of a stream's last committed event, -1 when there is none
   */
  constructor(next: number, created: number, committedHead: (stream: string) => number) {
    this.#next = next
    this.created = created
    this.#committedHead = committedHead
  }

  head(stream: string): number {
    return this.#heads.get(stream) ?? this.#committedHead(stream)
  }

  known(stream: string, id: Buffer): KnownEvent | undefined {
    return this.#known.get(idKey(stream, id))
  }

  /** Tells of an event that the log holds under a client's id. */
  remember(stream: string, record: StoredRecord): void {
    this.#known.set(idKey(stream, record.id), {
      number: record.number,
      position: record.position,
      created: record.created,
      sameContent: (other) => sameContent(record.bytes, other.bytes)
    })
  }

  place(event: NewEvent): PlacedEvent {
    const number = this.head(event.stream) + 1
    const position = this.#next + this.planned.length
    const placed = { event, number, position, created: this.created, replayed: false }
    this.planned.push(placed)
    this.#heads.set(event.stream, number)
    if (event.id !== undefined) {
      const { bytes } = event.record
      this.#known.set(idKey(event.stream, event.id), {
        number,
        position,
        created: this.created,
        sameContent: (other) => sameContent(bytes, other.bytes)
      })
    }
    return placed
  }
}

function idKey(stream: string, id: Buffer): string {
  return id.toString('latin1') + stream
}

/**
 * Decides one append against the view and, when it is accepted, places its events in it.
 * @returns what to answer once the commit has succeeded, or the refusal; then the view is unchanged
 */
export function planAppend(request: AppendRequest, view: PlanningView): AppendResult | DaybookError {
  return request.mode === 'each' ? planEach(request, view) : planBatch(request, view)
}

function planBatch(request: AppendRequest, view: PlanningView): AppendResult | DaybookError {
  const replay = findReplay(request, view)
  if (replay !== undefined) return replay
  const failed = request.conditions.filter(({ stream, expected }) => !holds(expected, view.head(stream)))
  if (failed.length > 0) return wrongExpectedVersion(failed, view)
  const events = request.events.map((event) => view.place(event))
  return { events, replayed: false, heads: headsOf(request, view) }
}

/** An append of ids that are all there is answered as it was the first time, whatever its conditions say now. */
function findReplay(request: AppendRequest, view: PlanningView): AppendResult | DaybookError | undefined {
  if (request.events.every((event) => event.id === undefined)) return undefined
  const known = request.events.map((event) => (event.id ? view.known(event.stream, event.id) : undefined))
  const keyed = request.keyed
  if (known.every((one) => one === undefined)) return undefined
  const reused = request.events.findIndex((event, i) => known[i] !== undefined && !known[i].sameContent(event.record))
  const keyedMore = keyed !== undefined && view.known(keyed.stream, keyed.nextId) !== undefined
  const unknown = known.indexOf(undefined)
  if (keyed !== undefined && (reused >= 0 || unknown >= 0 || keyedMore)) {
    return new DaybookError(
      'idempotency-key-reused',
      'This Idempotency-Key was used on this stream with other events. A key stands for one append; use a new one.',
      { written: false, retry: false }
    )
  }
  if (reused >= 0) {
    const event = request.events[reused] as NewEvent & { id: Buffer }
    return new DaybookError(
      'event-id-reused',
      `Stream "${event.stream}" holds an event with id ${uuidText(event.id)} and other content (number ${known[reused]?.number}).`,
      {
        stream: event.stream,
        id: uuidText(event.id),
        number: known[reused]?.number,
        index: reused,
        written: false,
        retry: false
      }
    )
  }
  if (unknown >= 0) {
    return new DaybookError(
      'partial-replay',
      `Some of these events are in the log already and some are not: event ${unknown} is new. Nothing was written.`,
      { index: unknown, written: false, retry: false }
    )
  }
  const events = request.events.map((event, i) => ({ event, ...place(known[i] as KnownEvent), replayed: true }))
  return { events, replayed: true, heads: headsOf(request, view) }
}

function planEach(request: AppendRequest, view: PlanningView): AppendResult {
  const events: PlacedEvent[] = []
  let refused: AppendResult['refused']
  for (const [index, event] of request.events.entries()) {
    const known = event.id ? view.known(event.stream, event.id) : undefined
    if (known !== undefined && !known.sameContent(event.record)) {
      const error = findReplay({ ...request, events: [event] }, view) as DaybookError
      refused = { index, error }
      break
    }
    events.push(known === undefined ? view.place(event) : { event, ...place(known), replayed: true })
  }
  const replayed = events.length > 0 && events.every((event) => event.replayed)
  return { events, replayed, heads: headsOf(request, view), refused }
}

function place({ number, position, created }: KnownEvent): { number: number; position: number; created: number } {
  return { number, position, created }
}

function headsOf(request: AppendRequest, view: PlanningView): Map<string, number> {
  const heads = new Map<string, number>()
  for (const { stream } of request.events) if (!heads.has(stream)) heads.set(stream, view.head(stream))
  return heads
}

function wrongExpectedVersion(failed: readonly Condition[], view: PlanningView): DaybookError {
  const list = failed.map(({ stream, expected }) => ({ stream, expected, head: headOrNull(view.head(stream)) }))
  const first = list[0] as (typeof list)[number]
  const says = list.map(({ stream, expected, head }) => `"${stream}" ${describe(expected)}, but ${describeHead(head)}`)
  return new DaybookError('wrong-expected-version', `Expected that ${says.join('; and that ')}. Nothing was written.`, {
    ...first,
    ...(list.length > 1 && { failed: list }),
    written: false,
    retry: false
  })
}

function headOrNull(head: number): number | null {
  return head === -1 ? null : head
}

function describe(expected: ExpectedVersion): string {
  if (expected === 'no_stream') return 'does not exist'
  if (expected === 'stream_exists') return 'exists'
  return `ends with event ${expected}`
}

function describeHead(head: number | null): string {
  return head === null ? 'it was never written' : `its last event is ${head}`
}

function uuidText(id: Buffer): string {
  return id.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}
