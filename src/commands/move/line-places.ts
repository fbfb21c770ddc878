/** Byte offsets of the lines of an input, for lines that were read and are not acknowledged yet. */

/** Distance between recorded offsets, bytes. */
const EVERY_BYTES = 64 * 1024

export class LinePlaces {
  /** In order. `bytes` is the offset of the end of the line. */
  readonly #places: { readonly line: number; readonly bytes: number }[] = []
  #bytes = 0
  #noted = 0
  #passed = 0

  /** Records the next line. @param length in bytes, without the line break */
  add(line: number, length: number): void {
    this.#bytes += length + 1
    if (this.#bytes - this.#noted < EVERY_BYTES) return
    this.#noted = this.#bytes
    this.#places.push({ line, bytes: this.#bytes })
  }

  /**
   * Returns the number of bytes up to the end of a line. The result is at most 64 KiB plus one line too low. Lines must
   * be queried in order.
   */
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
