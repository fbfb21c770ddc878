/**
 * The messages of each live transport (native contract §2, §5): WebSocket frames, SSE blocks, NDJSON lines. Strings are
 * latin1 here, as in all of routes/wire: each character is one byte.
 */
import { serverFrameNames } from '../../../schemas/frames.js'
import { bytesOf } from '../../../src/latin1.js'
import { limits } from '../../../src/limits.js'
import type { ReadResult } from '../../../src/reading/event-read.js'
import type { Redelivery } from '../../../src/subscriptions/connection.js'
import { renderEvent } from '../reading/recorded-event.js'

/**
 * Returns a text frame from a server (RFC 6455 §5.2): final, not masked.
 * @param text one byte per character
 * @param more bytes of the payload that the caller writes after this buffer
 */
export function textFrame(text: string, more = 0): Buffer {
  const length = text.length + more
  const head = length < 126 ? 2 : length < 65_536 ? 4 : 10
  const frame = Buffer.allocUnsafe(head + text.length)
  frame[0] = 0x81
  if (head === 2) frame[1] = length
  else if (head === 4) {
    frame[1] = 126
    frame.writeUInt16BE(length, 2)
  } else {
    frame[1] = 127
    frame.writeBigUInt64BE(BigInt(length), 2)
  }
  frame.write(text, head, 'latin1')
  return frame
}

/** Returns frames that carry events, ready for the socket. @param batch maximum number of events in one frame */
export function eventFrames(events: readonly ReadResult[], batch: number, redelivery: Redelivery | undefined): Buffer {
  const frames: Buffer[] = []
  if (batch === 1) for (const event of events) frames.push(textFrame(eventFrame(event, redelivery)))
  else {
    for (let at = 0; at < events.length; at += batch) {
      const some = events.slice(at, at + batch)
      const cursor = (some.at(-1) as ReadResult).cursor
      const texts = some.map((event) => renderEvent(event, redelivery))
      frames.push(textFrame(`{"frame":"events","cursor":"${cursor}","events":[${texts.join(',')}]}`))
    }
  }
  return frames.length === 1 ? (frames[0] as Buffer) : Buffer.concat(frames)
}

function eventFrame(found: ReadResult, redelivery: Redelivery | undefined): string {
  return `{"frame":"event","cursor":"${found.cursor}","event":${renderEvent(found, redelivery)}}`
}

/**
 * The same as eventFrames, for one of several subscriptions on a socket. Returns the frames in parts; the parts with
 * events are the given buffers, which subscriptions share.
 * @param sub the client's name for the subscription
 * @param tails the events as SharedTails renders them: each followed by the brace that closes its frame
 */
export function namedEventFrames(
  sub: string,
  events: readonly ReadResult[],
  tails: readonly Buffer[],
  batch: number
): Buffer[] {
  const name = bytesOf(JSON.stringify(sub))
  const parts: Buffer[] = []
  if (batch === 1) {
    for (const [i, event] of events.entries()) {
      const tail = tails[i] as Buffer
      parts.push(textFrame(`{"frame":"event","sub":${name},"cursor":"${event.cursor}","event":`, tail.length), tail)
    }
    return parts
  }
  for (let at = 0; at < events.length; at += batch) {
    const cursor = (events.slice(at, at + batch).at(-1) as ReadResult).cursor
    const some = tails.slice(at, at + batch)
    // A list needs the events without the closing brace of their frames, separated by commas.
    const list = some.flatMap((tail, i) => (i === 0 ? [tail.subarray(0, -1)] : [COMMA, tail.subarray(0, -1)]))
    const length = list.reduce((sum, part) => sum + part.length, LIST_END.length)
    const start = `{"frame":"events","sub":${name},"cursor":"${cursor}","events":[`
    parts.push(textFrame(start, length), ...list, LIST_END)
  }
  return parts
}

const COMMA = Buffer.from(',')
const LIST_END = Buffer.from(']}')

