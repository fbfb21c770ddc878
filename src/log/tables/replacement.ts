/**
 * What is put in the place of a damaged table: the same file, with an index that leaves out what is damaged. LevelDB then does not
 * find those keys, and the log, whose positions have no gaps, says that they are damaged.
 *
 * The new blocks are appended, the footer is written where the database expects it, and once more at the end of the file.
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
import { findBlocks, type SalvageBounds, wholePlace, wholeRecords } from './salvage.js'
import type { TableFaults } from './table-check.js'

/** A block of the replacement: one that stays where it is, or what could be taken from a damaged one. */
interface KeptBlock {
  readonly separator: Buffer
  readonly content: BlockHandle | readonly BlockEntry[]
}

export interface Replacement {
  readonly blocks: readonly KeptBlock[]
  /** Undefined: an empty one, without the filter. */
  readonly metaindex: BlockHandle | undefined
  /** Positions that are lost. Empty where nothing is known of the table's range, and in other databases than the log. */
  readonly lost: readonly PositionRange[]
}

/** A replacement that leaves out every damaged block. For databases that can be made anew. */
export function replacementWithout({ layout, filter, blocks }: TableFaults): Replacement {
  const kept = (layout?.blocks ?? []).filter((block) => !blocks.has(block))
  return {
    blocks: kept.map(({ separator, handle }) => ({ separator, content: handle })),
    metaindex: filter ? undefined : layout?.metaindex,
    lost: []
  }
}

/**
 * A replacement for a table of the log, which has every record that can still be read.
 * @param bounds undefined: the database does not know the table's range; then only whole blocks are kept
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
      const entries = wholeRecords(piece.stored, { ...bounds, range: piece.within ?? bounds.range })
      if (entries.length > 0) pieces.push(salvagedPiece(entries, piece.separator))
    }
  }
  return {
    blocks: pieces.map(({ block }) => block),
    // A filter knows keys by the offset of their block: it would hide those of a block that was moved.
    metaindex:
      faults.filter || pieces.some(({ block }) => !('offset' in block.content)) ? undefined : layout?.metaindex,
    lost: without(
      [bounds.range],
      pieces.flatMap(({ range }) => range)
    )
  }
}

/** A block that is kept, and the positions that are found in it. */
interface KeptPiece {
  readonly block: KeptBlock
  readonly range: readonly PositionRange[]
}

/** A block that is damaged. */
interface DamagedPiece {
  readonly stored: Buffer
  /** Undefined: the last key that is found in it. */
  readonly separator: Buffer | undefined
  readonly within: PositionRange | undefined
}

/** The blocks of a table whose index is whole, in order. */
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

/** The blocks that are found in a table whose index is damaged, in order. */
async function* foundPieces(file: TableFile, bounds: SalvageBounds): AsyncGenerator<KeptPiece | DamagedPiece> {
  const { first, last } = bounds.range
  let next = first
  for await (const { handle, isWhole, head, firstPosition, lastKey } of findBlocks(file, bounds.range)) {
    if (!isWhole) {
      const stored = (await file.readStored(handle)) ?? Buffer.alloc(BLOCK_TRAILER_BYTES)
      yield { stored, separator: undefined, within: { first: next, last } }
    } else if (wholePlace(head, { first: next, last }) !== undefined) {
      // Not the metaindex and not the index, which are blocks, too.
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
 * Writes a replacement, and syncs it.
 * @param from the damaged table @param to the file that is made
 * @param end the size of the table as the database has it noted
 * @throws what the file system throws
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
