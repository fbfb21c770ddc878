/** Snappy's raw format, to read the blocks of a database that was written with compression. */
import { readVarint } from './varint.js'

/** Bytes out of a block; LevelDB's blocks are a value larger than their target at most. */
const EXPANDED_BYTES_MAX = 256 * 1024 * 1024

/**
 * Expands one compressed piece that begins at `from`.
 * @param to the piece ends here at the latest
 * @returns its bytes, and where it ended; undefined when these bytes are not Snappy's
 */
export function expand(bytes: Buffer, from: number, to: number): { content: Buffer; end: number } | undefined {
  const length = readVarint(bytes, from, to)
  if (length === undefined || length.value > EXPANDED_BYTES_MAX) return undefined
  // A byte of input gives at most 64 bytes of output and a bit more.
  if (length.value > (to - from) * 64) return undefined
  const content = Buffer.allocUnsafe(length.value)
  let at = length.end
  let filled = 0
  while (filled < content.length) {
    const piece = pieceAt(bytes, at, to)
    if (piece === undefined || filled + piece.length > content.length) return undefined
    if (piece.distance === 0) {
      bytes.copy(content, filled, piece.end - piece.length, piece.end)
    } else {
      if (piece.distance > filled) return undefined
      // Byte by byte: a piece may repeat what it has just written.
      for (let i = 0; i < piece.length; i++) content[filled + i] = content[filled + i - piece.distance] as number
    }
    filled += piece.length
    at = piece.end
  }
  return { content, end: at }
}

/** One element: `distance` 0 is a literal that ends at `end`, otherwise a copy of what stands so far back. */
function pieceAt(bytes: Buffer, at: number, to: number): { length: number; distance: number; end: number } | undefined {
  if (at >= to) return undefined
  const tag = bytes[at] as number
  const kind = tag & 3
  if (kind === 0) return literalAt(bytes, at, to)
  const wide = kind === 3 ? 4 : kind
  if (at + 1 + wide > to) return undefined
  const end = at + 1 + wide
  if (kind === 1) {
    return { length: ((tag >>> 2) & 7) + 4, distance: ((tag >>> 5) << 8) | (bytes[at + 1] as number), end }
  }
  const distance = bytes.readUIntLE(at + 1, wide)
  return distance === 0 ? undefined : { length: (tag >>> 2) + 1, distance, end }
}

function literalAt(bytes: Buffer, at: number, to: number): { length: number; distance: 0; end: number } | undefined {
  const short = (bytes[at] as number) >>> 2
  const wide = short < 60 ? 0 : short - 59
  if (at + 1 + wide > to) return undefined
  const length = (wide === 0 ? short : bytes.readUIntLE(at + 1, wide)) + 1
  const end = at + 1 + wide + length
  return end > to ? undefined : { length, distance: 0, end }
}
