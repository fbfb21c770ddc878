/** Reading many records: positions in chunks, and the next records read while the caller works on those before. */
import type { SharedTurns } from '../../time/turns.js'
import type { StoredRecord } from '../format.js'
import type { RecordSizes } from './record-sizes.js'

/** How many records a scan asks LevelDB for at once, at most. */
export const SCAN_CHUNK = 256
/** What a scan reads at once has no more bytes than this, unless a single record has. */
export const READ_BYTES = 1024 * 1024
/** Bytes of large records that all readers together are given in one turn of the event loop; a larger one is given alone. */
export const TURN_BYTES = 256 * 1024

/** How far a scan may go, and what it costs. */
export interface ReadAheadOptions {
  /** Records that the caller wants: with so many, nothing more is read before the caller asks for it. */
  readonly wanted?: number
  /** Bytes that are read at once. Default `READ_BYTES`. */
  readonly bytes?: number
  /**
   * Called before records are read, with the most bytes that the scan holds then: those and the records before them.
   * Nothing is read before its promise is fulfilled.
   */
  readonly reserve?: ((bytes: number) => Promise<void> | undefined) | undefined
}

/** Reads the records at these positions, in their order. @throws `log-damaged` */
interface RecordSource {
  readonly sizes: Pick<RecordSizes, 'learn' | 'boundOf' | 'countWithin' | 'wasRead'>
  /** The turns of all readers, `TURN_BYTES` each. */
  readonly turns: Pick<SharedTurns, 'take'>
  readMany(positions: readonly number[]): Promise<StoredRecord[]>
}

/**
 * Records of given positions, some at a time; the next are read while the caller works on these. How many depends on
 * their sizes, so that large events do not fill the memory.
 * @throws `log-damaged`, and what `reserve` throws
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
      // Large records are read one by one: the caller has dealt with one before it is asked for the memory of the next.
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
      records.catch(() => {}) // reported when its turn comes
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
  // Records in memory come without a turn of the event loop, and a turn that each reader asks for by itself is one turn for
  // all: a thousand readers of large ones would keep it for seconds.
  const turn = bytes >= TURN_BYTES ? source.turns.take(bytes) : undefined
  if (turn !== undefined) await turn
  return records
}

/** The positions from `from` to `to`, both included, rising or falling, in chunks. */
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
