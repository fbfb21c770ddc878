/**
 * A block of a table of LevelDB 1.20. Integers are little-endian.
 *
 *   entries       in key order
 *   restarts      u32 each: offsets of the entries that store their key in full, rising from 0
 *   u32           number of restarts
 *   trailer, not counted in the size of a handle:
 *     u8          compression: 0 none, 1 Snappy
 *     u32         masked CRC-32C of the block and the compression byte
 *
 * An entry is three varints (bytes shared with the key before, further bytes of the key, bytes of the value), then the
 * further bytes of the key, then the value. Keys are internal keys: the user key, then 8 bytes of kind (u8) and
 * sequence number (u56).
 */
import { crc32c, maskCrc } from './crc32c.js'
import { expand } from './snappy.js'
import { readVarint, varints } from './varint.js'

/** Size of the trailer of a block: compression and checksum. */
export const BLOCK_TRAILER_BYTES = 5
/** Size of the trailer of an internal key: kind and sequence number. LevelDB ends the process if a key is shorter. */
export const KEY_TRAILER_BYTES = 8
const PLAIN = 0
const SNAPPY = 1

/** The place of a block in its file. `size` does not include the trailer. */
export interface BlockHandle {
  readonly offset: number
  readonly size: number
}

/**
 * Decodes a handle: two varints, offset and size.
 * @returns undefined when the bytes from `from` to `to` are no handle
 */
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

/** True when the checksum in the trailer matches the block. @param stored a block with its trailer */
export function isWholeBlock(stored: Buffer): boolean {
  const end = stored.length - BLOCK_TRAILER_BYTES
  return end >= 0 && maskCrc(crc32c(stored, 0, end + 1)) === stored.readUInt32LE(end + 1)
}

/**
 * Returns the decompressed content of a block; undefined when it cannot be decompressed.
 * @param stored a block with its trailer
 */
export function expandedBlock(stored: Buffer): Buffer | undefined {
  const end = stored.length - BLOCK_TRAILER_BYTES
  if (end < 0) return undefined
  if (stored[end] === PLAIN) return stored.subarray(0, end)
  return stored[end] === SNAPPY ? expand(stored, 0, end)?.content : undefined
}

/**
 * Returns the offset of a block's restarts, where its entries end, and their number; undefined when they are invalid.
 */
export function restartsOf(content: Buffer): { from: number; count: number } | undefined {
  if (content.length < 4) return undefined
  const count = content.readUInt32LE(content.length - 4)
  const from = content.length - 4 * (count + 1)
  return count === 0 || from < 0 ? undefined : { from, count }
}

/**
 * Decodes the entry at an offset.
 * @param to offset at which the entries end
 * @param before key of the preceding entry
 * @returns undefined when there is no valid entry
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
 * Returns the entries of a block, in order; undefined when the content is invalid. LevelDB would end the process when
 * it reads such a block.
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

/** Encodes an uncompressed block with its trailer. Each entry stores its key in full. @param entries in key order */
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
