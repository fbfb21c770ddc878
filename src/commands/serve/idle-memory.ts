/**
 * Collects garbage when the server becomes idle. V8 collects only while the program allocates, so the garbage of a
 * burst of large events would stay for minutes.
 */
import { performance } from 'node:perf_hooks'
import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Clock } from '../../time/clock.js'

const CHECK_EVERY_MS = 5_000
/** The server counts as idle if the event loop was busy for at most this fraction of the interval. */
const BUSY_MAX = 0.1
/** Growth since the last collection that justifies another one, bytes. Memory held by requests does not count. */
const GROWN_BYTES = 16 * 1024 * 1024

/** The heap, as the collection at idle sees it. */
export interface Heap {
  /** Returns the bytes on the heap, including garbage that is not collected yet. */
  used(): number
  collect(): void
}

/**
 * Collects garbage when the event loop has been idle for one interval and memory has grown since the last collection.
 * Returns a function that stops it.
 */
export function collectWhenIdle(clock: Clock, memory: { readonly used: number }, heap: Heap = v8Heap()): () => void {
  let before = performance.eventLoopUtilization()
  /** Heap bytes not held by requests. When requests release memory, it becomes garbage and counts here. */
  const excess = () => heap.used() - memory.used
  let floor = excess()
  let cancel = () => {}
  const check = () => {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, before)
    before = now
    floor = Math.min(floor, excess())
    if (utilization <= BUSY_MAX && excess() > floor + GROWN_BYTES) {
      heap.collect()
      floor = excess()
    }
    cancel = clock.after(CHECK_EVERY_MS, check)
  }
  cancel = clock.after(CHECK_EVERY_MS, check)
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
