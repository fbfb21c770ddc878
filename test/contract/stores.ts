/** Stores that the contract runs over: the core in this process, and the two forms of the HTTP API. */
import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import type { ReadRequest, ReadResult } from '../../src/reading/event-read.js'
import { Filter } from '../../src/reading/filter.js'
import type { Store } from '../../src/store/store.js'
import type { Connection } from '../../src/subscriptions/connection.js'
import { listen } from '../helpers/app.js'
import { encodeEvent } from '../helpers/events.js'
import { LiveLines } from '../helpers/live-clients.js'
import { openStore } from '../helpers/live-events.js'
import type {
  Appended,
  DeleteOptions,
  EventForStream,
  EventToAppend,
  ExpectedVersion,
  Feature,
  LiveEvents,
  Metadata,
  OpenStore,
  ReadRange,
  StoredEvent,
  StoreUnderTest,
  SubscriptionSource
} from './store-contract.js'

// ------------------------------------------------------------------------------------------------ the core

/** The core `Store` in this process. */
export const openCore: OpenStore = async (t) => new CoreStore(await openStore(t))

const inCore = { any: 'any', none: 'no_stream', exists: 'stream_exists' } as const
const coreVersion = (expected: ExpectedVersion) => (typeof expected === 'number' ? expected : inCore[expected])

class CoreStore implements StoreUnderTest {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  append(stream: string, events: readonly EventToAppend[], expected: ExpectedVersion = 'any'): Promise<Appended> {
    const placed = events.map((event) => ({ ...event, stream }))
    return this.appendToStreams(placed, [{ stream, expected }])
  }

  async appendToStreams(
    events: readonly EventForStream[],
    conditions: readonly { stream: string; expected: ExpectedVersion }[] = []
  ): Promise<Appended> {
    const result = await this.#store.writer.append({
      kind: 'append',
      events: events.map(({ stream, tags, ...event }) =>
        encodeEvent(stream, { ...event, ...(tags && { tags: [...tags] }) })
      ),
      conditions: conditions.map(({ stream, expected }) => ({ stream, expected: coreVersion(expected) }))
    })
    const placed = result.events.map(({ event, number, position }) => ({ stream: event.stream, number, position }))
    return { events: placed, replayed: result.replayed }
  }

  readStream(stream: string, range?: ReadRange): Promise<StoredEvent[]> {
    return this.#read(stream, range)
  }

  readLog(range?: ReadRange): Promise<StoredEvent[]> {
    return this.#read(undefined, range)
  }

  async #read(stream: string | undefined, { from, order = 'asc', limit = Infinity }: ReadRange = {}) {
    const { sources, reader } = this.#store
    const source = stream === undefined ? sources.log() : await sources.of(stream)
    const bound = from === undefined ? undefined : ({ kind: 'cursor', value: from, included: true } as const)
    const request = {
      ...READ,
      order,
      lower: order === 'asc' ? bound : undefined,
      upper: order === 'desc' ? bound : undefined
    }
    const events: StoredEvent[] = []
    for await (const span of reader.spans(source, request, await sources.resolve(source, request))) {
      events.push(...span.events.map(storedEvent).filter(isOwn))
      if (events.length >= limit) break
    }
    return events.slice(0, limit)
  }

  async metadata(stream: string): Promise<Metadata> {
    const { maxCount, truncateBefore } = (await this.#store.states.of(stream)).metadata
    return { ...(maxCount !== undefined && { maxCount }), ...(truncateBefore !== undefined && { truncateBefore }) }
  }

  async setMetadata(stream: string, { maxCount, truncateBefore }: Metadata): Promise<void> {
    const event = encodeEvent(`$$${stream}`, { type: '$metadata', data: { $maxCount: maxCount, $tb: truncateBefore } })
    await this.#store.writer.append({ kind: 'append', events: [event], conditions: [] })
  }

  async delete(stream: string, { expected = 'any', permanent = false }: DeleteOptions = {}): Promise<void> {
    await this.#store.writer.delete({ kind: 'delete', stream, expected: coreVersion(expected), permanent })
  }

  async subscribe({ stream, after }: SubscriptionSource): Promise<LiveEvents> {
    const events: StoredEvent[] = []
    const nothing = () => {}
    const connection: Connection = {
      transport: 'ndjson',
      client: 'test',
      waiting: 0,
      unsent: 0,
      drained: nothing,
      send: (found) => void events.push(...found.map(storedEvent)),
      caughtUp: nothing,
      fellBehind: nothing,
      checkpoint: nothing,
      heartbeat: nothing,
      statistics: nothing,
      close: nothing
    }
    const query = { address: { stream }, request: READ, source: 'contract', key: `contract ${stream}` }
    const options = { next: after + 1, heartbeat: 0 }
    const subscription = this.#store.subscriptions.open({ query, options, connection })
    return { events, close: async () => subscription.ended() }
  }
}

const READ: ReadRequest = {
  lower: undefined,
  upper: undefined,
  order: 'asc',
  filter: new Filter({ system: false }),
  resolveLinks: false,
  truncated: false,
  viewer: undefined
}

