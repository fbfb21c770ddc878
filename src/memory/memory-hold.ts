/** Bytes of a share that one request holds until it gives them back. */

/** Where the bytes go back to. */
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

  /** Bytes that are held now. */
  get bytes(): number {
    return this.#bytes
  }

  /** Keeps so many bytes and gives the others back; keeps what is held when that is less. */
  shrink(bytes: number): void {
    const back = this.#bytes - bytes
    if (back <= 0) return
    this.#bytes = bytes
    this.#lender.give(back)
  }

  /** Gives all bytes back. May be called again. */
  release(): void {
    this.shrink(0)
  }
}
