/** Random commits: the snapshot of a log, and the requests of one commit. All of it is plain data. */
import { type Actor, ANYBODY, NOBODY, type Principal, readSettings } from '../../src/access/permissions.js'
import { encodeRecord, positionKey, recordKind, sealRecord } from '../../src/log/format.js'
import { DELETED_TEXT, METADATA_TYPE, readMetadata, TOMBSTONE_TYPE } from '../../src/streams/metadata.js'
import { isMetastream, metastreamOf } from '../../src/streams/names.js'
import type { NewEvent } from '../../src/streams/new-event.js'
import { PLAIN_STATE, type StreamState } from '../../src/streams/stream-state.js'
import { type CommitSnapshot, eventKey } from '../../src/writing/plan/commit-snapshot.js'
import { type EventCondition, LOOK_AGAIN, type LookAgain, type Match } from '../../src/writing/plan/event-condition.js'
import type { Condition, ExpectedVersion } from '../../src/writing/plan/expected-version.js'
import type { AppendAll, WriteRequest } from '../../src/writing/plan/write-request.js'
import type { Random } from './random.js'

export interface RandomCommit {
  readonly snapshot: CommitSnapshot
  readonly requests: readonly WriteRequest[]
  readonly instant: number
}

export const LOG_ID = Buffer.from('00112233445566778899aabbccddeeff', 'hex')
const NOW = 1_700_000_000_000
const NEXT = 1000

const ORIGINALS = ['a', 'b-1', 'Übung-1', '$own', '$settings', '$audit', '$user-ann', '$tokens']
const STREAMS = [...ORIGINALS, ...ORIGINALS.map(metastreamOf), '$$$$a']
const LOGINS = ['admin', 'ann', 'bob', 'eve', 'guest']
const TOKENS = ['t-1', 't-2']
const ROLES = ['$all', '$admins', 'ann', 'bob', 'sales', 'guest']
const TAGS = ['x', 'y', 'z']
const TYPES = ['T', 'U', METADATA_TYPE]

/** Documents of metadata events, valid and invalid. */
const DOCUMENTS: readonly (string | undefined)[] = [
  undefined,
  '{}',
  '[]',
  'no JSON',
  '{"$tb":3}',
  '{"$maxCount":2,"$maxAge":10}',
  `{"$tb":${DELETED_TEXT}}`,
  `{"$acl":{"$w":"ann"},"$tb":${DELETED_TEXT}}`,
  '{"$tb":1,"$tb":2}',
  '{"$maxAge":"PT1H"}',
  '{"$acl":{"$x":"ann"}}'
]

const chosen = <T>(random: Random, values: readonly T[]): T[] => values.filter(() => random.chance(0.5))

function acl(random: Random): object {
  const entries = chosen(random, ['$r', '$w', '$d', '$mr', '$mw']).map((right) => [right, chosen(random, ROLES)])
  return Object.fromEntries(entries)
}

function metadataDocument(random: Random): string | undefined {
  if (random.chance(0.4)) return JSON.stringify({ $acl: acl(random), ...(random.chance(0.3) && { $tb: 1 }) })
  return random.pick(DOCUMENTS)
}

function settingsDocument(random: Random): string | undefined {
  const members = { $userStreamAcl: acl(random), ...(random.chance(0.3) && { $systemStreamAcl: acl(random) }) }
  return random.pick([JSON.stringify(members), '{}', '{"other":1}', 'no JSON', undefined])
}

/** Returns a caller. Most are signed in to accounts with the versions that `randomCommit` usually gives. */
function principal(random: Random): Principal {
  const { scope } = { scope: { read: random.pick([['*'], ['a'], []]), write: random.pick([['*'], ['b-*'], []]) } }
  const expires = NOW + random.pick([-1, 0, 1, 60_000])
  return random.pick<Principal>([
    NOBODY,
    ANYBODY,
    { login: 'admin', groups: ['$admins'], since: 0, accountVersion: 3, by: 'password' },
    { login: 'admin', groups: ['$admins'], since: 0, accountVersion: 3, by: 'password' },
    { login: 'ann', groups: [], since: 5, accountVersion: 3, by: 'password' },
    { login: 'bob', groups: ['sales', '$ops'], since: 6, accountVersion: 3, by: 'ticket' },
    { login: 'bob', groups: ['sales'], since: 6, scope, token: 't-1', accountVersion: 3, expires, by: 'token' },
    { login: 'ann', groups: [], since: 5, scope, token: 't-2', accountVersion: 3, by: 'token' },
    { login: 'guest', groups: ['sales'], expires, accountVersion: 'none', by: 'jwt' }
  ])
}

function actor(random: Random): Actor | undefined {
  if (random.chance(0.2)) return undefined
  return { principal: principal(random), address: '127.0.0.1', requestId: `request-${random.int(1, 9)}` }
}

function contentOf(random: Random, stream: string): Buffer | undefined {
  if (isMetastream(stream)) return bytesOrNone(metadataDocument(random))
  if (stream === '$settings') return bytesOrNone(settingsDocument(random))
  return random.pick([Buffer.from('{"v":1}'), undefined])
}

function bytesOrNone(text: string | undefined): Buffer | undefined {
  return text === undefined ? undefined : Buffer.from(text)
}

function event(random: Random, stream: string, ids: readonly Buffer[], moreIds: number): NewEvent {
  if (random.chance(0.03)) {
    const record = encodeRecord(stream, { clientId: false, type: TOMBSTONE_TYPE, kind: recordKind.tombstone })
    return { stream, id: undefined, type: TOMBSTONE_TYPE, record }
  }
  const id = random.chance(moreIds) ? random.pick(ids) : undefined
  const type = random.pick(TYPES)
  const tags = random.chance(0.5) ? [random.pick(TAGS)] : undefined
  const occurred = random.chance(0.1) ? new Date(NOW - 1000).toISOString() : undefined
  const data = contentOf(random, stream)
  return {
    stream,
    id,
    type,
    record: encodeRecord(stream, { id, clientId: id !== undefined, type, tags, occurred, data })
  }
}