function storedEvent({ record }: Pick<ReadResult, 'record'>): StoredEvent {
  const { stream, number, position, type, idText: id, data, metadata, tags } = record
  const parsed = (bytes: Buffer | undefined) => (bytes === undefined ? undefined : JSON.parse(bytes.toString()))
  return { stream, number, position, type, id, data: parsed(data), metadata: parsed(metadata), tags }
}

// ------------------------------------------------------------------------------------------------ HTTP

/** A listening server, by the native HTTP API. */
export const openHttp: OpenStore = async (t) => new HttpStore(t, (await listen(t)).url)

const address = (stream: string) => `/streams/${encodeURIComponent(stream)}`

/** An error with the code of the contract. */
function refusal(code: unknown, detail: string): Error {
  return Object.assign(new Error(detail), { code })
}

const JSON_BODY = { 'content-type': 'application/json' }

class HttpStore implements StoreUnderTest {
  readonly #t: Test
  readonly #url: string

  constructor(t: Test, url: string) {
    this.#t = t
    this.#url = url
  }

  async append(stream: string, events: readonly EventToAppend[], expected: ExpectedVersion = 'any'): Promise<Appended> {
    const headers = { ...JSON_BODY, ...conditionOf(expected) }
    const sent = events.map(({ type, data, metadata, tags, id }) => ({ type, data, metadata, tags, id }))
    const answer = await this.#ask('POST', address(stream), headers, sent)
    const { events: placed, replayed } = answer as Appended
    return { events: placed.map(({ number, position }) => ({ stream, number, position })), replayed }
  }

