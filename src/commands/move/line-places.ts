/** Where lines end in the bytes of an input, for lines that were read and are not acknowledged yet. */

/** Places are kept for every so many bytes. */
const EVERY_BYTES = 64 * 1024

export class LinePlaces {
  /** In order; `bytes` is the end of the line. */
  readonly #places: { readonly line: number; readonly bytes: number }[] = []
  #bytes = 0
  #noted = 0
  #passed = 0

  /** Notes the next line. @param length without its line break */
  add(line: number, length: number): void {
    this.#bytes += length + 1
    if (this.#bytes - this.#noted < EVERY_BYTES) return
    this.#noted = this.#bytes
    this.#places.push({ line, bytes: this.#bytes })
  }

  /** Bytes up to a line, to 64 KiB or a line below. Lines must be asked for in order. */
  bytesUpTo(line: number): number {
    let passed = 0
    for (const place of this.#places) {
      if (place.line > line) break
      this.#passed = place.bytes
      passed++
    }
    this.#places.splice(0, passed)
    return this.#passed
  }
}
