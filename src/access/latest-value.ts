/** The latest value recorded in a stream, unless the stream's metadata hides its event. */
export class LatestValue<T> {
  #latest: { readonly value: T | undefined; readonly number: number } | undefined
  #truncation = 0

  /**
   * Records a newer value.
   * @param value undefined: the event removes the value
   * @param number of the event
   */
  set(value: T | undefined, number: number): void {
    this.#latest = { value, number }
  }

  /** Hides the value if its event has a number below `before`. */
  truncate(before: number): void {
    this.#truncation = before
  }

  /** Removes the value, because the stream has a tombstone. */
  clear(): void {
    this.#latest = undefined
  }

  /** The value; undefined when there is none, or its event is hidden. */
  get value(): T | undefined {
    return this.#latest !== undefined && this.#latest.number >= this.#truncation ? this.#latest.value : undefined
  }

  /** Number of the latest event, hidden or not. */
  get number(): number | undefined {
    return this.#latest?.number
  }
}
