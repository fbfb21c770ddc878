/**
 * The memory budget: the bytes that requests and caches may use together, in addition to the idle process. Its shares
 * are fixed, so that no kind of work can starve another.
 */
import { limits } from '../limits.js'
import type { Clock } from '../time/clock.js'
import { type CacheSizes, cacheSizesOf } from './cache-sizes.js'
import { MemoryShare } from './memory-share.js'

/** Shares of the budget, in 32nds. */
const PARTS = { caches: 11, bodies: 6, appends: 6, reads: 3, largeReads: 6 } as const

export class MemoryBudget {
  readonly bytes: number
  /** Request bodies until they are parsed. */
  readonly bodies: MemoryShare
  /** Events and conditions of appends until the appends are answered. */
  readonly appends: MemoryShare
  /** Records that are read, pages built from them, and responses that clients have not received yet. */
  readonly reads: MemoryShare
  /** The same for reads of more than `read_bytes`. */
  readonly largeReads: MemoryShare
  /** Size limit of each cache. */
  readonly caches: CacheSizes

  /** @param bytes at least `memory_bytes_min`. Default `memory_bytes_default_max` */
  constructor(clock: Clock, bytes: number = limits.memory_bytes_default_max) {
    const share = (part: keyof typeof PARTS) => Math.floor((bytes * PARTS[part]) / 32)
    this.bytes = bytes
    this.bodies = new MemoryShare('request bodies', share('bodies'), clock)
    this.appends = new MemoryShare('waiting appends', share('appends'), clock)
    this.reads = new MemoryShare('reads and answers', share('reads'), clock)
    this.largeReads = new MemoryShare('large reads and answers', share('largeReads'), clock)
    this.caches = cacheSizesOf(share('caches'))
  }

  /** Bytes reserved by requests now. Caches are not counted: their sizes are limited separately. */
  get used(): number {
    return this.bodies.used + this.appends.used + this.reads.used + this.largeReads.used
  }
}
