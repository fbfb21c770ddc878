/**
 * The witness: a file of 20 bytes beside the database that stores the head of the log. LevelDB silently drops damaged
 * records at the end of its write-ahead log, and a truncated log looks like one that was never longer. Only data
 * outside the database can reveal such a loss.
 *
 *    0  u32  magic number, "DBW1"
 *    4  u48  head + 1
 *   10  u48  verified position + 1
 *   16  u32  CRC-32 of bytes 0 to 15
 *
 * It is written after every commit, without sync: after a power cut it may be behind the log, never ahead of it. Each
 * start syncs it once, so that a power cut never leaves a log without a witness.
 */
import { closeSync, constants, fsyncSync, openSync, readSync, writeSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { DaybookError } from '../../errors.js'

export interface WitnessContent {
  /** Position of the last committed record. */
  head: number
  /** Records up to this position are in LevelDB's tables and were undamaged. A start checks the records after it. */
  verifiedTo: number
}

const MAGIC = 0x44425731 // "DBW1"
const BYTES = 20

export class Witness {
  readonly #fd: number
  readonly #bytes = Buffer.alloc(BYTES)

  private constructor(fd: number) {
    this.#fd = fd
  }

  /** Opens the file, or creates it. @throws DaybookError `directory-unusable` */
  static open(path: string): Witness {
    try {
      return new Witness(openSync(path, constants.O_RDWR | constants.O_CREAT, 0o644))
    } catch (cause) {
      throw new DaybookError('directory-unusable', `cannot open ${path}: ${(cause as Error).message}`, {}, cause)
    }
  }

  /**
   * Returns what was last written; undefined when the file is empty or damaged.
   * @throws DaybookError `storage-failed` when the disk reports an error
   */
  read(): WitnessContent | undefined {
    const bytes = Buffer.alloc(BYTES)
    let read: number
    try {
      read = readSync(this.#fd, bytes, 0, BYTES, 0)
    } catch (cause) {
      throw new DaybookError('storage-failed', `could not read the witness: ${(cause as Error).message}`, {}, cause)
    }
    if (read < BYTES) return undefined
    if (bytes.readUInt32BE(0) !== MAGIC || bytes.readUInt32BE(16) !== crc32(bytes.subarray(0, 16))) return undefined
    return { head: bytes.readUIntBE(4, 6) - 1, verifiedTo: bytes.readUIntBE(10, 6) - 1 }
  }

  /**
   * Writes the file without sync, which takes a few microseconds.
   * @throws DaybookError `storage-failed`; the file is then unchanged or damaged
   */
  write(witnessed: WitnessContent): void {
    const bytes = this.#bytes
    bytes.writeUInt32BE(MAGIC, 0)
    bytes.writeUIntBE(witnessed.head + 1, 4, 6)
    bytes.writeUIntBE(witnessed.verifiedTo + 1, 10, 6)
    bytes.writeUInt32BE(crc32(bytes.subarray(0, 16)), 16)
    try {
      const written = writeSync(this.#fd, bytes, 0, BYTES, 0)
      if (written < BYTES) throw new Error(`only ${written} of ${BYTES} bytes were written: no space left`)
    } catch (cause) {
      throw new DaybookError('storage-failed', `could not write the witness: ${(cause as Error).message}`, {}, cause)
    }
  }

  /** Writes and syncs the file. @throws DaybookError `storage-failed` */
  writeSynced(witnessed: WitnessContent): void {
    this.write(witnessed)
    try {
      fsyncSync(this.#fd)
    } catch (cause) {
      throw new DaybookError('storage-failed', `could not sync the witness: ${(cause as Error).message}`, {}, cause)
    }
  }

  close(): void {
    closeSync(this.#fd)
  }
}
