/**
 * A block of a table as LevelDB 1.20 writes it: entries in key order, the offsets of those that spell their key out (the
 * restarts), their number; then, outside what a handle counts, a byte for the compression and a masked CRC-32C.
 *
 * An entry is three varints (bytes shared with the key before, further bytes of the key, bytes of the value), those bytes
 * of the key, and the value. Keys of blocks are internal keys: the user's key and 8 bytes, of the sequence number and the kind.
 */
import { crc32c, maskCrc } from './crc32c.js'
import { expand } from './snappy.js'
import { readVarint, varints } from './varint.js'

/** The compression and the checksum behind a block. */
export const BLOCK_TRAILER_BYTES = 5
/** Sequence number and kind at the end of each internal key. LevelDB ends the process over a key that is shorter. */
export const KEY_TRAILER_BYTES = 8
const PLAIN = 0
const SNAPPY = 1

/** Where a block stands in its file. `size` leaves the trailer out. */
export interface BlockHandle {
  readonly offset: number
  readonly size: number
}

/** @returns undefined when there is no handle */
export function readHandle(bytes: Uint8Array, from: number, to: number): (BlockHandle & { end: number }) | undefined {
  const offset = readVarint(bytes, from, to)
  const size = offset && readVarint(bytes, offset.end, to)
  return size && { offset: (offset as { value: number }).value, size: size.value, end: size.end }
}

export interface BlockEntry {
  /** The internal key. */
  readonly key: Buffer
  readonly value: Buffer
}

/** True when the trailer fits what stands before it. @param stored a block with its trailer */
export function isWholeBlock(stored: Buffer): boolean {
  const end = stored.length - BLOCK_TRAILER_BYTES
  return end >= 0 && maskCrc(crc32c(stored, 0, end + 1)) === stored.readUInt32LE(end + 1)
}

/** The content of a block, expanded. @param stored with its trailer @returns undefined when it cannot be expanded */
export function expandedBlock(stored: Buffer): Buffer | undefined {
  const end = stored.length - BLOCK_TRAILER_BYTES
  if (end < 0) return undefined
  if (stored[end] === PLAIN) return stored.subarray(0, end)
  return stored[end] === SNAPPY ? expand(stored, 0, end)?.content : undefined
}

/** Where the entries of a block end and its restarts begin. @returns undefined when it says something impossible */
export function restartsOf(content: Buffer): { from: number; count: number } | undefined {
  if (content.length < 4) return undefined
  const count = content.readUInt32LE(content.length - 4)
  const from = content.length - 4 * (count + 1)
  return count === 0 || from < 0 ? undefined : { from, count }
}

/**
 * The entry at an offset. @param before the key of the entry before it @param to where the entries end
 * @returns undefined when no entry can stand there
 */
export function entryAt(
  content: Buffer,
  at: number,
  to: number,
  before: Buffer
): (BlockEntry & { end: number }) | undefined {
  const shared = readVarint(content, at, to)
  const own = shared && readVarint(content, shared.end, to)
  const size = own && readVarint(content, own.end, to)
  if (size === undefined) return undefined
  const sharedBytes = (shared as { value: number }).value
  const ownBytes = (own as { value: number }).value
  const valueAt = size.end + ownBytes
  const end = valueAt + size.value
  if (end > to || sharedBytes > before.length || sharedBytes + ownBytes < KEY_TRAILER_BYTES) return undefined
  const added = content.subarray(size.end, valueAt)
  const key = sharedBytes === 0 ? added : Buffer.concat([before.subarray(0, sharedBytes), added])
  return { key, value: content.subarray(valueAt, end), end }
}

/**
 * The entries of a whole block, in order.
 * @returns undefined when it is not one: LevelDB would end the process over it, or over its keys
 */
export function blockEntries(content: Buffer): BlockEntry[] | undefined {
  const restarts = restartsOf(content)
  if (restarts === undefined) return undefined
  const entries: BlockEntry[] = []
  let before: Buffer = Buffer.alloc(0)
  for (let at = 0; at < restarts.from; ) {
    const entry = entryAt(content, at, restarts.from, before)
    if (entry === undefined) return undefined
    entries.push(entry)
    before = entry.key
    at = entry.end
  }
  return entries
}

/** A block with its trailer, in which every entry spells its key out. @param entries in key order */
export function sealedBlock(entries: readonly BlockEntry[]): Buffer {
  const parts: Buffer[] = []
  const restarts: number[] = []
  let at = 0
  for (const { key, value } of entries) {
    const head = varints(0, key.length, value.length)
    restarts.push(at)
    parts.push(head, key, value)
    at += head.length + key.length + value.length
  }
  if (restarts.length === 0) restarts.push(0)
  const tail = Buffer.alloc(4 * (restarts.length + 1) + BLOCK_TRAILER_BYTES)
  for (const [i, offset] of restarts.entries()) tail.writeUInt32LE(offset, 4 * i)
  tail.writeUInt32LE(restarts.length, 4 * restarts.length)
  const stored = Buffer.concat([...parts, tail])
  const end = stored.length - BLOCK_TRAILER_BYTES
  stored[end] = PLAIN
  stored.writeUInt32LE(maskCrc(crc32c(stored, 0, end + 1)), end + 1)
  return stored
}
