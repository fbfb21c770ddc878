/** The parts of hostile requests: valid ones, and invalid ones to put in their place. */
import type { Random } from './random.js'

export interface HostileRequest {
  method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS'
  url: string
  headers: Record<string, string>
  payload?: Buffer
  /** The name of its generator, for messages. */
  kind: string
}

export type RequestParts = Omit<HostileRequest, 'kind'>

export const MEMBERS = ['type', 'id', 'occurred', 'tags', 'data', 'metadata', 'stream']

export const NAMES_OF_OBJECTS = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'then']

export const CURSORS = [
  '0',
  '-1',
  '-2',
  '1e3',
  '9007199254740991',
  '9007199254740993',
  '٣',
  'start',
  'end',
  'NaN',
  '0x10',
  ' 1',
  ''
]

export const HEADER_VALUES = [
  '', '*', '"0"', '"1;x"', 'W/"0"', '0', '"', '""', '"-1"', '"0", "1"', '*, "0"', '"99999999999999999999"', '-1', '-2', '-3', '-4',
  '1e3', 'constructor', '__proto__', 'toString', 'null', 'gzip', 'gzip, br', 'br;q=0', 'identity', 'application/json',
  'application/json; charset=utf-16', 'APPLICATION/JSON', 'application/json;q=0', 'application/x-ndjson', 'text/plain',
  'text/', 'text/a b', '/', ';', 'application/xml', 'application/octet-stream', 'application/problem+json', 'image/png', '*/*',
  'application/vnd.eventstore.events+json', 'application/vnd.eventstore.atom+json', 'multipart/form-data; boundary=x',
  'application/x-www-form-urlencoded', 'text/event-stream', 'text/html', 'return=minimal', 'return=representation',
  'return=nonsense', 'wait=abc', 'return=minimal, return=representation', 'http://evil.example', 'null', 'file://', 'http://',
  'bytes=0-1', '5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11', '{"$correlationId":"c"}', '{"a":', '[1', 'websocket', 'h2c', 'T'
] // biome-ignore format: a table

const TEXTS = [
  '', ' ', '.', '..', '/', '//', '\\', '\u0000', '\u0007', '\n', 'a\r\nX: y', '\u0085', '\u2028', '\ufeff', '\ufffe', '\ud800',
  '\udc00a', '😀', 'é', 'e\u0301', '漢字', '$', '$$', '$$s-1', '$all', '$ce-', '$ce-s', '$et-', '$streams', '-', '-1', 's-1', '%', '%00',
  '%s', '{{x}}', '<script>', '"', "'", "' OR 1=1", '__proto__', 'constructor', 'toString', 'hasOwnProperty', 'null', 'NaN',
  '1e999', '-0', 'true', '[object Object]', 'yesterday', '2026-02-31', '2026-11-23T10:15:30Z', '2026-11-23T10:15:30.123456789123Z',
  '5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11', '5C1F7F3E8A5B4A579D0B2A1D6E0F9C11', 'urn:uuid:5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11'
] // biome-ignore format: a table

export function hostileText(random: Random): string {
  if (random.chance(0.85)) return random.pick(TEXTS)
  const length = random.pick([5, 100, 255, 256, 257, 1023, 1024, 1025, 5000])
  return random.pick(['x', 'é', '漢', '😀', '\u0001', '-', '%', '/']).repeat(length)
}

export function hostileValue(random: Random, depth: number): unknown {
  if (depth < 3 && random.chance(0.25)) return list(random, 0, 4, () => hostileValue(random, depth + 1))
  if (depth < 3 && random.chance(0.25)) {
    return Object.fromEntries(
      list(random, 0, 3, () => [
        random.pick([...MEMBERS, ...NAMES_OF_OBJECTS, ...TEXTS]),
        hostileValue(random, depth + 1)
      ])
    )
  }
  return random.chance(0.6)
    ? hostileText(random)
    : random.pick([null, true, false, 0, -0, -1, 1.5, 1e21, 2 ** 53, 1e308, Number.MIN_VALUE, [], {}, '', [[]], [{}]])
}

export function goodEvent(random: Random): Record<string, unknown> {
  return {
    type: random.pick(['T', 'ItemAdded', 'größe', 'a"b\\c']),
    ...(random.chance(0.3) && { id: random.uuid() }),
    ...(random.chance(0.3) && { occurred: '2026-11-23T10:15:29.5+01:00' }),
    ...(random.chance(0.3) && { tags: ['customer:ann', `t:${random.int(0, 9)}`] }),
    ...(random.chance(0.8) && {
      data: { i: random.int(0, 1e6), text: random.pick(['a', '"', 'é', '\n']), list: [1, null] }
    }),
    ...(random.chance(0.3) && { metadata: { $correlationId: 'c-1' } })
  }
}

/** Corrupts one to three places, often with bytes that have a meaning in JSON. */
export function mutateBytes(random: Random, good: Buffer): Buffer {
  let bytes = Buffer.from(good)
  for (let i = random.int(1, 3); i > 0 && bytes.length > 0; i--) {
    const at = random.int(0, bytes.length - 1)
    const length = random.int(1, 8)
    const before = bytes.subarray(0, at)
    switch (random.int(0, 6)) {
      case 0: // flip a bit
        bytes[at] = (bytes[at] as number) ^ (1 << random.int(0, 7))
        break
      case 1: // remove bytes
        bytes = Buffer.concat([before, bytes.subarray(at + length)])
        break
      case 2: // repeat bytes
        bytes = Buffer.concat([bytes.subarray(0, Math.min(at + length, bytes.length)), bytes.subarray(at)])
        break
      case 3: // cut off the rest
        bytes = Buffer.from(before)
        break
      case 4: // insert a token
        bytes = Buffer.concat([before, Buffer.from(random.pick(STRUCTURE)), bytes.subarray(at)])
        break
      case 5: // insert noise
        bytes = Buffer.concat([before, random.bytes(length), bytes.subarray(at)])
        break
      default: // replace a byte by one with a meaning
        bytes[at] = random.pick(STRUCTURE).charCodeAt(0)
    }
  }
  return bytes
}

const STRUCTURE = [
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '"',
  '\\',
  '\n',
  '\u0000',
  '/*',
  '//',
  "'",
  'NaN',
  '-',
  '1e',
  '\\u',
  '\\ud800',
  'null',
  '"":0,'
]

export function json(): Record<string, string> {
  return { 'content-type': 'application/json' }
}

export function goodStream(random: Random): string {
  return `s-${random.int(0, 9)}`
}

export function streamUrl(random: Random): string {
  return `/streams/${goodStream(random)}`
}

/** Returns a header value that a socket can carry: latin1, no line breaks. */
export function headerText(random: Random): string {
  return Buffer.from(hostileText(random))
    .toString('latin1')
    .replace(/[\u0000-\u0008\u000a-\u001f\u007f]/g, '?')
}

/** Returns the text without characters that would end the target or begin another part of it. */
export function urlText(text: string): string {
  return Buffer.from(text)
    .toString('latin1')
    .replace(/[^!-~]|[?#]/g, '')
}

export function wellFormed(text: string): string {
  return text.isWellFormed() ? text : text.toWellFormed()
}

export function bytesOf(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value) ?? '')
}

export function list<T>(random: Random, least: number, most: number, make: () => T): T[] {
  return Array.from({ length: random.int(least, most) }, make)
}
