/** Reading many records: positions in chunks, and the next records read while the caller works on those before. */
import type { StoredRecord } from '../format.js'

/** How many records a scan asks LevelDB for at once: when nothing is known of their size, and at most. */
export const FIRST_READ = 32
export const SCAN_CHUNK = 256
/** What a scan reads at once is kept near this, bytes. */
const READ_BYTES = 512 * 1024

/** Reads the records at these positions, in their order. @throws `log-damaged` */
interface RecordSource {
  readMany(positions: readonly number[]): Promise<StoredRecord[]>
}

/**
 * Records of given positions, some at a time; the next are read while the caller works on these. How many depends on
 * the size of those before, so that large events do not fill the memory.
 * @throws `log-damaged`
 */
export async function* readAhead(
  source: RecordSource,
  chunks: AsyncIterable<number[]> | Iterable<number[]>
): AsyncGenerator<StoredRecord[]> {
  let ahead: Promise<StoredRecord[]> | undefined
  let size = FIRST_READ
  for await (const positions of chunks) {
    for (let at = 0; at < positions.length; ) {
      const records = source.readMany(positions.slice(at, at + size))
      at += size
      records.catch(() => {}) // reported when its turn comes
      if (ahead !== undefined) {
        const read = await ahead
        const bytes = read.reduce((sum, record) => sum + record.bytes.length, 0)
        size = Math.max(1, Math.min(SCAN_CHUNK, Math.floor((READ_BYTES * read.length) / bytes)))
        yield read
      }
      ahead = records
    }
  }
  if (ahead !== undefined) yield await ahead
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
