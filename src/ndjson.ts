/** Streams of lines with one JSON value per line. */
import { DaybookError } from './errors.js'
import { limits } from './limits.js'

/** Maximum bytes of a line. An event of the maximum size fits even if all of it is escaped. */
export const LINE_BYTES_MAX = 2 * limits.event_bytes_max + 64 * 1024

const LINE_BREAK = 10
const BLOCK_BYTES = 64 * 1024

/**
 * Yields the lines of a byte stream without their line breaks, in bounded memory.
 * @throws `event-too-large` for a line over `LINE_BYTES_MAX`, and any error of the stream
 */
export async function* splitLines(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let rest: Buffer[] = []
  let size = 0
  for await (const chunk of body) {
    let start = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      const tail = chunk.subarray(start, end)
      yield rest.length === 0 ? tail : Buffer.concat([...rest, tail])
      rest = []
      size = 0
      start = end + 1
    }
    if (start === chunk.length) continue
    rest.push(chunk.subarray(start))
    size += chunk.length - start
    if (size > LINE_BYTES_MAX) throw lineTooLong()
  }
  if (size > 0) yield Buffer.concat(rest)
}

export interface NumberedLine {
  /** Number of the line, from 1. All lines count, also empty ones. */
  readonly number: number
  /** Without the line break. */
  readonly bytes: Buffer
}

/**
 * Splits the chunks of a body into lines. Lines of white space are counted and left out, at a hundred million lines per
 * second, because a compressed body may consist of nothing else.
 */
export class LineSplitter {
  /** Number of complete lines so far. */
  #number = 0
  /** The incomplete line, in blocks. Keeping one-byte chunks would take a hundred times their size. */
  readonly #blocks: Buffer[] = []
  #pending = 0
  /** Bytes of white space since the last line with content. */
  #blank = 0

  /** Bytes of the incomplete line. */
  get pending(): number {
    return this.#pending
  }

  /**
   * Yields the lines that end in a chunk. Do not change the chunk until all lines are taken.
   * @throws `event-too-large` for a line over `LINE_BYTES_MAX`; `invalid-body` for more than `blank_bytes_max` bytes of
   * white space between two lines with content
   */
  *push(chunk: Buffer): Generator<NumberedLine> {
    let start = 0
    for (;;) {
      if (this.#pending === 0) start = this.#afterBlankLines(chunk, start)
      const end = chunk.indexOf(LINE_BREAK, start)
      if (end < 0) break
      const line = this.#completed(chunk.subarray(start, end))
      start = end + 1
      this.#number++
      if (isBlank(line)) {
        this.#countBlank(line.length + 1)
        continue
      }
      this.#blank = 0
      yield { number: this.#number, bytes: line }
    }
    this.#keep(chunk.subarray(start))
  }

  /** Returns the last line if it has no line break at its end; undefined otherwise. */
  end(): NumberedLine | undefined {
    const bytes = this.#completed(Buffer.alloc(0))
    return isBlank(bytes) ? undefined : { number: this.#number + 1, bytes }
  }

  /** @returns the offset of the first line that has content or does not end in the chunk */
  #afterBlankLines(chunk: Buffer, start: number): number {
    let line = start
    for (let at = start; isSpace(chunk[at]); at++) {
      if (chunk[at] !== LINE_BREAK) continue
      this.#number++
      line = at + 1
    }
    if (line > start) this.#countBlank(line - start)
    return line
  }

  #countBlank(bytes: number): void {
    this.#blank += bytes
    if (this.#blank <= limits.blank_bytes_max) return
    throw new DaybookError(
      'invalid-body',
      `There are more than ${limits.blank_bytes_max} bytes of empty lines in a row.`,
      {
        limit: limits.blank_bytes_max
      }
    )
  }

  /** Stores the beginning of a line that continues in the next chunk. */
  #keep(bytes: Buffer): void {
    if (this.#pending + bytes.length > LINE_BYTES_MAX) throw lineTooLong()
    for (let from = 0; from < bytes.length; ) {
      const used = this.#pending % BLOCK_BYTES
      const index = (this.#pending - used) / BLOCK_BYTES
      const block = (this.#blocks[index] ??= Buffer.allocUnsafeSlow(BLOCK_BYTES))
      const copied = bytes.copy(block, used, from)
      from += copied
      this.#pending += copied
    }
  }

  /** Returns a line that may have begun in earlier chunks. @param end its part in the current chunk */
  #completed(end: Buffer): Buffer {
    if (this.#pending === 0) return end
    if (this.#pending + end.length > LINE_BYTES_MAX) throw lineTooLong()
    const begun = Buffer.concat(this.#blocks, this.#pending)
    this.#pending = 0
    this.#blocks.length = 1 // keep one block for the next line; more are needed only for long lines
    return end.length === 0 ? begun : Buffer.concat([begun, end])
  }
}

function isBlank(line: Buffer): boolean {
  for (const byte of line) if (!isSpace(byte)) return false
  return true
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === LINE_BREAK || byte === 0x0d || byte === 0x09
}

function lineTooLong(): DaybookError {
  return new DaybookError(
    'event-too-large',
    `A line has more than ${LINE_BYTES_MAX} bytes, the maximum for an event.`,
    { limit: LINE_BYTES_MAX }
  )
}
