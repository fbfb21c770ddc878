/** Waiting for positions of the log: each waiter is woken when its position can be read, in the index too. */
export class PositionWaiters {
  readonly #waiting = new Set<{ position: number; resolve: () => void }>()
  /** Highest position published to waiters. */
  #publishedHead = -1

  get publishedHead(): number {
    return this.#publishedHead
  }

  /** Wakes those that wait for a position up to `head`. */
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
   * Resolves when a position is published; never rejects. The caller bounds the wait.
   * @returns the promise, and a function that gives up waiting
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

  /** Wakes all: the log closes. */
  close(): void {
    for (const waiting of this.#waiting) waiting.resolve()
    this.#waiting.clear()
  }
}
