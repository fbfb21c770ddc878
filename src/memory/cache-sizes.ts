/** What each cache may hold of the memory budget, bytes. */
import { limits } from '../limits.js'

export interface CacheSizes {
  /** One of LevelDB's memtables. The log and the index have two each. */
  readonly memtable: number
  /** Uncompressed blocks of the log's tables, and of the index's. */
  readonly logBlocks: number
  readonly indexBlocks: number
  /** The last records written. */
  readonly recentRecords: number
  /** States of streams with metadata. */
  readonly streamStates: number
  /** What expressions have answered for names. */
  readonly expressionAnswers: number
  /** Pages and single events as they are sent. */
  readonly renderedPages: number
  readonly renderedEvents: number
}

const MEMTABLES = 4

/** @param bytes what all caches may hold together */
export function cacheSizesOf(bytes: number): CacheSizes {
  const part = (of176: number) => Math.floor((bytes * of176) / 176)
  return {
    // A larger memtable only makes starts slower: they replay it.
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

/** The sizes with the usual budget: for commands that open a directory by themselves. */
export const usualCacheSizes = cacheSizesOf(176 * 1024 * 1024)
