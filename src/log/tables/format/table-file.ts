/**
 * A table of LevelDB 1.20, an `.ldb` file: data blocks, a filter, the metaindex (a block with the handle of the
 * filter), the index (a block with the handles of the data blocks), and a footer of 48 bytes.
 *
 * The footer contains the handles of metaindex and index, zeros up to byte 40, and the magic number in the last 8
 * bytes.
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

/** A data block in the index. */
export interface DataBlock {
  /** An internal key, at or after the last key of this block and before the first key of the next block. */
  readonly separator: Buffer
  readonly handle: BlockHandle
}

export interface TableLayout {
  /** In key order. */
  readonly blocks: readonly DataBlock[]
  readonly metaindex: BlockHandle
  /** Handles in the metaindex. Undefined: the metaindex is damaged. */
  readonly filters: readonly BlockHandle[] | undefined
}

export class TableFile {
  readonly #file: FileHandle
  /** Size of the file in bytes. */
  readonly size: number
  /** Offset at which the footer ends: the size of the table in the manifest. */
  readonly end: number

  private constructor(file: FileHandle, size: number, end: number) {
    this.#file = file
    this.size = size
    this.end = end
  }

  /**
   * Opens the file of a table for reading. The caller must `close` it.
   * @param end size of the table in the manifest; undefined: the size of the file
   * @throws an error of the file system
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

  /**
   * Reads into the beginning of `into`.
   * @returns the number of bytes, less than `length` only at the end of the file
   */
  async readInto(into: Buffer, offset: number, length: number): Promise<number> {
    let filled = 0
    while (filled < length) {
      const { bytesRead } = await this.#file.read(into, filled, length - filled, offset + filled)
      if (bytesRead === 0) break
      filled += bytesRead
    }
    return filled
  }

  /** Returns the bytes at an offset, at most `length`; fewer at the end of the file. */
  async read(offset: number, length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(Math.max(0, Math.min(length, this.size - offset)))
    return bytes.subarray(0, await this.readInto(bytes, offset, bytes.length))
  }

  /** True when a block is within the file. LevelDB ends the process if it cannot allocate the memory for a block. */
  holds({ offset, size }: BlockHandle): boolean {
    return offset + size + BLOCK_TRAILER_BYTES <= this.size
  }

  /** Returns a block with its trailer; undefined when it exceeds the file. */
  async readStored(handle: BlockHandle): Promise<Buffer | undefined> {
    if (!this.holds(handle)) return undefined
    const stored = await this.read(handle.offset, handle.size + BLOCK_TRAILER_BYTES)
    return stored.length === handle.size + BLOCK_TRAILER_BYTES ? stored : undefined
  }

  /** Returns the entries of a block; undefined when the block is damaged. */
  async readEntries(handle: BlockHandle): Promise<BlockEntry[] | undefined> {
    const stored = await this.readStored(handle)
    if (stored === undefined || !isWholeBlock(stored)) return undefined
    const content = expandedBlock(stored)
    return content && blockEntries(content)
  }

  /** Returns the blocks of the table; 'footer' or 'index' when that part is damaged. */
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

/** Encodes a footer with the handles of these two blocks. */
export function footerOf(metaindex: BlockHandle, index: BlockHandle): Buffer {
  const footer = Buffer.alloc(FOOTER_BYTES)
  varints(metaindex.offset, metaindex.size, index.offset, index.size).copy(footer)
  MAGIC.copy(footer, FOOTER_BYTES - MAGIC.length)
  return footer
}