/** Returns the text of a frame that carries no events. */
export function plainFrame(frame: string, members: object): string {
  return bytesOf(JSON.stringify({ frame, ...members }))
}

/**
 * Names that are never used as the SSE `event` name of a stored event: the events of an EventSource itself, and the
 * frames of the server on all transports. So a frame that is added to SSE later cannot collide with a stored type.
 */
const RESERVED_NAMES: ReadonlySet<string> = new Set(['open', 'error', 'message', ...serverFrameNames])

/** The SSE `event` field for a type; empty for a reserved name and for a type that cannot be sent on one line. */
function typeField(type: string): string {
  return type === '' || RESERVED_NAMES.has(type) || /[\r\n\0]/.test(type) ? '' : `event: ${type}\n`
}

/**
 * Returns SSE blocks with events. They have no `event` field, so that `onmessage` receives them. `data` precedes `id`:
 * some clients store the id as soon as they read its line, and would skip the event if the connection broke after it.
 * @param typed sends the type of an event as its `event` field, unless the type is a reserved name
 * @param redelivery set if some of the events were sent before
 */
export function eventBlocks(events: readonly ReadResult[], typed: boolean, redelivery: Redelivery | undefined): Buffer {
  let text = ''
  for (const found of events) {
    if (typed) text += typeField(found.record.typeBytes)
    text += `data: ${renderEvent(found, redelivery)}\nid: ${found.cursor}\n\n`
  }
  return Buffer.from(text, 'latin1')
}

/** Returns a named SSE block. @param id cursor for a reconnect; undefined: the client keeps its last one */
export function namedBlock(event: string, content: object, id?: string): string {
  return `event: ${event}\ndata: ${bytesOf(JSON.stringify(content))}\n${id === undefined ? '' : `id: ${id}\n`}\n`
}

/**
 * The heartbeat of SSE: a comment without a blank line. A blank line ends a block, and some clients would deliver an
 * empty event for it, because their parsers do not check for data.
 */
export const HEARTBEAT_COMMENT = ':\n'

/**
 * Returns the SSE field that sets the reconnect delay of an EventSource, in milliseconds. The delay is random, so that
 * the clients of a restarted server do not all reconnect at once.
 */
export function retryField(least: number = limits.live_retry_ms_min, most: number = limits.live_retry_ms_max): string {
  return `retry: ${Math.round(least + Math.random() * (most - least))}\n`
}

/** Returns events as NDJSON, one per line. */
export function eventLines(events: readonly ReadResult[], redelivery: Redelivery | undefined): Buffer {
  let text = ''
  for (const event of events) text += `${renderEvent(event, redelivery)}\n`
  return Buffer.from(text, 'latin1')
}

/** Returns an NDJSON line that carries no event. */
export function plainLine(content: object): string {
  return `${bytesOf(JSON.stringify(content))}\n`
}

/**
 * Renders events once for all subscriptions of a live query. These get the same list object, so that object is the key
 * of the cache. The rendered bytes live as long as the list is referenced.
 */
export class SharedBytes {
  readonly #cache = new WeakMap<readonly ReadResult[], Buffer>()

  of(events: readonly ReadResult[], shared: boolean, render: () => Buffer): Buffer {
    if (!shared) return render()
    let bytes = this.#cache.get(events)
    if (bytes === undefined) {
      bytes = render()
      this.#cache.set(events, bytes)
    }
    return bytes
  }
}

/**
 * Renders the events of a list once, one buffer per event: its JSON and the brace that closes its frame. Cached by list
 * object, as in SharedBytes.
 */
export class SharedTails {
  readonly #cache = new WeakMap<readonly ReadResult[], readonly Buffer[]>()

  of(events: readonly ReadResult[], shared: boolean, redelivery: Redelivery | undefined): readonly Buffer[] {
    const cached = shared ? this.#cache.get(events) : undefined
    if (cached !== undefined) return cached
    const tails = events.map((event) => Buffer.from(`${renderEvent(event, redelivery)}}`, 'latin1'))
    if (shared) this.#cache.set(events, tails)
    return tails
  }
}
