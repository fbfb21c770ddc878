/**
 * The witness: a few bytes beside the database that say how far the log was. LevelDB drops damaged tail records of its
 * write-ahead log in silence, and a cut tail looks like one that was never written; only something outside can tell.
 * Written after every commit and not synced: after a power cut it may be behind the log, never ahead of it. Each start
 * syncs it once, so that a power cut does not leave a log without one.
 */
import { closeSync, constants, fsyncSync, openSync, readSync, writeSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { DaybookError } from '../../errors.js'

export interface Testimony {
  /** Position of the last committed record. */
  head: number
  /** Records up to here stand in LevelDB's tables and were whole; what comes after is scanned at start. */
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

  /** Opens the file and makes it when it is not there. @throws `directory-unusable` */
  static open(path: string): Witness {
    try {
      return new Witness(openSync(path, constants.O_RDWR | constants.O_CREAT, 0o644))
    } catch (cause) {
      throw new DaybookError('directory-unusable', `cannot open ${path}: ${(cause as Error).message}`, {}, cause)
    }
  }

  /**
   * What was last written; undefined when nothing was, or when it is damaged and says nothing.
   * @throws `storage-failed` when the disk does not give it
   */
  read(): Testimony | undefined {
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

  /** A few microseconds into the page cache. @throws `storage-failed`; what stands there then is older, or damaged */
  write(testimony: Testimony): void {
    const bytes = this.#bytes
    bytes.writeUInt32BE(MAGIC, 0)
    bytes.writeUIntBE(testimony.head + 1, 4, 6)
    bytes.writeUIntBE(testimony.verifiedTo + 1, 10, 6)
    bytes.writeUInt32BE(crc32(bytes.subarray(0, 16)), 16)
    try {
      const written = writeSync(this.#fd, bytes, 0, BYTES, 0)
      if (written < BYTES) throw new Error(`only ${written} of ${BYTES} bytes were taken: no space left`)
    } catch (cause) {
      throw new DaybookError('storage-failed', `could not write the witness: ${(cause as Error).message}`, {}, cause)
    }
  }

  /** As write, and on the disk when it returns. @throws `storage-failed` */
  writeSynced(testimony: Testimony): void {
    this.write(testimony)
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
