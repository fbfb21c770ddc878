/**
 * The replacement of a damaged table: the same file with a new index that leaves out the damaged blocks. LevelDB then
 * does not find the keys of these blocks, and the log reports them as damaged, because its positions have no gaps.
 *
 * New blocks are appended to the file. The footer is written where the database expects it, and again at the end of the
 * file.
 */
import { constants, copyFile, open } from 'node:fs/promises'
import { BLOCK_TRAILER_BYTES, type BlockEntry, type BlockHandle, sealedBlock } from './format/table-block.js'
import { FOOTER_BYTES, footerOf, type TableFile, type TableLayout } from './format/table-file.js'
import { varints } from './format/varint.js'
import {
  firstPositionAfter,
  isPosition,
  lastPositionUpTo,
  type PositionRange,
  positionFrom,
  without
} from './positions.js'
import { findBlocks, intactPosition, intactRecords, type SalvageBounds } from './salvage.js'
import type { TableFaults } from './table-check.js'

/**
 * A block of the replacement: either an undamaged block that stays in place, or the salvaged entries of a damaged one.
 */
interface KeptBlock {
  readonly separator: Buffer
  readonly content: BlockHandle | readonly BlockEntry[]
}

export interface Replacement {
  readonly blocks: readonly KeptBlock[]
  /** Undefined: the replacement gets an empty metaindex and so no filter. */
  readonly metaindex: BlockHandle | undefined
  /** Lost positions. Empty when the key range of the table is unknown, and for other databases than the log. */
  readonly lost: readonly PositionRange[]
}

/** Returns a replacement without the damaged blocks. For databases that can be rebuilt. */
export function replacementWithout({ layout, filter, blocks }: TableFaults): Replacement {
  const kept = (layout?.blocks ?? []).filter((block) => !blocks.has(block))
  return {
    blocks: kept.map(({ separator, handle }) => ({ separator, content: handle })),
    metaindex: filter ? undefined : layout?.metaindex,
    lost: []
  }
}

/**
 * Returns a replacement for a table of the log, with every record that can still be read.
 * @param bounds undefined: the manifest cannot be read; then only undamaged blocks are kept
 */
export async function replacementWith(
  file: TableFile,
  faults: TableFaults,
  bounds: SalvageBounds | undefined
): Promise<Replacement> {
  if (bounds === undefined) return replacementWithout(faults)
  const pieces: KeptPiece[] = []
  const { layout } = faults
  for await (const piece of layout ? knownPieces(file, layout, faults) : foundPieces(file, bounds)) {
    if ('range' in piece) pieces.push(piece)
    else {
      const entries = intactRecords(piece.stored, { ...bounds, range: piece.within ?? bounds.range })
      if (entries.length > 0) pieces.push(salvagedPiece(entries, piece.separator))
    }
  }
  return {
    blocks: pieces.map(({ block }) => block),
    // The filter finds keys by the offset of their block. It would hide the keys of salvaged blocks, whose offsets are
    // new.
    metaindex:
      faults.filter || pieces.some(({ block }) => !('offset' in block.content)) ? undefined : layout?.metaindex,
    lost: without(
      [bounds.range],
      pieces.flatMap(({ range }) => range)
    )
  }
}

/** A block to keep, and the positions of its records. */
interface KeptPiece {
  readonly block: KeptBlock
  readonly range: readonly PositionRange[]
}

/** A damaged block. */
interface DamagedPiece {
  /** The block with its trailer. */
  readonly stored: Buffer
  /** Undefined: the separator is unknown; the last salvaged key is used instead. */
  readonly separator: Buffer | undefined
  /** Positions that the block may contain. */
  readonly within: PositionRange | undefined
}

/** Yields the blocks of a table with an undamaged index, in order. */
async function* knownPieces(
  file: TableFile,
  { blocks }: TableLayout,
  faults: TableFaults
): AsyncGenerator<KeptPiece | DamagedPiece> {
  let first = 0
  for (const block of blocks) {
    const { separator, handle } = block
    const within = { first, last: lastPositionUpTo(separator) }
    first = firstPositionAfter(separator)
    if (!faults.blocks.has(block)) yield { block: { separator, content: handle }, range: [within] }
    else yield { stored: (await file.readStored(handle)) ?? Buffer.alloc(BLOCK_TRAILER_BYTES), separator, within }
  }
}

/** Yields the blocks that can be found in a table with a damaged index, in order. */
async function* foundPieces(file: TableFile, bounds: SalvageBounds): AsyncGenerator<KeptPiece | DamagedPiece> {
  const { first, last } = bounds.range
  let next = first
  for await (const { handle, isWhole, head, firstPosition, lastKey } of findBlocks(file, bounds.range)) {
    if (!isWhole) {
      const stored = (await file.readStored(handle)) ?? Buffer.alloc(BLOCK_TRAILER_BYTES)
      yield { stored, separator: undefined, within: { first: next, last } }
    } else if (intactPosition(head, { first: next, last }) !== undefined) {
      // The first entry is a record or the log meta, so the block is neither the metaindex nor the index.
      next = firstPositionAfter(lastKey)
      const range = firstPosition < 0 ? [] : [{ first: firstPosition, last: lastPositionUpTo(lastKey) }]
      yield { block: { separator: lastKey, content: handle }, range }
    }
  }
}

function salvagedPiece(entries: readonly BlockEntry[], separator: Buffer | undefined): KeptPiece {
  const range = entries
    .filter(({ key }) => isPosition(key))
    .map(({ key }) => ({ first: positionFrom(key), last: positionFrom(key) }))
  return { block: { separator: separator ?? (entries.at(-1) as BlockEntry).key, content: entries }, range }
}

/**
 * Writes and syncs the file of a replacement.
 * @param from path of the damaged table
 * @param to path of the new file
 * @param end size of the table in the manifest, where LevelDB expects the end of the footer; undefined: size of the
 * file
 * @throws an error of the file system
 */
export async function writeReplacement(
  { blocks, metaindex }: Replacement,
  from: string,
  to: string,
  end: number | undefined
): Promise<void> {
  await copyFile(from, to, constants.COPYFILE_FICLONE)
  const file = await open(to, 'r+')
  try {
    const { size } = await file.stat()
    const footerEnd = end ?? size
    let at = Math.max(size, footerEnd)
    const append = async (stored: Buffer): Promise<BlockHandle> => {
      const handle = { offset: at, size: stored.length - BLOCK_TRAILER_BYTES }
      await file.write(stored, 0, stored.length, at)
      at += stored.length
      return handle
    }
    const named: BlockEntry[] = []
    for (const { separator, content } of blocks) {
      const { offset, size } = 'offset' in content ? content : await append(sealedBlock(content))
      named.push({ key: separator, value: varints(offset, size) })
    }
    const meta = metaindex ?? (await append(sealedBlock([])))
    const footer = footerOf(meta, await append(sealedBlock(named)))
    await file.write(footer, 0, FOOTER_BYTES, at)
    await file.write(footer, 0, FOOTER_BYTES, footerEnd - FOOTER_BYTES)
    await file.sync()
  } finally {
    await file.close()
  }
}
