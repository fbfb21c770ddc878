/**
 * The check of one table: every block against its checksum. LevelDB 1.20 does not look at them, and what it then reads ends
 * the process by its assertions. A block that fits its checksum is what LevelDB wrote, so nothing in it is looked at but
 * the index.
 */
import { crc32c, maskCrc } from './format/crc32c.js'
import type { BlockHandle } from './format/table-block.js'
import type { DataBlock, TableFile, TableLayout } from './format/table-file.js'

/** Read at once. The event loop is free between two reads. */
export const CHECK_CHUNK_BYTES = 256 * 1024

/** What is wrong with a table. */
export interface TableFaults {
  /** Undefined: it cannot be known, since the footer or the index is damaged. */
  readonly layout: TableLayout | undefined
  readonly unreadable: 'footer' | 'index' | undefined
  /** The filter only saves reads. A damaged one hides keys. */
  readonly filter: boolean
  readonly blocks: ReadonlySet<DataBlock>
}

/**
 * Checks a table.
 * @param onRead told how many bytes were read since it was last told, and waited for
 * @returns undefined when nothing is wrong
 * @throws what the file system throws
 */
export async function checkTable(
  file: TableFile,
  onRead: (bytes: number) => Promise<void> | void
): Promise<TableFaults | undefined> {
  const layout = await file.layout()
  if (typeof layout === 'string') return { layout: undefined, unreadable: layout, filter: false, blocks: new Set() }
  const sweep = new Sweep(file, onRead)
  const damaged = new Set<DataBlock>()
  for (const block of [...layout.blocks].sort((a, b) => a.handle.offset - b.handle.offset)) {
    if (!(await sweep.isWhole(block.handle))) damaged.add(block)
  }
  let filter = layout.filters === undefined
  for (const handle of layout.filters ?? []) if (!(await sweep.isWhole(handle))) filter = true
  return filter || damaged.size > 0 ? { layout, unreadable: undefined, filter, blocks: damaged } : undefined
}

/** Reads a file from its beginning to its end, a chunk at a time. */
class Sweep {
  readonly #file: TableFile
  readonly #onRead: (bytes: number) => Promise<void> | void
  readonly #chunk = Buffer.allocUnsafe(CHECK_CHUNK_BYTES)
  #from = 0
  #to = 0

  constructor(file: TableFile, onRead: (bytes: number) => Promise<void> | void) {
    this.#file = file
    this.#onRead = onRead
  }

  /** True when the block fits the checksum behind it. */
  async isWhole({ offset, size }: BlockHandle): Promise<boolean> {
    const end = offset + size + 1
    let crc = 0
    for (let at = offset; at < end; ) {
      if (!this.#has(at) && !(await this.#load(at))) return false
      const to = Math.min(end, this.#to)
      crc = crc32c(this.#chunk, at - this.#from, to - this.#from, crc)
      at = to
    }
    let stored = 0
    for (let i = 0; i < 4; i++) {
      if (!this.#has(end + i) && !(await this.#load(end + i))) return false
      stored += (this.#chunk[end + i - this.#from] as number) * 256 ** i
    }
    return stored === maskCrc(crc)
  }

  #has(at: number): boolean {
    return at >= this.#from && at < this.#to
  }

  /** Reads on from a byte. @returns false when the file ends before it */
  async #load(at: number): Promise<boolean> {
    const read = await this.#file.readInto(this.#chunk, at, CHECK_CHUNK_BYTES)
    this.#from = at
    this.#to = at + read
    await this.#onRead(read)
    return read > 0
  }
}
