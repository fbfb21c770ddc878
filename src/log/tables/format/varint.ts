/** LevelDB's varints: unsigned integers, 7 bits a byte, lowest bits first. */

/** Decodes a varint. @returns the value and its end offset; undefined when it exceeds `to` or 2^53 - 1 */
export function readVarint(bytes: Uint8Array, from: number, to: number): { value: number; end: number } | undefined {
  let value = 0
  let scale = 1
  for (let at = from; at < to; at++) {
    const byte = bytes[at] as number
    value += (byte & 0x7f) * scale
    if (value > Number.MAX_SAFE_INTEGER) return undefined
    if (byte < 0x80) return { value, end: at + 1 }
    scale *= 128
  }
  return undefined
}

/** Encodes numbers as consecutive varints. */
export function varints(...numbers: number[]): Buffer {
  const bytes: number[] = []
  for (const number of numbers) {
    let rest = number
    for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80)
    bytes.push(rest)
  }
  return Buffer.from(bytes)
}
