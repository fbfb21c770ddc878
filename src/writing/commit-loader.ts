/**
 * Loads the snapshot that the plans of one commit need: stream heads in batched reads, and the states of the few
 * streams that have metadata or a tombstone.
 */

import { AUDIT } from '../access/audit.js'
import type { Principal } from '../access/permissions.js'
import type { AccessRules } from '../access/rules.js'
import { DaybookError } from '../errors.js'
import type { ListName } from '../index/posting.js'
import type { Postings } from '../index/posting-lists.js'
import type { StreamStates } from '../index/stream-states.js'
import { limits } from '../limits.js'
import { family, type ListHead } from '../log/format.js'
import type { Log } from '../log/log.js'
import { TOMBSTONE_TYPE } from '../streams/metadata.js'
import { isMetastream, isSystemStream, metastreamOf, originalOf } from '../streams/names.js'
import type { StreamState } from '../streams/stream-state.js'
import type { EarlySearch, EventSearch } from './event-search.js'
import { type CommitSnapshot, eventKey } from './plan/commit-snapshot.js'
import type { LookAgain, Match } from './plan/event-condition.js'
import { principalOfRequest, type WriteRequest } from './plan/write-request.js'

/** A write request with the results of its early searches. */
export interface SearchedRequest {
  readonly request: WriteRequest
  /** One early search for each of the request's `matches`; undefined when it has no such conditions. */
  readonly searches: readonly EarlySearch[] | undefined
}

/** A snapshot with the full list heads of the index. */
export interface LoadedSnapshot extends CommitSnapshot {
  readonly heads: ReadonlyMap<string, ListHead | null>
}

export interface CommitLoaderParts {
  readonly log: Log
  readonly postings: Postings
  readonly states: StreamStates
  readonly rules: AccessRules
  readonly search: EventSearch
}

type Outcome = Match | LookAgain | undefined

/** Shared empty collections: most commits need none of these, so they allocate nothing. */
const NO_STATES: CommitSnapshot['states'] = new Map()
const NO_MATCHES: CommitSnapshot['matches'] = new Map()
const NO_EVENTS: CommitSnapshot['known'] = new Map()
const NO_IDS: CommitSnapshot['reservedIds'] = new Set()
const NO_ACCOUNTS: CommitSnapshot['accounts'] = new Map()
const NO_TOKENS: CommitSnapshot['tokens'] = new Map()

export class CommitLoader {
  readonly #log: Log
  readonly #postings: Postings
  readonly #states: StreamStates
  readonly #rules: AccessRules
  readonly #search: EventSearch

  constructor({ log, postings, states, rules, search }: CommitLoaderParts) {
    this.#log = log
    this.#postings = postings
    this.#states = states
    this.#rules = rules
    this.#search = search
  }

