/**
 * Gives memory back when the server has become idle. V8 collects only while something is allocated: what the last burst
 * of large events left behind would stay for minutes.
 */
import { performance } from 'node:perf_hooks'
import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Clock } from '../../time/clock.js'

const LOOK_EVERY_MS = 5_000
/** The part of that time in which the event loop may have been busy. */
const BUSY_MAX = 0.1
/** Bytes beyond what was in use after the last collection, and what requests hold. */
const GROWN_BYTES = 16 * 1024 * 1024

/** What the collector is asked for and told. */
export interface Heap {
  /** Bytes in use, and those that are dead and not collected. */
  used(): number
  collect(): void
}

/**
 * Collects garbage whenever the event loop has been idle for a while and more memory is in use than after the last time.
 * @returns what ends it
 */
export function collectWhenIdle(clock: Clock, memory: { readonly used: number }, heap: Heap = v8Heap()): () => void {
  let before = performance.eventLoopUtilization()
  /** What is in use beside what requests hold: what they have given back is garbage. */
  const excess = () => heap.used() - memory.used
  let floor = excess()
  let cancel = () => {}
  const look = () => {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, before)
    before = now
    floor = Math.min(floor, excess())
    if (utilization <= BUSY_MAX && excess() > floor + GROWN_BYTES) {
      heap.collect()
      floor = excess()
    }
    cancel = clock.after(LOOK_EVERY_MS, look)
  }
  cancel = clock.after(LOOK_EVERY_MS, look)
  return () => cancel()
}

function v8Heap(): Heap {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  return {
    used() {
      const { used_heap_size, external_memory } = getHeapStatistics()
      return used_heap_size + external_memory
    },
    collect
  }
}
