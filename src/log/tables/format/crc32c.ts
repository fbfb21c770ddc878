/**
 * CRC-32C (Castagnoli), the checksum after every LevelDB block. Node has only CRC-32. This implementation processes
 * eight bytes at a time with eight tables, about a gigabyte a second.
 */
const POLYNOMIAL = 0x82f63b78
const MASK_DELTA = 0xa282ead8

/** Table k maps a byte to its effect on the checksum when k more bytes follow it. */
const [T0, T1, T2, T3, T4, T5, T6, T7] = makeTables(8) as [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array
]

function makeTables(count: number): Int32Array[] {
  const tables = Array.from({ length: count }, () => new Int32Array(256))
  const first = tables[0] as Int32Array
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1
    first[byte] = crc
  }
  for (let k = 1; k < count; k++) {
    const before = tables[k - 1] as Int32Array
    const table = tables[k] as Int32Array
    for (let byte = 0; byte < 256; byte++) {
      const crc = before[byte] as number
      table[byte] = (crc >>> 8) ^ (first[crc & 0xff] as number)
    }
  }
  return tables
}

/**
 * Returns the checksum of the bytes from `from` to `to` (excluded), an integer from 0 to 2^32 - 1.
 * @param before checksum of the preceding bytes, which this one continues; 0: there are none
 */
export function crc32c(bytes: Uint8Array, from = 0, to = bytes.length, before = 0): number {
  let crc = ~before
  let at = from
  const whole = to - 7
  for (; at < whole; at += 8) {
    const low =
      crc ^
      ((bytes[at] as number) |
        ((bytes[at + 1] as number) << 8) |
        ((bytes[at + 2] as number) << 16) |
        ((bytes[at + 3] as number) << 24))
    crc =
      (T7[low & 0xff] as number) ^
      (T6[(low >>> 8) & 0xff] as number) ^
      (T5[(low >>> 16) & 0xff] as number) ^
      (T4[low >>> 24] as number) ^
      (T3[bytes[at + 4] as number] as number) ^
      (T2[bytes[at + 5] as number] as number) ^
      (T1[bytes[at + 6] as number] as number) ^
      (T0[bytes[at + 7] as number] as number)
  }
  for (; at < to; at++) crc = (crc >>> 8) ^ (T0[(crc ^ (bytes[at] as number)) & 0xff] as number)
  return ~crc >>> 0
}

/**
 * Returns a checksum as LevelDB stores it: rotated, plus a constant. LevelDB masks checksums because the checksum of
 * data that contains checksums is weak.
 */
export function maskCrc(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + MASK_DELTA) >>> 0
}
