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
  #stopped = false

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
        for (let written = 0; written < this.#bytes && !this.#stopped; written += CHUNK.length) await file.write(CHUNK)
        if (this.#stopped) throw new Error('the store closes')
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

  /** Ends a `load` that is under way: what it has written is removed. */
  stop(): void {
    this.#stopped = true
  }

  /**
   * Gives the space back. Where even that fails there is nothing else to do.
   * @returns whether there was a ballast to give back
   */
  drop(): boolean {
    try {
      const kept = statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0
      rmSync(this.#path, { force: true })
      return kept > 0
    } catch {
      return false
    }
  }

  /** Bytes that can be written beside what the ballast holds. */
  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#directory)
    return bavail * bsize
  }
}
