/** The bytes of an import: from a file or standard input, unpacked when they are gzip. */
import { createReadStream, type Stats, statSync } from 'node:fs'
import { type Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { badConfiguration } from '../../config.js'
import { DaybookError } from '../../errors.js'

const CHUNK_BYTES = 256 * 1024

export class ImportInput {
  /** A path, or "standard input". */
  readonly #name: string
  readonly #raw: Readable
  /** Undefined: not a file that can be read twice. */
  readonly #file: Stats | undefined
  #read = 0

  /** @param file a path, or `-` for standard input @throws `bad-configuration` when it cannot be read */
  constructor(file: string) {
    this.#name = file === '-' ? 'standard input' : file
    const stats = file === '-' ? undefined : statsOf(file)
    this.#file = stats?.isFile() ? stats : undefined
    this.#raw = file === '-' ? process.stdin : createReadStream(file, { highWaterMark: CHUNK_BYTES })
  }

  /** How much of it has been read, 0 to 1; undefined when its size is not known. */
  fraction(): number | undefined {
    return this.#file && this.#read / Math.max(this.#file.size, 1)
  }

  /** Its bytes, unpacked; read once. @throws `import-refused` for damaged gzip, `bad-configuration` when reading fails */
  async *bytes(): AsyncGenerator<Buffer> {
    try {
      const { zipped, chunks } = await lookAtHead(this.#counted())
      if (!zipped) return yield* chunks
      const gunzip = createGunzip({ chunkSize: CHUNK_BYTES })
      pipeline(chunks, gunzip).catch(() => {}) // its reader gets the error
      yield* gunzip
    } catch (cause) {
      throw this.#unreadable(cause as NodeJS.ErrnoException)
    }
  }

  /**
   * Reads a gzip file to its end, so that nothing is imported of one that is damaged: its checksum stands at its end, and
   * what comes before may be lines with wrong bytes. Standard input can only be read once.
   * @throws as bytes
   */
  async check(): Promise<void> {
    if (this.#file === undefined) return
    try {
      const file = createReadStream(this.#name, { highWaterMark: CHUNK_BYTES })
      const { zipped, chunks } = await lookAtHead(file)
      const nothing = new Writable({ write: (_chunk, _encoding, done) => done() })
      if (zipped) await pipeline(chunks, createGunzip({ chunkSize: CHUNK_BYTES }), nothing)
      else file.destroy()
    } catch (cause) {
      throw this.#unreadable(cause as NodeJS.ErrnoException)
    }
  }

  /** Reads no more. */
  close(): void {
    this.#raw.destroy()
  }

  async *#counted(): AsyncGenerator<Buffer> {
    for await (const chunk of this.#raw as AsyncIterable<Buffer>) {
      this.#read += chunk.length
      yield chunk
    }
  }

  #unreadable(cause: NodeJS.ErrnoException): DaybookError {
    const { code = '', message } = cause
    if (!code.startsWith('Z_')) return cannotRead(this.#name, message, cause)
    const what = code === 'Z_BUF_ERROR' ? 'gzip that was cut' : 'damaged gzip'
    const doubt = this.#file === undefined && code !== 'Z_BUF_ERROR' ? '; events imported from it may be wrong' : ''
    return new DaybookError('import-refused', `${this.#name} is ${what} (${message})${doubt}`, {}, cause)
  }
}

function statsOf(file: string): Stats {
  let stats: Stats
  try {
    stats = statSync(file)
  } catch (cause) {
    throw cannotRead(file, (cause as Error).message, cause)
  }
  if (stats.isDirectory()) throw cannotRead(file, 'it is a directory')
  return stats
}

function cannotRead(name: string, why: string, cause?: unknown): DaybookError {
  return badConfiguration(`cannot read ${name}: ${why}`, cause)
}

/** Whether bytes are gzip, which their first two say, and all the bytes. */
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
