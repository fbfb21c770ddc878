/**
 * A table of LevelDB 1.20, an `.ldb` file: data blocks, a filter, a block that names the filter (the metaindex), a block
 * that names the data blocks (the index), and a footer of 48 bytes with the places of those two.
 */
import { type FileHandle, open } from 'node:fs/promises'
import {
  BLOCK_TRAILER_BYTES,
  type BlockEntry,
  type BlockHandle,
  blockEntries,
  expandedBlock,
  isWholeBlock,
  readHandle
} from './table-block.js'
import { varints } from './varint.js'

export const FOOTER_BYTES = 48
const MAGIC = Buffer.from('57fb808b247547db', 'hex')

/** A data block as the index names it. */
export interface DataBlock {
  /** An internal key: at least the last of this block, and before the first of the next. */
  readonly separator: Buffer
  readonly handle: BlockHandle
}

export interface TableLayout {
  /** In key order. */
  readonly blocks: readonly DataBlock[]
  readonly metaindex: BlockHandle
  /** Undefined: the metaindex is damaged. */
  readonly filters: readonly BlockHandle[] | undefined
}

export class TableFile {
  readonly #file: FileHandle
  /** Of the file, bytes. */
  readonly size: number
  /** The footer ends here: what the database takes for the size of the table. */
  readonly end: number

  private constructor(file: FileHandle, size: number, end: number) {
    this.#file = file
    this.size = size
    this.end = end
  }

  /**
   * @param end the size of the table as the database has it noted; undefined: that of the file
   * @throws what the file system throws
   */
  static async open(path: string, end: number | undefined): Promise<TableFile> {
    const file = await open(path, 'r')
    try {
      const { size } = await file.stat()
      return new TableFile(file, size, end ?? size)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  /** Reads into the beginning of `into`. @returns how many bytes; fewer than asked for at the end of the file only */
  async readInto(into: Buffer, offset: number, length: number): Promise<number> {
    let filled = 0
    while (filled < length) {
      const { bytesRead } = await this.#file.read(into, filled, length - filled, offset + filled)
      if (bytesRead === 0) break
      filled += bytesRead
    }
    return filled
  }

  /** At most `length` bytes from an offset. */
  async read(offset: number, length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(Math.max(0, Math.min(length, this.size - offset)))
    return bytes.subarray(0, await this.readInto(bytes, offset, bytes.length))
  }

  /** True when a block can stand there. LevelDB ends the process when it cannot get memory for one. */
  holds({ offset, size }: BlockHandle): boolean {
    return offset + size + BLOCK_TRAILER_BYTES <= this.size
  }

  /** A block with its trailer. @returns undefined when it goes beyond the file */
  async readStored(handle: BlockHandle): Promise<Buffer | undefined> {
    if (!this.holds(handle)) return undefined
    const stored = await this.read(handle.offset, handle.size + BLOCK_TRAILER_BYTES)
    return stored.length === handle.size + BLOCK_TRAILER_BYTES ? stored : undefined
  }

  /** The entries of a block whose checksum holds. @returns undefined for any other */
  async readEntries(handle: BlockHandle): Promise<BlockEntry[] | undefined> {
    const stored = await this.readStored(handle)
    if (stored === undefined || !isWholeBlock(stored)) return undefined
    const content = expandedBlock(stored)
    return content && blockEntries(content)
  }

  /** What the table says of itself. @returns what keeps it from being read */
  async layout(): Promise<TableLayout | 'footer' | 'index'> {
    const footer = this.size < this.end ? Buffer.alloc(0) : await this.read(this.end - FOOTER_BYTES, FOOTER_BYTES)
    if (footer.length < FOOTER_BYTES || !footer.subarray(-MAGIC.length).equals(MAGIC)) return 'footer'
    const metaindex = readHandle(footer, 0, FOOTER_BYTES - MAGIC.length)
    const index = metaindex && readHandle(footer, metaindex.end, FOOTER_BYTES - MAGIC.length)
    if (metaindex === undefined || index === undefined || !this.holds(index)) return 'footer'
    const named = await this.readEntries(index)
    const blocks = named?.map(({ key, value }) => blockOf(key, value))
    if (blocks === undefined || !isListOfBlocks(blocks) || !blocks.every(({ handle }) => this.holds(handle))) {
      return 'index'
    }
    return { blocks, metaindex, filters: await this.#filters(metaindex) }
  }

  async #filters(metaindex: BlockHandle): Promise<BlockHandle[] | undefined> {
    const stored = await this.readStored(metaindex)
    const content = stored && isWholeBlock(stored) ? expandedBlock(stored) : undefined
    const filters = (content && blockEntries(content))?.map(({ value }) => readHandle(value, 0, value.length))
    return filters?.every((handle) => handle !== undefined && this.holds(handle))
      ? (filters as BlockHandle[])
      : undefined
  }
}

function blockOf(separator: Buffer, value: Buffer): DataBlock | undefined {
  const handle = readHandle(value, 0, value.length)
  return handle && { separator, handle: { offset: handle.offset, size: handle.size } }
}

function isListOfBlocks(blocks: readonly (DataBlock | undefined)[]): blocks is DataBlock[] {
  return !blocks.includes(undefined)
}

/** A footer that names these two blocks. */
export function footerOf(metaindex: BlockHandle, index: BlockHandle): Buffer {
  const footer = Buffer.alloc(FOOTER_BYTES)
  varints(metaindex.offset, metaindex.size, index.offset, index.size).copy(footer)
  MAGIC.copy(footer, FOOTER_BYTES - MAGIC.length)
  return footer
}
