/**
 * What can still be taken from a damaged table of the log. Every record carries a checksum of its own, over its position
 * too, so a record that is found anywhere is known to be one.
 */
import { decodeLogMeta, isIntact, LOG_META_KEY } from '../format.js'
import { expand } from './format/snappy.js'
import {
  BLOCK_TRAILER_BYTES,
  type BlockEntry,
  type BlockHandle,
  blockEntries,
  entryAt,
  expandedBlock,
  isWholeBlock,
  restartsOf
} from './format/table-block.js'
import type { TableFile } from './format/table-file.js'
import { readVarint } from './format/varint.js'
import { isPosition, type PositionRange, positionFrom, userKey } from './positions.js'

const VALUE = 1
const NO_KEY = Buffer.alloc(0)

/** What the database knows of the table's records. */
export interface SalvageBounds {
  readonly range: PositionRange
  /** No record in it has a higher sequence number. */
  readonly lastSequence: number
}

/** The whole records of a damaged block, and the log's meta when it is among them, in key order. */
export function wholeRecords(stored: Buffer, bounds: SalvageBounds): BlockEntry[] {
  const content = expandedBlock(stored) ?? stored.subarray(0, -BLOCK_TRAILER_BYTES)
  const restarts = restartsOf(content)
  const to = restarts?.from ?? content.length
  const found = new Map<number, BlockEntry>()
  // A damaged key spoils those that share its beginning, up to the next one that is spelled out.
  const starts = [0]
  for (let i = 1; i < (restarts?.count ?? 0); i++) starts.push(content.readUInt32LE(to + 4 * i))
  const seen = new Set<number>()
  for (const start of starts) {
    let before: Buffer = NO_KEY
    for (let at = start; at < to && !seen.has(at); ) {
      const entry = entryAt(content, at, to, before)
      if (entry === undefined) break
      const position = wholePlace(entry, bounds.range)
      if (position !== undefined) {
        seen.add(at)
        if (!found.has(position)) found.set(position, sequenced(entry, bounds.lastSequence))
      }
      before = entry.key
      at = entry.end
    }
  }
  return [...found].sort(([a], [b]) => a - b).map(([, entry]) => entry)
}

/** The position of a record that is whole and in this range, -1 for the meta. */
export function wholePlace({ key, value }: BlockEntry, { first, last }: PositionRange): number | undefined {
  if (!isPosition(key)) return userKey(key).equals(LOG_META_KEY) && isMeta(value) ? -1 : undefined
  const position = positionFrom(key)
  const isHere = userKey(key).length === 8 && position >= first && position <= last
  return isHere && isIntact(position, value) ? position : undefined
}

function isMeta(value: Buffer): boolean {
  try {
    decodeLogMeta(value)
    return true
  } catch {
    return false
  }
}

/**
 * An entry as LevelDB can sort it. The record's checksum does not cover its sequence number, and any does: each position is
 * written once.
 */
function sequenced({ key, value }: BlockEntry, lastSequence: number): BlockEntry {
  const at = key.length - 8
  const sequence = key.readUIntLE(at + 1, 6) // the seventh byte is 0 for the first 2^48 entries
  if (key[at] === VALUE && key[at + 7] === 0 && sequence <= lastSequence) return { key, value }
  const mended = Buffer.from(key)
  mended.fill(0, at)
  mended[at] = VALUE
  return { key: mended, value }
}

interface BlockShape {
  readonly size: number
  readonly isWhole: boolean
  /** Its first entry. */
  readonly head: BlockEntry
  /** Of its first record, -1 when it has none. */
  readonly firstPosition: number
  /** Of its last entry, internal. */
  readonly lastKey: Buffer
}

/** A block that was found without the index. */
export interface FoundBlock extends BlockShape {
  readonly handle: BlockHandle
}

/** Read at first; more where a block is larger. */
const WINDOW_BYTES = 64 * 1024

/**
 * Finds the data blocks of a table whose index is damaged, one after the other from its beginning. Where a block says
 * nothing of its end, the next is searched for: a block begins with a key that is spelled out.
 * @param range of the positions that can stand in it
 */
