/**
 * Checks one table: compares every block with its checksum. LevelDB 1.20 does not check them, and its assertions end
 * the process when it reads a damaged block. A block with a correct checksum is as LevelDB wrote it, so its content is
 * not checked, except that of the index.
 */
import { crc32c, maskCrc } from './format/crc32c.js'
import type { BlockHandle } from './format/table-block.js'
import type { DataBlock, TableFile, TableLayout } from './format/table-file.js'

/** Bytes per read. The event loop runs other work between two reads. */
export const CHECK_CHUNK_BYTES = 256 * 1024

/** The damaged parts of a table. */
export interface TableFaults {
  /** Undefined: unknown, because the footer or the index is damaged. */
  readonly layout: TableLayout | undefined
  /** The part that is damaged when the layout is unknown. */
  readonly unreadable: 'footer' | 'index' | undefined
  /** True when the filter is damaged. A filter saves reads; a damaged one hides keys. */
  readonly filter: boolean
  /** The damaged data blocks. */
  readonly blocks: ReadonlySet<DataBlock>
}

/**
 * Checks all blocks of a table.
 * @param onRead called and awaited after each read, with the number of bytes read
 * @returns undefined when the table is undamaged
 * @throws an error of the file system
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

/** Reads a file from its beginning to its end in chunks, and checks its blocks. */
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

  /** True when the checksum after the block matches its content. */
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

  /** Reads the chunk that begins at `at`. @returns false when the file ends before it */
  async #load(at: number): Promise<boolean> {
    const read = await this.#file.readInto(this.#chunk, at, CHECK_CHUNK_BYTES)
    this.#from = at
    this.#to = at + read
    await this.#onRead(read)
    return read > 0
  }
}
