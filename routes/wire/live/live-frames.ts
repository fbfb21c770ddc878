/**
 * The messages of each live transport (native contract §2, §5): WebSocket frames, SSE blocks, NDJSON lines. As
 * everywhere on the wire, each character of a text is a byte.
 */
import { serverFrameNames } from '../../../schemas/frames.js'
import { bytesOf } from '../../../src/latin1.js'
import { limits } from '../../../src/limits.js'
import type { ReadResult } from '../../../src/reading/event-read.js'
import type { Redelivery } from '../../../src/subscriptions/connection.js'
import { renderEvent } from '../reading/recorded-event.js'

/**
 * A text frame as a server sends it (RFC 6455 §5.2): final, not masked.
 * @param text a character a byte
 * @param more bytes of the frame that are written after it
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

/** Frames that carry events, ready for the socket. @param batch events in one frame, at most */
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
 * The same for one of several subscriptions on a socket: each frame in parts, of which those with the events are as
 * SharedTails gave them.
 * @param sub the client's name for it
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
    // Between two events stands the brace that ends the tail of the first, and a comma.
    const list = some.flatMap((tail, i) => (i === 0 ? [tail.subarray(0, -1)] : [COMMA, tail.subarray(0, -1)]))
    const length = list.reduce((sum, part) => sum + part.length, LIST_END.length)
    const start = `{"frame":"events","sub":${name},"cursor":"${cursor}","events":[`
    parts.push(textFrame(start, length), ...list, LIST_END)
  }
  return parts
}

const COMMA = Buffer.from(',')
const LIST_END = Buffer.from(']}')

/** A frame that carries no events. */
export function plainFrame(frame: string, members: object): string {
  return bytesOf(JSON.stringify({ frame, ...members }))
}

/**
 * Names that no stored event has in an event stream: those of an EventSource's own events, and those of the server's
 * frames on any transport, so that a frame which comes to event streams later collides with no stored type.
 */
const RESERVED_NAMES: ReadonlySet<string> = new Set(['open', 'error', 'message', ...serverFrameNames])

/** The `event` field that names an event by its type; empty for a type that cannot be told from something else. */
function typeField(type: string): string {
  return type === '' || RESERVED_NAMES.has(type) || /[\r\n\0]/.test(type) ? '' : `event: ${type}\n`
}

/**
 * Blocks of an event stream. Events have no `event` field, so that `onmessage` sees them. `data` stands before `id`:
 * some clients take the id as soon as its line is there, and would pass over an event that breaks off after it.
 * @param typed names them by their type instead, where that is not a reserved name
 * @param redelivery set when some of them were sent before
 */
export function eventBlocks(events: readonly ReadResult[], typed: boolean, redelivery: Redelivery | undefined): Buffer {
  let text = ''
  for (const found of events) {
    if (typed) text += typeField(found.record.typeBytes)
    text += `data: ${renderEvent(found, redelivery)}\nid: ${found.cursor}\n\n`
  }
  return Buffer.from(text, 'latin1')
}

/** A named block. @param id where a reconnect goes on; undefined: where it would have gone on before */
export function namedBlock(event: string, content: object, id?: string): string {
  return `event: ${event}\ndata: ${bytesOf(JSON.stringify(content))}\n${id === undefined ? '' : `id: ${id}\n`}\n`
}

/**
 * A sign of life on an event stream. A blank line would end an event: some clients hand over an empty one for it, as
 * their parsers do not look whether there was any data.
 */
export const HEARTBEAT_COMMENT = ':\n'

/**
 * The field that says how soon an EventSource comes back, milliseconds: a time of its own for each stream, so that the
 * readers of a server that went away do not all come back at once.
 */
export function retryField(least: number = limits.live_retry_ms_min, most: number = limits.live_retry_ms_max): string {
  return `retry: ${Math.round(least + Math.random() * (most - least))}\n`
}

/** An event a line. */
export function eventLines(events: readonly ReadResult[], redelivery: Redelivery | undefined): Buffer {
  let text = ''
  for (const event of events) text += `${renderEvent(event, redelivery)}\n`
  return Buffer.from(text, 'latin1')
}

/** A line that carries no event. */
export function plainLine(content: object): string {
  return `${bytesOf(JSON.stringify(content))}\n`
}

/**
 * Renders events once for all receivers. Readers of one live query get the same list object, so the bytes are kept by
 * that object, for as long as it is referenced.
 */
export class SharedBytes {
  readonly #known = new WeakMap<readonly ReadResult[], Buffer>()

  of(events: readonly ReadResult[], shared: boolean, render: () => Buffer): Buffer {
    if (!shared) return render()
    let bytes = this.#known.get(events)
    if (bytes === undefined) {
      bytes = render()
      this.#known.set(events, bytes)
    }
    return bytes
  }
}

/** As SharedBytes, the events by themselves: each with the brace that ends its frame. */
export class SharedTails {
  readonly #known = new WeakMap<readonly ReadResult[], readonly Buffer[]>()

  of(events: readonly ReadResult[], shared: boolean, redelivery: Redelivery | undefined): readonly Buffer[] {
    const known = shared ? this.#known.get(events) : undefined
    if (known !== undefined) return known
    const tails = events.map((event) => Buffer.from(`${renderEvent(event, redelivery)}}`, 'latin1'))
    if (shared) this.#known.set(events, tails)
    return tails
  }
}
