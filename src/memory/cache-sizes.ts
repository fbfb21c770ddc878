/** Divides the caches' part of the memory budget among the caches. */
import { limits } from '../limits.js'

/** Sizes in bytes. */
export interface CacheSizes {
  /** One LevelDB memtable. The log and the index have two each. */
  readonly memtable: number
  /** Uncompressed blocks of the log's tables. */
  readonly logBlocks: number
  /** Uncompressed blocks of the index's tables. */
  readonly indexBlocks: number
  /** The most recently written records. */
  readonly recentRecords: number
  /** States of streams with metadata. */
  readonly streamStates: number
  /** Cached answers of expressions for names. */
  readonly expressionAnswers: number
  /** Rendered responses of pages, and of single events. */
  readonly renderedPages: number
  readonly renderedEvents: number
}

const MEMTABLES = 4

/** Returns the sizes of the caches. @param bytes total for all caches */
export function cacheSizesOf(bytes: number): CacheSizes {
  const part = (of176: number) => Math.floor((bytes * of176) / 176)
  return {
    // A larger memtable only slows down starts, which replay it.
    memtable: Math.min(limits.write_buffer_bytes, part(64) / MEMTABLES),
    logBlocks: part(32),
    indexBlocks: part(16),
    recentRecords: part(8),
    streamStates: part(8),
    expressionAnswers: part(8),
    renderedPages: part(24),
    renderedEvents: part(16)
  }
}

/** Sizes for the default budget, used by commands that open a directory without a server. */
export const usualCacheSizes = cacheSizesOf(176 * 1024 * 1024)