  async appendToStreams(
    events: readonly EventForStream[],
    conditions: readonly { stream: string; expected: ExpectedVersion }[] = []
  ): Promise<Appended> {
    const named = conditions.filter(({ expected }) => expected !== 'any')
    const body = { events, conditions: named.map(({ stream, expected }) => ({ stream, head: expected })) }
    const { events: placed, replayed } = (await this.#ask('POST', '/events', JSON_BODY, body)) as Appended
    return { events: placed.map(({ stream, number, position }) => ({ stream, number, position })), replayed }
  }

  readStream(stream: string, range?: ReadRange): Promise<StoredEvent[]> {
    return this.#read(address(stream), range)
  }

  readLog(range?: ReadRange): Promise<StoredEvent[]> {
    return this.#read('/events', range)
  }

  /** Follows the links of pages to the end. */
  async #read(path: string, { from, order = 'asc', limit = Infinity }: ReadRange = {}): Promise<StoredEvent[]> {
    const query = new URLSearchParams({ order, limit: String(Math.min(limit, 100)) })
    if (from !== undefined) query.set(order === 'asc' ? 'from' : 'to', String(from))
    const events: StoredEvent[] = []
    for (let next: string | undefined = `${path}?${query}`; next !== undefined && events.length < limit; ) {
      const page = (await this.#ask('GET', next)) as { events: Partial<StoredEvent>[]; links: { next?: string } }
      events.push(...page.events.map(fromNative).filter(isOwn))
      next = page.links.next
    }
    return events.slice(0, limit)
  }

  async metadata(stream: string): Promise<Metadata> {
    return (await this.#ask('GET', `${address(stream)}/metadata`)) as Metadata
  }

  async setMetadata(stream: string, metadata: Metadata): Promise<void> {
    await this.#ask('PUT', `${address(stream)}/metadata`, JSON_BODY, metadata)
  }

  async delete(stream: string, { expected = 'any', permanent = false }: DeleteOptions = {}): Promise<void> {
    await this.#ask('DELETE', `${address(stream)}?permanent=${permanent}`, conditionOf(expected))
  }

  async subscribe({ stream, after }: SubscriptionSource): Promise<LiveEvents> {
    const path = stream === undefined ? '/events' : address(stream)
    const lines = await LiveLines.open(this.#t, `${this.#url}${path}?live=true&after=${after}`)
    return {
      get events() {
        return lines.events.map(fromNative)
      },
      close: async () => lines.destroy()
    }
  }

  async #ask(method: string, path: string, headers: Record<string, string> = {}, body?: unknown): Promise<unknown> {
    const sent = body === undefined ? {} : { body: JSON.stringify(body) }
    const answer = await fetch(this.#url + path, { method, headers: { accept: '*/*', ...headers }, ...sent })
    const text = await answer.text()
    const said = text === '' ? undefined : JSON.parse(text)
    if (answer.ok) return said
    throw refusal(said.code, `${method} ${path}: ${answer.status} ${text}`)
  }
}

function conditionOf(expected: ExpectedVersion): Record<string, string> {
  if (expected === 'any') return {}
  if (expected === 'none') return { 'if-none-match': '*' }
  return { 'if-match': expected === 'exists' ? '*' : `"${expected}"` }
}

function fromNative(event: object): StoredEvent {
  const { stream, number, position, type, id, data, metadata, tags = [] } = event as StoredEvent
  return { stream, number, position, type, id, data, metadata, tags }
}

// ------------------------------------------------------------------------------------------------ EventStoreDB's form

/** The same server, by EventStoreDB's form of the API. */
export const openDialect: OpenStore = async (t) => new DialectStore((await listen(t)).url)

export const DIALECT_LACKS: readonly Feature[] = [
  'append-to-streams',
  'log',
  'positions',
  'subscriptions',
  'tags',
  'exact-ids'
]

const FEED = 'application/vnd.eventstore.atom+json'
const EVENTS = 'application/vnd.eventstore.events+json'
const versions = { any: -2, none: -1, exists: -4 } as const

class DialectStore implements StoreUnderTest {
  readonly #url: string

  constructor(url: string) {
    this.#url = url
  }

  async append(stream: string, events: readonly EventToAppend[], expected: ExpectedVersion = 'any'): Promise<Appended> {
    const list = events.map(({ id = randomUUID(), type, data, metadata }) => ({
      eventId: id,
      eventType: type,
      data,
      metadata
    }))
    const headers = { 'content-type': EVENTS, ...versionOf(expected) }
    const answer = await this.#ask('POST', address(stream), headers, list)
    const first = Number(answer.headers.get('location')?.split('/').at(-1))
    const placed = events.map((_, i) => ({ stream, number: first + i, position: undefined }))
    return { events: placed, replayed: undefined }
  }

  /** In one page, which counts hidden events too. */
  async readStream(stream: string, { from, order = 'asc', limit }: ReadRange = {}): Promise<StoredEvent[]> {
    const place = order === 'asc' ? `${from ?? 0}/forward` : `${from ?? 'head'}/backward`
    const path = `${address(stream)}/${place}/4096?embed=body`
    const { text } = await this.#ask('GET', path, { accept: FEED })
    const entries: Entry[] = JSON.parse(text).entries
    const events = entries.map(fromEntry)
    return (order === 'asc' ? events.reverse() : events).slice(0, limit)
  }

  async metadata(stream: string): Promise<Metadata> {
    const { text } = await this.#ask('GET', `${address(stream)}/metadata`, { accept: 'application/json' })
    const { $maxCount: maxCount, $tb: truncateBefore } = JSON.parse(text)
    return { ...(maxCount !== undefined && { maxCount }), ...(truncateBefore !== undefined && { truncateBefore }) }
  }

  async setMetadata(stream: string, { maxCount, truncateBefore }: Metadata): Promise<void> {
    const data = { $maxCount: maxCount, $tb: truncateBefore }
    const list = [{ eventId: randomUUID(), eventType: '$metadata', data }]
    await this.#ask('POST', `${address(stream)}/metadata`, { 'content-type': EVENTS }, list)
  }

  async delete(stream: string, { expected = 'any', permanent = false }: DeleteOptions = {}): Promise<void> {
    // This Accept asks for the dialect where nothing else does.
    const headers = { accept: FEED, 'es-harddelete': String(permanent), ...versionOf(expected) }
    await this.#ask('DELETE', address(stream), headers)
  }

  async #ask(method: string, path: string, headers: Record<string, string>, body?: unknown) {
    const sent = body === undefined ? {} : { body: JSON.stringify(body) }
    const answer = await fetch(this.#url + path, { method, headers, ...sent })
    const text = await answer.text()
    if (answer.ok) return { headers: answer.headers, text }
    throw refusal(codeOf(method, answer), `${method} ${path}: ${answer.status} ${answer.statusText} ${text}`)
  }

  appendToStreams = lacking
  readLog = lacking
  subscribe = lacking
}

/** Returns whether a client appended the event. A tombstone is an event of the log, too. */
function isOwn({ type }: StoredEvent): boolean {
  return !type.startsWith('$')
}

function lacking(): never {
  throw new Error("EventStoreDB's form has no such request")
}

interface Entry {
  readonly eventId: string
  readonly eventType: string
  readonly eventNumber: number
  readonly streamId: string
  readonly data: string
  readonly metaData: string | null
}

function fromEntry({ eventId, eventType, eventNumber, streamId, data, metaData }: Entry): StoredEvent {
  const metadata = metaData ? JSON.parse(metaData) : undefined
  const place = { stream: streamId, number: eventNumber, position: undefined }
  return { ...place, type: eventType, id: eventId, data: JSON.parse(data), metadata, tags: [] }
}

function versionOf(expected: ExpectedVersion): Record<string, string> {
  return { 'es-expectedversion': String(typeof expected === 'number' ? expected : versions[expected]) }
}

/** The contract's code for a refusal. A delete of what was never written is a wrong version there. */
function codeOf(method: string, { status, headers }: Response): string {
  const current = headers.get('es-currentversion')
  if (status === 410) return 'stream-deleted'
  if (status === 404 || (method === 'DELETE' && current === '-1')) return 'stream-not-found'
  return current === null ? `status ${status}` : 'wrong-expected-version'
}
