/** The input of an import: the bytes of a file or of standard input, decompressed if they are gzip. */
import { createReadStream, type Stats, statSync } from 'node:fs'
import { type Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { DaybookError, resourceUnusable, systemReason } from '../../errors.js'

const CHUNK_BYTES = 256 * 1024

export class ImportInput {
  /** A path, or "standard input". */
  readonly name: string
  readonly #path: string | undefined
  /** Undefined if the input is not a regular file, which could be read twice. */
  readonly #file: Stats | undefined
  #raw: Readable | undefined
  #isStopped = false
  /** Size after decompression, bytes. Undefined if it is unknown, or before `check`. */
  size: number | undefined

  /**
   * @param file a path, or `-` for standard input
   * @throws DaybookError `resource-unusable` if the file does not exist or is a directory
   */
  constructor(file: string) {
    this.#path = file === '-' ? undefined : file
    this.name = this.#path ?? 'standard input'
    const stats = this.#path === undefined ? undefined : statsOf(this.#path)
    this.#file = stats?.isFile() ? stats : undefined
  }

  /**
   * Yields the decompressed bytes. Can be called once.
   * @throws DaybookError `import-refused` for damaged gzip; `resource-unusable` if reading fails; `stopping` after
   *   `stop`
   */
  async *bytes(): AsyncGenerator<Buffer> {
    try {
      this.#throwIfStopped()
      this.#raw = this.#path === undefined ? process.stdin : this.#open(this.#path)
      const { zipped, chunks } = await lookAtHead(this.#raw)
      if (!zipped) return yield* chunks
      const gunzip = createGunzip({ chunkSize: CHUNK_BYTES })
      pipeline(chunks, gunzip).catch(() => {}) // the reader of gunzip gets the error
      yield* gunzip
    } catch (cause) {
      this.#throwIfStopped()
      throw this.#unreadable(cause as NodeJS.ErrnoException)
    }
  }

  /**
   * Reads a gzip file to its end before the import, so that nothing of a damaged file is imported. The checksum is at
   * the end of the file, and lines before it may contain wrong bytes. Also determines the decompressed size. Does
   * nothing for standard input, which can be read only once.
   * @throws the same errors as `bytes`
   */
  async check(): Promise<void> {
    if (this.#file === undefined || this.#path === undefined) return
    try {
      this.#raw = this.#open(this.#path)
      const { zipped, chunks } = await lookAtHead(this.#raw)
      let size = 0
      const count = new Writable({
        write(chunk: Buffer, _encoding, done) {
          size += chunk.length
          done()
        }
      })
      if (zipped) await pipeline(chunks, createGunzip({ chunkSize: CHUNK_BYTES }), count)
      else this.#raw.destroy()
      this.size = zipped ? size : this.#file.size
    } catch (cause) {
      this.#throwIfStopped()
      throw this.#unreadable(cause as NodeJS.ErrnoException)
    }
  }

  /** Stops reading: `bytes` throws, and an incomplete line is dropped. */
  stop(): void {
    this.#isStopped = true
    this.#raw?.destroy()
  }

  #open(path: string): Readable {
    return createReadStream(path, { highWaterMark: CHUNK_BYTES })
  }

  #throwIfStopped(): void {
    if (this.#isStopped) throw new DaybookError('stopping', 'the import was interrupted')
  }

  #unreadable(cause: NodeJS.ErrnoException): DaybookError {
    const { code = '', message } = cause
    if (!code.startsWith('Z_')) return cannotRead(this.name, cause)
    const what = code === 'Z_BUF_ERROR' ? 'truncated gzip' : 'damaged gzip'
    const next =
      this.#file !== undefined
        ? 'nothing was imported from it; get a complete copy'
        : code === 'Z_BUF_ERROR'
          ? 'run the import again with the complete input'
          : 'events imported from it may be wrong'
    return new DaybookError('import-refused', `${this.name} is ${what} (${message}); ${next}`, {}, cause)
  }
}

function statsOf(file: string): Stats {
  let stats: Stats
  try {
    stats = statSync(file)
  } catch (cause) {
    throw cannotRead(file, cause)
  }
  if (stats.isDirectory()) throw resourceUnusable(`cannot read ${file}: it is a directory; name a file in it`)
  return stats
}

function cannotRead(name: string, cause: unknown): DaybookError {
  return resourceUnusable(`cannot read ${name}: ${systemReason(cause)}`, cause)
}

/** Returns whether the bytes are gzip, judged by the first two, and an iterator over all of the bytes. */
async function lookAtHead(raw: AsyncIterable<Buffer>): Promise<{ zipped: boolean; chunks: AsyncGenerator<Buffer> }> {
  const iterator = raw[Symbol.asyncIterator]()
  let head: Buffer = Buffer.alloc(0)
  while (head.length < 2) {
    const next = await iterator.next()
    if (next.done) break
    head = head.length === 0 ? next.value : Buffer.concat([head, next.value])
  }
  async function* chunks(): AsyncGenerator<Buffer> {
    if (head.length > 0) yield head
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value
  }
  return { zipped: head[0] === 0x1f && head[1] === 0x8b, chunks: chunks() }
}
