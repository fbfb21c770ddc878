/** A reservation: bytes of a share that one request holds until it releases them. */

/** The share that gets the bytes back. */
interface Lender {
  give(bytes: number): void
}

export class MemoryHold {
  readonly #lender: Lender
  #bytes: number

  constructor(lender: Lender, bytes: number) {
    this.#lender = lender
    this.#bytes = bytes
  }

  /** Bytes reserved now. */
  get bytes(): number {
    return this.#bytes
  }

  /** Keeps so many bytes and releases the rest. Does nothing when it holds fewer. */
  shrink(bytes: number): void {
    const released = this.#bytes - bytes
    if (released <= 0) return
    this.#bytes = bytes
    this.#lender.give(released)
  }

  /** Releases all bytes. Repeated calls do nothing. */
  release(): void {
    this.shrink(0)
  }
}
