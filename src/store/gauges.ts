/** Gauges in the metrics for the parts that every store has. */
import type { Log } from '../log/log.js'
import type { ReadOnlyMode } from '../log/read-only-mode.js'
import type { TableGuard } from '../log/tables/table-guard.js'
import type { MemoryBudget } from '../memory/memory-budget.js'
import type { Metrics } from '../metrics.js'
import type { ClockWatch } from '../time/clock-watch.js'
import type { Writer } from '../writing/writer.js'

interface GaugeParts {
  readonly log: Log
  readonly writer: Writer
  readonly readOnlyMode: ReadOnlyMode
  readonly clockWatch: ClockWatch
  readonly tables: TableGuard
  readonly memory: MemoryBudget
}

const SHARES = ['bodies', 'appends', 'reads', 'largeReads'] as const

export function addGauges(
  metrics: Metrics,
  { log, writer, readOnlyMode, clockWatch, tables, memory }: GaugeParts
): void {
  metrics.gauge('daybook_append_queue', 'Appends waiting for the next commit', () => writer.queued)
  metrics.gauge('daybook_read_only', '1 while the store is read-only', () => (readOnlyMode.why ? 1 : 0))
  metrics.gauge('daybook_log_head', 'Position of the last event, -1 when there is none', () => log.head)
  const behind = 'How far the clock is behind the last event, 0 when it is not'
  metrics.gauge('daybook_clock_behind_seconds', behind, () => clockWatch.behindMs / 1000)
  const jump = 'The last jump of the system clock, negative when it went back, 0 when there was none'
  metrics.gauge('daybook_clock_jump_seconds', jump, () => clockWatch.jumpMs / 1000)
  metrics.gauge('daybook_memory_budget_bytes', 'The memory budget (--memory)', () => memory.bytes)
  for (const share of SHARES) {
    const { name, bytes } = memory[share]
    const metric = `daybook_memory_${share === 'largeReads' ? 'large_reads' : share}`
    metrics.gauge(`${metric}_bytes`, `Memory in use for ${name}, of ${bytes}`, () => memory[share].used)
    metrics.gauge(`${metric}_waiting`, `Requests waiting for memory for ${name}`, () => memory[share].waiting)
  }
  const checked = 'Unix time of the last complete check of all database tables, 0 when there was none'
  metrics.gauge('daybook_tables_checked_timestamp_seconds', checked, () => tables.passed / 1000)
  const damaged = 'Damaged tables of the log and the checkpoints that were moved out of the databases'
  metrics.gauge('daybook_tables_damaged', damaged, () => tables.damaged)
}
