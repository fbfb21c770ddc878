/** Loads that request long responses and read nothing: the connection stays open, and its socket is never read. */
import { setTimeout as sleep } from 'node:timers/promises'
import { exchange, HeldConnections, Tally } from './hostile-client.js'
import type { HostileLoad } from './hostile-load.js'
import { LARGE_BYTES, LARGE_EVENTS, largeText } from './hostile-stores.js'
import { ATOM, NDJSON } from './large-reads.js'

/** Time during which the server may read ahead for connections that receive nothing, milliseconds. */
const UNREAD_MS = 10_000
/** Number of connections opened at a time, because a server's queue for new connections is short. */
const AT_ONCE = 50
const APPENDS = 20

/** @param lines of the i-th request, without `Host` */
async function openAll(held: HeldConnections, count: number, lines: (i: number) => string[]): Promise<void> {
  for (let first = 0; first < count; first += AT_ONCE) {
    const some = Math.min(AT_ONCE, count - first)
    await Promise.all(Array.from({ length: some }, (_, i) => held.open(lines(first + i), false)))
  }
}

function unread(count: number, what: string, lines: (i: number) => string[]): HostileLoad {
  return {
    what: `${count} × ${what}, nothing read`,
    content: 'large',
    attack: async ({ url }) => {
      const held = new HeldConnections(url)
      await openAll(held, count, lines)
      await sleep(UNREAD_MS)
      return held.text
    }
  }
}

/** Pages of 8 MiB with different events, so that no page comes from the cache. */
function pageOf(i: number, accept: string, query: string): string[] {
  return [`GET /streams/big?from=${(i * 2) % LARGE_EVENTS}&${query} HTTP/1.1`, `Accept: ${accept}`]
}

function live(kind: 'sse' | 'websocket', query: string): string[] {
  const get = `GET /streams/${query} HTTP/1.1`
  if (kind === 'sse') return [get, 'Accept: text/event-stream']
  return [
    get,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Protocol: daybook.v1'
  ]
}

/** Readers that follow a stream to which large events are appended. */
function following(kind: 'sse' | 'websocket', count: number): HostileLoad {
  return {
    what: `${count} × ${kind} on a stream, nothing read, while ${APPENDS} events of 4 MiB are appended`,
    content: 'small',
    attack: async ({ url }) => {
      const held = new HeldConnections(url)
      const appends = new Tally()
      const body = `{"type":"Big","data":${largeText(LARGE_BYTES)}}`
      const headers = { 'content-type': 'application/json' }
      await openAll(held, count, () => live(kind, 'hot?from=start'))
      await sleep(1000)
      for (let i = 0; i < APPENDS; i++) {
        appends.add((await exchange(url, { path: '/streams/hot', method: 'POST', headers, body })).status)
      }
      await sleep(UNREAD_MS)
      return `appends ${appends.text}; readers ${held.text}`
    },
    isRight: (outcome) => outcome.startsWith(`appends ${APPENDS} × 201;`)
  }
}

/** Readers that begin at the first of many large events. */
function catchingUp(kind: 'sse' | 'websocket', count: number): HostileLoad {
  return unread(count, `${kind} from the start of 4 MiB events`, () => live(kind, 'big?from=start'))
}

export const unreadAnswers = {
  'unread-pages': unread(60, 'GET a page of 8 MiB', (i) => pageOf(i, 'application/json', 'limit=2')),
  'unread-pages-500': unread(500, 'GET a page of 8 MiB', (i) => pageOf(i, 'application/json', 'limit=2')),
  'unread-ndjson': unread(60, 'GET NDJSON', (i) => pageOf(i, NDJSON, 'limit=4096')),
  'unread-ndjson-500': unread(500, 'GET NDJSON', (i) => pageOf(i, NDJSON, 'limit=4096')),
  'unread-atom': unread(60, 'GET an Atom page', (i) => pageOf(i, ATOM, 'embed=body')),
  'unread-atom-500': unread(500, 'GET an Atom page', (i) => pageOf(i, ATOM, 'embed=body')),
  'unread-events': unread(500, 'GET an event of 4 MiB', (i) => [`GET /streams/big/${i % LARGE_EVENTS} HTTP/1.1`]),
  'unread-sse': following('sse', 100),
  'unread-websocket': following('websocket', 100),
  'unread-sse-catchup': catchingUp('sse', 100),
  'unread-websocket-catchup': catchingUp('websocket', 100)
} satisfies Record<string, HostileLoad>
