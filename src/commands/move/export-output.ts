/** The output of an export: standard output, or a file that gets its name only when it is complete. */
import { createWriteStream, realpathSync, rmSync, type Stats, statSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import { Readable, type Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { type DaybookError, resourceUnusable, systemReason } from '../../errors.js'
import { adviceFor } from '../../log/storage-faults.js'

/** `whole`: complete; `unread`: the reader of the pipe closed it; `interrupted`: stopped by a signal. */
export type ExportEnd = 'whole' | 'unread' | 'interrupted'

const NEVER = new AbortController().signal

export class ExportOutput {
  /** The value of --output: a path, or `-`. */
  readonly #name: string
  /** The file's real path. Undefined for standard output. */
  readonly #path: string | undefined
  /** The temporary file, renamed when it is complete. Undefined for targets that are no files, such as a pipe. */
  readonly #partial: string | undefined

  /**
   * @param force replace an existing file
   * @throws DaybookError `resource-unusable` for a directory, or for an existing file without `force`
   */
  constructor(output: string, force: boolean) {
    this.#name = output
    if (output === '-') return
    const stats = this.#stats(output)
    if (stats?.isDirectory()) throw this.#cannotWrite('it is a directory; name a file in it')
    if (stats?.isFile() && !force) throw this.#cannotWrite('the file exists; --force replaces it')
    this.#path = stats === undefined ? output : realpathSync(output)
    if (stats === undefined || stats.isFile()) this.#partial = `${this.#path}.partial`
  }

  /** True if lines go to the terminal, where a progress bar would appear between them. */
  get isTerminal(): boolean {
    return this.#path === undefined && process.stdout.isTTY
  }

  /**
   * Writes all chunks, as gzip if the name ends in .gz. Leaves no file on failure.
   * @throws DaybookError `resource-unusable` if the output cannot be written; errors of `chunks`
   */
  async write(chunks: AsyncIterable<Buffer>, signal: AbortSignal = NEVER): Promise<ExportEnd> {
    const partial = this.#partial
    let failure: unknown
    const source = Readable.from(
      watched(chunks, (error) => (failure = error)),
      { objectMode: false }
    )
    try {
      await this.#pipe(source, signal)
      if (partial !== undefined && this.#path !== undefined) await rename(partial, this.#path)
      return 'whole'
    } catch (cause) {
      if (partial !== undefined) rmSync(partial, { force: true })
      if (signal.aborted) return 'interrupted'
      if (failure !== undefined) throw failure
      if ((cause as NodeJS.ErrnoException).code === 'EPIPE') return 'unread'
      const advice = adviceFor(cause)
      throw this.#cannotWrite(`${systemReason(cause)}${advice === undefined ? '' : `. ${advice}`}`, cause)
    }
  }

  #pipe(source: Readable, signal: AbortSignal): Promise<void> {
    const path = this.#partial ?? this.#path
    const target: Writable =
      path === undefined ? process.stdout : createWriteStream(path, { flush: this.#partial !== undefined })
    const end = path !== undefined
    return this.#name.endsWith('.gz')
      ? pipeline(source, createGzip(), target, { end, signal })
      : pipeline(source, target, { end, signal })
  }

  #stats(path: string): Stats | undefined {
    try {
      return statSync(path, { throwIfNoEntry: false })
    } catch (cause) {
      throw this.#cannotWrite(systemReason(cause), cause)
    }
  }

  #cannotWrite(why: string, cause?: unknown): DaybookError {
    const name = this.#path === undefined && this.#name === '-' ? 'standard output' : this.#name
    return resourceUnusable(`cannot write ${name}: ${why}`, cause)
  }
}

/** Passes the chunks on and reports their errors, so that a read error can be distinguished from a write error. */
async function* watched(chunks: AsyncIterable<Buffer>, onError: (error: unknown) => void): AsyncGenerator<Buffer> {
  const iterator = chunks[Symbol.asyncIterator]()
  try {
    for (;;) {
      const next = await iterator.next().catch((error) => {
        onError(error)
        throw error
      })
      if (next.done) return
      yield next.value
    }
  } finally {
    await iterator.return?.()
  }
}