function events(random: Random, ids: readonly Buffer[], only?: string): NewEvent[] {
  const moreIds = random.pick([0, 0.5, 1])
  const usual = only ?? random.pick(STREAMS)
  const streamOf = () => only ?? (random.chance(0.7) ? usual : random.pick(STREAMS))
  return Array.from({ length: random.int(1, 4) }, () => event(random, streamOf(), ids, moreIds))
}

function expected(random: Random): ExpectedVersion {
  return random.pick<ExpectedVersion>(['any', 'any', 'no_stream', 'stream_exists', 0, 1, 2])
}

function eventCondition(random: Random, index: number): EventCondition {
  const items = [{ types: random.pick([[], ['T']]), tags: [random.pick(TAGS)] }]
  const seenBy = random.chance(0.5) ? principal(random) : undefined
  return { items, after: random.pick([-1, NEXT - 1, NEXT]), index, seenBy }
}

function appendAll(random: Random, ids: readonly Buffer[]): AppendAll {
  const sent = events(random, ids)
  const condition = (): Condition => ({ stream: random.pick(STREAMS), expected: expected(random) })
  const matches = random.chance(0.4) ? [eventCondition(random, 0), eventCondition(random, 1)] : undefined
  const [first] = sent as [NewEvent]
  return {
    kind: 'append',
    events: sent,
    conditions: random.chance(0.5) ? [condition()] : [],
    matches,
    by: actor(random),
    askedBy: random.chance(0.1) ? principal(random) : undefined,
    keyed: random.chance(0.2) ? { stream: first.stream, nextId: random.pick(ids) } : undefined
  }
}

function request(random: Random, ids: readonly Buffer[]): WriteRequest {
  const stream = random.pick(STREAMS)
  switch (random.int(0, 4)) {
    case 0:
      return { kind: 'append-each', events: events(random, ids), by: actor(random) }
    case 1: {
      const sent = events(random, ids, stream)
      return { kind: 'append-by-place', stream, expected: expected(random), events: sent, by: actor(random) }
    }
    case 2: {
      const permanent = random.chance(0.4)
      return { kind: 'delete', stream, expected: expected(random), permanent, by: actor(random) }
    }
    default:
      return appendAll(random, ids)
  }
}

function stateOf(random: Random, head: { count: number } | null | undefined): StreamState {
  const tombstone = random.chance(0.1)
  if (!head) return { ...PLAIN_STATE, tombstone }
  const document = bytesOrNone(metadataDocument(random))
  return { metadata: readMetadata(document), document, version: head.count - 1, tombstone }
}

/** Returns the events that the log already holds under ids of the requests, sometimes with the same content. */
function knownEvents(
  random: Random,
  requests: readonly WriteRequest[],
  ids: readonly Buffer[]
): CommitSnapshot['known'] {
  const known = new Map<string, { position: number; bytes: Buffer }>()
  const keep = ({ stream, record }: NewEvent, id: Buffer) => {
    const position = random.int(0, NEXT - 1)
    const bytes = Buffer.from(record.bytes)
    const place = { number: random.int(0, 4), created: NOW - 1000 }
    sealRecord({ bytes, payloadCrc: record.payloadCrc ?? 0 }, positionKey(position), place, LOG_ID)
    known.set(eventKey(stream, id), { position, bytes })
  }
  const sent = requests.flatMap((one) => (one.kind === 'delete' ? [] : one.events))
  for (const one of random.chance(0.6) ? sent : chosen(random, sent)) {
    if (one.id === undefined || random.chance(0.3)) continue
    keep(random.chance(0.8) ? one : event(random, one.stream, ids, 1), one.id)
  }
  return known
}

export function randomCommit(random: Random): RandomCommit {
  const ids = Array.from({ length: 3 }, () => random.bytes(16))
  const requests = Array.from({ length: random.int(1, 5) }, () => request(random, ids))
  const heads = new Map(STREAMS.map((stream) => [stream, random.pick([null, { count: random.int(1, 3) }])]))
  const streams = chosen(random, ORIGINALS).filter(() => random.chance(0.6))
  const found = () => random.pick<Match | LookAgain | undefined>([undefined, { position: 7, type: 'T' }, LOOK_AGAIN])
  const rows = requests.map((one, i) => [i, one.kind === 'append' && one.matches?.map(found)] as const)
  const matches = new Map(
    rows.filter((row): row is [number, (Match | LookAgain | undefined)[]] => Array.isArray(row[1]))
  )
  const version = (login: string) =>
    login === 'guest' ? random.pick([null, null, null, 1]) : random.pick([3, 3, 3, 4, null])
  return {
    snapshot: {
      next: NEXT,
      lastCreated: NOW + random.pick([-5000, 0, 5000]),
      heads,
      states: new Map(streams.map((stream) => [stream, stateOf(random, heads.get(metastreamOf(stream)))])),
      settings: readSettings(bytesOrNone(settingsDocument(random)), random.chance(0.5)),
      matches,
      known: knownEvents(random, requests, ids),
      reservedIds: new Set(random.chance(0.1) ? [random.pick(ids).toString('latin1')] : []),
      accounts: new Map(LOGINS.map((login) => [login, version(login)])),
      tokens: new Map(TOKENS.map((id) => [id, random.chance(0.8)]))
    },
    requests,
    instant: NOW
  }
}
