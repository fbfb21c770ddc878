/**
 * The ballast: a file that reserves disk space. It is deleted when the disk is full, because LevelDB needs about the
 * size of its write-ahead log as free space to open again.
 */
import { rmSync, statSync } from 'node:fs'
import { open, statfs } from 'node:fs/promises'
import { join } from 'node:path'

const CHUNK = Buffer.alloc(1024 * 1024)

export class Ballast {
  readonly #directory: string
  readonly #path: string
  readonly #bytes: number
  #stopped = false

  /** @param directory the data directory @param bytes size of the file; 0: no ballast */
  constructor(directory: string, bytes: number) {
    this.#directory = directory
    this.#path = join(directory, 'ballast')
    this.#bytes = bytes
  }

  /**
   * Creates the file if it is missing or has another size.
   * @returns false when less than twice its size is free on the disk, or it cannot be written
   */
  async load(): Promise<boolean> {
    try {
      if (this.#bytes === 0 || statSync(this.#path, { throwIfNoEntry: false })?.size === this.#bytes) return true
      if ((await this.freeBytes()) < 2 * this.#bytes) return false
      const file = await open(this.#path, 'w')
      try {
        for (let written = 0; written < this.#bytes && !this.#stopped; written += CHUNK.length) await file.write(CHUNK)
        if (this.#stopped) throw new Error('the store is closing')
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

  /** Aborts a running `load`, which then removes the incomplete file. */
  stop(): void {
    this.#stopped = true
  }

  /** Deletes the file. Ignores errors, since nothing else can be done. @returns true when space was freed */
  drop(): boolean {
    try {
      const kept = statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0
      rmSync(this.#path, { force: true })
      return kept > 0
    } catch {
      return false
    }
  }

  /** Returns the free bytes on the disk, without those that the ballast occupies. */
  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#directory)
    return bavail * bsize
  }
}
