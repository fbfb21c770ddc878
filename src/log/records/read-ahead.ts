/** Reads many records in chunks, with read-ahead: the next chunk is read while the caller processes the current one. */
import type { SharedTurns } from '../../time/turns.js'
import type { StoredRecord } from '../format.js'
import type { RecordSizes } from './record-sizes.js'

/** Most records that a scan requests from LevelDB at once. */
export const SCAN_CHUNK = 256
/** Most bytes of a chunk, unless a single record is larger. */
export const READ_BYTES = 1024 * 1024
/**
 * Most bytes of large records that all readers together get in one turn of the event loop. A larger record gets a turn
 * of its own.
 */
export const TURN_BYTES = 256 * 1024

export interface ReadAheadOptions {
  /**
   * Records that the caller expects to need. Beyond this number, a chunk is read only on request. Default: no limit.
   */
  readonly wanted?: number
  /** Most bytes of a chunk. Default: `READ_BYTES`. */
  readonly bytes?: number
  /**
   * Called before a chunk is read, to reserve memory: with an upper bound of the bytes of this chunk and the one
   * before. The chunk is read when the returned promise resolves.
   */
  readonly reserve?: ((bytes: number) => Promise<void> | undefined) | undefined
}

interface RecordSource {
  readonly sizes: Pick<RecordSizes, 'learn' | 'boundOf' | 'countWithin' | 'wasRead'>
  /** Turns of the event loop shared by all readers, `TURN_BYTES` each. */
  readonly turns: Pick<SharedTurns, 'take'>
  /** Reads the records at these positions, in the same order. @throws DaybookError `log-damaged` */
  readMany(positions: readonly number[]): Promise<StoredRecord[]>
}

/**
 * Yields the records at the given positions in chunks. The next chunk is read while the caller processes the current
 * one. The bytes of a chunk are bounded, so that large events do not fill the memory.
 * @throws DaybookError `log-damaged`; any error of `reserve`
 */
export async function* readAhead(
  source: RecordSource,
  chunks: AsyncIterable<number[]> | Iterable<number[]>,
  { wanted = Infinity, bytes = READ_BYTES, reserve }: ReadAheadOptions = {}
): AsyncGenerator<StoredRecord[]> {
  const { sizes } = source
  let ahead: Promise<StoredRecord[]> | undefined
  let held = 0
  let asked = 0
  for await (const positions of chunks) {
    const unknown = sizes.learn(positions)
    if (unknown !== undefined) await unknown
    for (let at = 0; at < positions.length; ) {
      const count = sizes.countWithin(positions, at, bytes)
      const some = at === 0 && count >= positions.length ? positions : positions.slice(at, at + count)
      const bound = sizes.boundOf(some)
      // No read-ahead for large records: the caller processes one before memory for the next is reserved.
      if (ahead !== undefined && (asked >= wanted || bound + held > 2 * bytes)) {
        yield await ahead
        ahead = undefined
        held = 0
      }
      at += some.length
      asked += some.length
      const reserved = reserve?.(bound + held)
      if (reserved !== undefined) await reserved
      const records = readWithin(source, some, bound)
      records.catch(() => {}) // thrown later, when the promise is awaited
      if (ahead !== undefined) yield await ahead
      ahead = records
      held = bound
    }
  }
  if (ahead !== undefined) yield await ahead
}

async function readWithin(source: RecordSource, positions: number[], bound: number): Promise<StoredRecord[]> {
  const records = await source.readMany(positions)
  let bytes = 0
  for (const record of records) bytes += record.bytes.length
  source.sizes.wasRead(bound, bytes)
  // Cached records are read without yielding to the event loop. If each reader yielded by itself, all of them would
  // still run in the same turn, and a thousand readers of large records would block the event loop for seconds.
  const turn = bytes >= TURN_BYTES ? source.turns.take(bytes) : undefined
  if (turn !== undefined) await turn
  return records
}

/** Yields the positions from `from` to `to`, both included, in chunks; falling when `to` is below `from`. */
export function* rangeChunks(from: number, to: number, size = SCAN_CHUNK): Generator<number[]> {
  const step = to < from ? -1 : 1
  for (let next = from; (to - next) * step >= 0; ) {
    const positions: number[] = []
    while (positions.length < size && (to - next) * step >= 0) {
      positions.push(next)
      next += step
    }
    yield positions
  }
}
