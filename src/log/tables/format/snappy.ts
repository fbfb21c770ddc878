/** Decompresses Snappy's raw format, for the blocks of a database with compression. */
import { readVarint } from './varint.js'

/** Most bytes of a decompressed block. A LevelDB block exceeds its target size by at most one value. */
const EXPANDED_BYTES_MAX = 256 * 1024 * 1024

/**
 * Decompresses the data that begins at `from`.
 * @param to offset at which it ends at the latest
 * @returns the decompressed bytes and the end offset; undefined when the data is no valid Snappy data
 */
export function expand(bytes: Buffer, from: number, to: number): { content: Buffer; end: number } | undefined {
  const length = readVarint(bytes, from, to)
  if (length === undefined || length.value > EXPANDED_BYTES_MAX) return undefined
  // A byte of input gives about 64 bytes of output at most.
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
      // Byte by byte, because a copy may overlap its own output.
      for (let i = 0; i < piece.length; i++) content[filled + i] = content[filled + i - piece.distance] as number
    }
    filled += piece.length
    at = piece.end
  }
  return { content, end: at }
}

/**
 * Decodes one element. `distance` 0: a literal whose bytes end at `end`. Otherwise a copy of `length` bytes that begin
 * `distance` bytes back in the output.
 */
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
