/**
 * Readers that wait for a position of the log. A waiter is woken when its position can be read in the log and the
 * index.
 */
export class PositionWaiters {
  readonly #waiting = new Set<{ position: number; resolve: () => void }>()
  /** Highest position published to waiters. */
  #publishedHead = -1

  get publishedHead(): number {
    return this.#publishedHead
  }

  /** Wakes the waiters for positions up to `head`. */
  publish(head: number): void {
    this.#publishedHead = head
    if (this.#waiting.size > 0) this.#wake()
  }

  #wake(): void {
    for (const waiting of this.#waiting) {
      if (waiting.position > this.#publishedHead) continue
      this.#waiting.delete(waiting)
      waiting.resolve()
    }
  }

  /**
   * Waits until a position is published. The caller must set a time-out of its own.
   * @returns a promise that never rejects, and a function that ends the wait by resolving it
   */
  waitFor(position: number): { promise: Promise<void>; cancel: () => void } {
    if (position <= this.#publishedHead) return { promise: Promise.resolve(), cancel: () => {} }
    let resolve = () => {}
    const promise = new Promise<void>((done) => {
      resolve = done
    })
    const waiting = { position, resolve }
    this.#waiting.add(waiting)
    return { promise, cancel: () => this.#waiting.delete(waiting) && resolve() }
  }

  /** Wakes all waiters, because the log closes. */
  close(): void {
    for (const waiting of this.#waiting) waiting.resolve()
    this.#waiting.clear()
  }
}
