/** Streams of lines, a JSON value each. */
import { DaybookError } from './errors.js'
import { limits } from './limits.js'

/** Bytes of a line: it may hold an event of the largest size with everything in it escaped. */
export const LINE_BYTES_MAX = 2 * limits.event_bytes_max + 64 * 1024

const LINE_BREAK = 10
const BLOCK_BYTES = 64 * 1024

/**
 * The lines of a byte stream, without their line breaks, in bounded memory.
 * @throws `event-too-large` for a line that no event can need, and what the stream throws
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
  /** Counts all lines, from 1. */
  readonly number: number
  /** Without the line break. */
  readonly bytes: Buffer
}

/**
 * Finds the lines of a body in the chunks that come. Lines of white space are counted and left out, a hundred million of
 * them a second: a compressed body may hold nothing else.
 */
export class LineSplitter {
  /** Lines that have ended. */
  #number = 0
  /** The line that has not ended, in blocks: chunks may be of one byte each, and would take a hundred times their size. */
  readonly #blocks: Buffer[] = []
  #pending = 0
  /** White space since the last line with something on it. */
  #blank = 0

  /** Bytes of the line that has not ended. */
  get pending(): number {
    return this.#pending
  }

  /**
   * The lines that end in a chunk. The chunk must stay as it is until all of them are taken.
   * @throws `event-too-large` for a line that no event can need, `invalid-body` for `blank_bytes_max` of white space
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

  /** The line that no line break ends; undefined when there is none. */
  end(): NumberedLine | undefined {
    const bytes = this.#completed(Buffer.alloc(0))
    return isBlank(bytes) ? undefined : { number: this.#number + 1, bytes }
  }

  /** @returns where the first line begins that has something on it, or does not end in the chunk */
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
      `More than ${limits.blank_bytes_max} bytes of empty lines follow each other.`,
      {
        limit: limits.blank_bytes_max
      }
    )
  }

  /** Keeps the beginning of a line that goes on in the next chunk. */
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

  /** The line that has begun in earlier chunks, with its end. */
  #completed(end: Buffer): Buffer {
    if (this.#pending === 0) return end
    if (this.#pending + end.length > LINE_BYTES_MAX) throw lineTooLong()
    const begun = Buffer.concat(this.#blocks, this.#pending)
    this.#pending = 0
    this.#blocks.length = 1 // the others are for long lines
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
  return new DaybookError('event-too-large', 'A line is longer than an event can be.', { limit: LINE_BYTES_MAX })
}