  /**
   * Loads the snapshot for a group of requests. Call it in the writer's turn: only the writer changes the loaded data.
   * @throws DaybookError `index-damaged`, `log-damaged`, or `event-id-reused` when the log's events to compare exceed
   * `known_bytes_max`
   */
  async load(group: readonly SearchedRequest[]): Promise<LoadedSnapshot> {
    const needed = new NeededStreams(this.#postings, this.#states)
    for (const { request } of group) needed.add(request)
    if (needed.missing.length > 0) await this.#loadHeads(needed)
    const states = needed.withState.size > 0 ? await this.#statesOf(needed.withState) : NO_STATES
    const matches = group.some(({ searches }) => searches !== undefined) ? await this.#matchesOf(group) : NO_MATCHES
    const ids = new NeededIds(this.#log, needed.heads)
    for (const { request } of group) ids.add(request)
    const known = ids.requested.length > 0 ? await this.#knownEvents(ids) : NO_EVENTS
    const { accounts, tokens } = this.#signInsOf(group)
    return {
      next: this.#log.head + 1,
      lastCreated: this.#log.lastCreated,
      heads: needed.heads,
      states,
      settings: this.#rules.settings,
      matches,
      known,
      reservedIds: ids.reserved,
      accounts,
      tokens
    }
  }

  async #loadHeads({ heads, missing }: NeededStreams): Promise<void> {
    for (let at = 0; at < missing.length; at += limits.heads_loaded_max) {
      const part = missing.slice(at, at + limits.heads_loaded_max)
      await this.#postings.load(part)
      for (const [kind, stream] of part) heads.set(stream, (await this.#postings.head(kind, stream)) ?? null)
    }
  }

  async #statesOf(streams: Iterable<string>): Promise<CommitSnapshot['states']> {
    const states = new Map<string, StreamState>()
    for (const stream of streams) states.set(stream, await this.#states.of(stream))
    return states
  }

  /** Returns, for each condition on events, the first event that it forbids. */
  async #matchesOf(group: readonly SearchedRequest[]): Promise<CommitSnapshot['matches']> {
    const matches = new Map<number, Outcome[]>()
    for (const [i, { request, searches }] of group.entries()) {
      if (request.kind !== 'append' || request.matches === undefined) continue
      const found: Outcome[] = []
      for (const [j, condition] of request.matches.entries())
        found.push(await this.#search.firstSince(condition, searches?.[j]))
      matches.set(i, found)
    }
    return matches
  }

  /** Reads the events of the log that have the same stream and id as an event to append. */
  async #knownEvents({ requested, namedPositions }: NeededIds): Promise<CommitSnapshot['known']> {
    const known = new Map<string, { position: number; bytes: Buffer }>()
    const indexed = await this.#postings.positionsOfIds(requested)
    const candidates = indexed.map((positions, i) => {
      const position = namedPositions[i]
      return position === undefined || position > this.#log.head ? positions : [...positions, position]
    })
    const requestedAt = requested.flatMap((one, i) => (candidates[i] ?? []).map(() => one))
    let next = 0
    let bytes = 0
    for await (const records of this.#log.readAhead([candidates.flat()])) {
      for (const record of records) {
        const { stream, id } = requestedAt[next++] as NeededIds['requested'][number]
        if (!record.id.equals(id) || record.stream !== stream) continue
        known.set(eventKey(stream, id), { position: record.position, bytes: record.bytes })
        bytes += record.bytes.length
      }
      if (bytes > limits.known_bytes_max) throw tooMuchKnown()
    }
    return known
  }

  /** Returns the current state of the accounts and tokens with which the requests signed in. */
  #signInsOf(group: readonly SearchedRequest[]): Pick<CommitSnapshot, 'accounts' | 'tokens'> {
    let accounts: Map<string, number | null> | undefined
    let tokens: Map<string, boolean> | undefined
    let last: Principal | undefined
    for (const { request } of group) {
      const principal = principalOfRequest(request)
      if (principal === last || principal?.accountVersion === undefined) continue
      last = principal
      const { login = '', token } = principal
      accounts ??= new Map()
      accounts.set(login, this.#rules.signIns.versionOf(login) ?? null)
      if (token === undefined) continue
      tokens ??= new Map()
      tokens.set(token, this.#rules.signIns.hasToken(token))
    }
    return { accounts: accounts ?? NO_ACCOUNTS, tokens: tokens ?? NO_TOKENS }
  }
}

/** Collects the streams whose heads and states the plans need. */
class NeededStreams {
  readonly heads = new Map<string, ListHead | null>()
  /** Heads that are not in memory. */
  readonly missing: ListName[] = []
  /** Streams that may have metadata or a tombstone. */
  readonly withState = new Set<string>()
  readonly #postings: Postings
  readonly #states: StreamStates
  #last: string | undefined
  #audits = false

  constructor(postings: Postings, states: StreamStates) {
    this.#postings = postings
    this.#states = states
  }

  add(request: WriteRequest): void {
    if (request.kind === 'delete') {
      this.#need(request.stream)
      this.#needHead(metastreamOf(request.stream))
      if (request.by !== undefined) this.#needAudit()
      return
    }
    for (const { stream, type } of request.events) {
      this.#need(stream)
      if (request.by !== undefined && (isSystemStream(stream) || type === TOMBSTONE_TYPE)) this.#needAudit()
    }
    if (request.kind === 'append') for (const { stream } of request.conditions) this.#need(stream)
    else if (request.kind === 'append-by-place') this.#need(request.stream)
  }

  /** The plan may append audit events, so it needs the head of `$audit`. */
  #needAudit(): void {
    if (this.#audits) return
    this.#audits = true
    this.#need(AUDIT)
  }

  #need(stream: string): void {
    if (stream === this.#last) return
    this.#last = stream
    this.#needHead(stream)
    const original = isMetastream(stream) ? originalOf(stream) : stream
    if (original !== stream) this.#needHead(original)
    if (!this.#states.concerns(original)) return
    this.withState.add(original)
    this.#needHead(metastreamOf(original))
  }

  #needHead(stream: string): void {
    const head = this.#postings.headInMemory(family.stream, stream)
    if (head === undefined) this.missing.push([family.stream, stream])
    else this.heads.set(stream, head)
  }
}

/** Collects the event ids to look up in the log. */
class NeededIds {
  /** Ids that the log may contain. Ids for streams that were never written are left out. */
  readonly requested: { readonly stream: string; readonly streamId: number; readonly id: Buffer }[] = []
  /** For each of `requested`, the position encoded in the id when this log generated it; otherwise undefined. */
  readonly namedPositions: (number | undefined)[] = []
  readonly #log: Log
  readonly #heads: LoadedSnapshot['heads']
  #reserved: Set<string> | undefined

  constructor(log: Log, heads: LoadedSnapshot['heads']) {
    this.#log = log
    this.#heads = heads
  }

  get reserved(): CommitSnapshot['reservedIds'] {
    return this.#reserved ?? NO_IDS
  }

  add(request: WriteRequest): void {
    if (request.kind === 'delete') return
    for (const { stream, id } of request.events) if (id !== undefined) this.#request(stream, id)
    if (request.kind === 'append' && request.keyed !== undefined)
      this.#request(request.keyed.stream, request.keyed.nextId)
  }

  #request(stream: string, id: Buffer): void {
    const position = this.#log.placeOfId(id)
    if (position !== undefined && position > this.#log.head) {
      this.#reserved ??= new Set()
      this.#reserved.add(id.toString('latin1'))
    }
    const head = this.#heads.get(stream)
    if (!head) return
    this.requested.push({ stream, streamId: head.id, id })
    this.namedPositions.push(position)
  }
}

/**
 * Bounds the reads of one commit: small events may carry the ids of large stored events, which are read to be compared.
 */
function tooMuchKnown(): DaybookError {
  return new DaybookError(
    'event-id-reused',
    `The stored events with these ids have more than ${limits.known_bytes_max} bytes in total, ` +
      'too many to compare in one append. Send the events in smaller appends.',
    { limit: limits.known_bytes_max, written: false, retry: false }
  )
}