export async function* findBlocks(file: TableFile, range: PositionRange): AsyncGenerator<FoundBlock> {
  for (let at = 0; at < file.size; ) {
    const found = await blockAt(file, at)
    if (found !== undefined) {
      yield found
      at = found.handle.offset + found.handle.size + BLOCK_TRAILER_BYTES
    } else {
      const next = await nextBeginning(file, at + 1, range)
      if (next === undefined) return
      at = next
    }
  }
}

async function blockAt(file: TableFile, offset: number): Promise<FoundBlock | undefined> {
  for (let length = WINDOW_BYTES; ; length *= 4) {
    const bytes = await file.read(offset, length)
    const found = plainBlock(bytes) ?? packedBlock(bytes)
    if (found !== undefined) return { ...found, handle: { offset, size: found.size } }
    if (bytes.length < length) return undefined
  }
}

/** A block without compression at the beginning of these bytes: it ends where the restarts say that it does. */
function plainBlock(bytes: Buffer): BlockShape | undefined {
  let head: BlockEntry | undefined
  let firstPosition = -1
  let lastKey: Buffer = NO_KEY
  let at = 0
  // The first restart is 0, which no entry can be: its key would be shorter than an internal key.
  for (let entry = entryAt(bytes, at, bytes.length, lastKey); entry !== undefined; ) {
    head ??= entry
    if (firstPosition < 0 && isPosition(entry.key)) firstPosition = positionFrom(entry.key)
    lastKey = entry.key
    at = entry.end
    entry = entryAt(bytes, at, bytes.length, lastKey)
  }
  const size = head && sizeFromRestarts(bytes, at)
  if (head === undefined || size === undefined) return undefined
  const isWhole = isWholeBlock(bytes.subarray(0, size + BLOCK_TRAILER_BYTES))
  return { size, isWhole, head, firstPosition, lastKey }
}

/** The size of a block whose restarts begin here. They rise from 0, and their number follows. */
function sizeFromRestarts(bytes: Buffer, from: number): number | undefined {
  const wordAt = (i: number) => bytes.readUInt32LE(from + 4 * i)
  const words = Math.floor((bytes.length - from - BLOCK_TRAILER_BYTES) / 4)
  if (words < 2 || wordAt(0) !== 0) return undefined
  for (let i = 1; i < words; i++) {
    if (wordAt(i) === i) return from + 4 * (i + 1)
    if (wordAt(i) <= wordAt(i - 1) || wordAt(i) >= from) return undefined
  }
  return undefined
}

/** A whole block with compression at the beginning of these bytes: it ends where its content is complete. */
function packedBlock(bytes: Buffer): BlockShape | undefined {
  const packed = expand(bytes, 0, bytes.length)
  if (packed === undefined || !isWholeBlock(bytes.subarray(0, packed.end + BLOCK_TRAILER_BYTES))) return undefined
  const entries = blockEntries(packed.content) ?? []
  const [head, last] = [entries[0], entries.at(-1)]
  if (head === undefined || last === undefined) return undefined
  const record = entries.find(({ key }) => isPosition(key))
  const firstPosition = record === undefined ? -1 : positionFrom(record.key)
  return { size: packed.end, isWhole: true, head, firstPosition, lastKey: last.key }
}

const SEARCH_BYTES = 1024 * 1024
/** Two bytes for a key that shares none of its 16 bytes, the length of the value, and the position. */
const BEGINNING_BYTES = 2 + 5 + 8

/** Where the next whole block without compression begins. @param range of the positions that can stand in it */
async function nextBeginning(file: TableFile, from: number, range: PositionRange): Promise<number | undefined> {
  for (let offset = from; offset < file.size; offset += SEARCH_BYTES - BEGINNING_BYTES) {
    const bytes = await file.read(offset, SEARCH_BYTES)
    for (let at = bytes.indexOf(BEGINNING); at >= 0; at = bytes.indexOf(BEGINNING, at + 1)) {
      const value = readVarint(bytes, at + 2, Math.min(bytes.length, at + 7))
      if (value === undefined || value.end + 8 > bytes.length) continue
      const position = bytes.readUInt32BE(value.end) * 2 ** 32 + bytes.readUInt32BE(value.end + 4)
      if (position < range.first || position > range.last) continue
      if ((await blockAt(file, offset + at))?.isWhole) return offset + at
    }
  }
  return undefined
}

const BEGINNING = Buffer.from([0, 16])
