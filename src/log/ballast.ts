/**
 * The ballast: a file that keeps some of the disk for ourselves. When the disk is full it is given back, because
 * LevelDB needs about the size of its write-ahead log to open again.
 */
import { rmSync, statSync } from 'node:fs'
import { open, statfs } from 'node:fs/promises'
import { join } from 'node:path'

const CHUNK = Buffer.alloc(1024 * 1024)

export class Ballast {
  readonly #directory: string
  readonly #path: string
  readonly #bytes: number

  /** @param bytes how much to keep; 0 keeps nothing */
  constructor(directory: string, bytes: number) {
    this.#directory = directory
    this.#path = join(directory, 'ballast')
    this.#bytes = bytes
  }

  /** Makes the file when it is not there. @returns false when the disk has no room for it */
  async load(): Promise<boolean> {
    try {
      if (this.#bytes === 0 || statSync(this.#path, { throwIfNoEntry: false })?.size === this.#bytes) return true
      if ((await this.freeBytes()) < 2 * this.#bytes) return false
      const file = await open(this.#path, 'w')
      try {
        for (let written = 0; written < this.#bytes; written += CHUNK.length) await file.write(CHUNK)
        await file.sync()
      } finally {
        await file.close()
      }
      return true
    } catch {
      this.drop()
      return false
    }
  }

  /** Gives the space back. Where even that fails there is nothing else to do. */
  drop(): void {
    try {
      rmSync(this.#path, { force: true })
    } catch {}
  }

  /** Bytes that can be written beside what the ballast holds. */
  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#directory)
    return bavail * bsize
  }
}
