/** The latest that a stream says of something: it counts as long as the stream's metadata does not hide it. */
export class LatestValue<T> {
  #said: { readonly value: T | undefined; readonly number: number } | undefined
  #truncation = 0

  /** @param value undefined: that there is no such thing (any more) @param number of the event that says so */
  say(value: T | undefined, number: number): void {
    this.#said = { value, number }
  }

  /** Events with lower numbers are hidden from now on. */
  truncate(before: number): void {
    this.#truncation = before
  }

  /** Nothing is said any more: the stream has ended. */
  end(): void {
    this.#said = undefined
  }

  /** Undefined when nothing was said, or what was said is hidden. */
  get value(): T | undefined {
    return this.#said !== undefined && this.#said.number >= this.#truncation ? this.#said.value : undefined
  }

  /** Number of the event that says it, hidden or not. */
  get number(): number | undefined {
    return this.#said?.number
  }
}
