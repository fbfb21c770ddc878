/**
 * Salvages records from a damaged table of the log. Each record has a checksum of its own that covers its position, so
 * a record can be recognised wherever it is found.
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

/** Kind of an internal key that stores a value, as opposed to a deletion. */
const VALUE = 1
const NO_KEY = Buffer.alloc(0)

/** What the manifest says about the records of the table. */
export interface SalvageBounds {
  /** Positions from the first to the last key of the table. */
  readonly range: PositionRange
  /** Highest sequence number in the database. */
  readonly lastSequence: number
}

/** Returns the undamaged records of a damaged block, and the log meta if it is in the block, in key order. */
export function intactRecords(stored: Buffer, bounds: SalvageBounds): BlockEntry[] {
  const content = expandedBlock(stored) ?? stored.subarray(0, -BLOCK_TRAILER_BYTES)
  const restarts = restartsOf(content)
  const to = restarts?.from ?? content.length
  const found = new Map<number, BlockEntry>()
  // Keys share a prefix with the key before. A damaged key makes the following ones unreadable up to the next restart,
  // where a key is stored in full. So reading starts again at each restart.
  const starts = [0]
  for (let i = 1; i < (restarts?.count ?? 0); i++) starts.push(content.readUInt32LE(to + 4 * i))
  const seen = new Set<number>()
  for (const start of starts) {
    let before: Buffer = NO_KEY
    for (let at = start; at < to && !seen.has(at); ) {
      const entry = entryAt(content, at, to, before)
      if (entry === undefined) break
      const position = intactPosition(entry, bounds.range)
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

/**
 * Returns the position of an undamaged record in the range, -1 for the undamaged log meta, undefined for anything else.
 */
export function intactPosition({ key, value }: BlockEntry, { first, last }: PositionRange): number | undefined {
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
 * Returns an entry with a valid key trailer. The checksum of a record does not cover the sequence number in the
 * trailer, so it may be damaged; sequence number 0 replaces it then. Any number is correct, because each position is
 * written only once.
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
  /** Bytes without the trailer. */
  readonly size: number
  /** True when the checksum matches. */
  readonly isWhole: boolean
  /** The first entry. */
  readonly head: BlockEntry
  /** Position of the first record, -1 when the block has none. */
  readonly firstPosition: number
  /** Internal key of the last entry. */
  readonly lastKey: Buffer
}

/** A block found without the index of its table. */
export interface FoundBlock extends BlockShape {
  readonly handle: BlockHandle
}

/** Bytes that are read first for a block; quadrupled for a larger block. */
const WINDOW_BYTES = 64 * 1024

/**
 * Finds the data blocks of a table with a damaged index, in order. Each block is expected after the end of the one
 * before. If the end of a block cannot be determined, the next block is searched for: its first key is stored in full.
 * @param range positions that the table can contain
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

/** Returns the uncompressed block at the beginning of these bytes. Its restarts determine its end. */
function plainBlock(bytes: Buffer): BlockShape | undefined {
  let head: BlockEntry | undefined
  let firstPosition = -1
  let lastKey: Buffer = NO_KEY
  let at = 0
  // The entries end at the first restart offset. It is 0, which cannot be read as an entry: the key would be too short.
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

/** Returns the size of a block from its restarts, which begin at `from`: rising offsets from 0, then their number. */
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

/** Returns the undamaged compressed block at the beginning of these bytes. It ends where its content is complete. */
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
/** Longest beginning of a block: BEGINNING, the length of the value (at most 5 bytes), the position (8 bytes). */
const BEGINNING_BYTES = 2 + 5 + 8

/**
 * Returns the offset of the next undamaged uncompressed block; undefined when there is none.
 * @param range positions that the table can contain
 */
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

/** First bytes of a block of records: its first key shares 0 bytes with a key before and has 16 bytes of its own. */
const BEGINNING = Buffer.from([0, 16])
