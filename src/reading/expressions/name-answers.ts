/**
 * What expressions have answered for names, remembered across requests: names repeat, and remembering costs less than
 * matching. All expressions share the memory. Of the names that do not fit, those not asked for longest are forgotten.
 */

/** What one entry holds beside the characters of its name, bytes. */
const ENTRY_BYTES = 64

export class AnswerMemory {
  /** Half of what may be held: for the new half and the old half each. */
  readonly #halfBytes: number
  #newBytes = 0
  /** Who has answers in the new half, and in the old half. */
  #new = new Set<NameAnswers>()
  #old = new Set<NameAnswers>()

  /** @param bytes what all answers may hold together */
  constructor(bytes: number) {
    this.#halfBytes = bytes / 2
  }

  /** Called for each new answer. When the new half is full, it becomes the old one, and the old one is forgotten. */
  added(answers: NameAnswers, key: string): void {
    this.#new.add(answers)
    this.#newBytes += key.length + ENTRY_BYTES
    if (this.#newBytes < this.#halfBytes) return
    for (const one of this.#old) one.forgetOld()
    for (const one of this.#new) one.age()
    this.#old = this.#new
    this.#new = new Set()
    this.#newBytes = 0
  }
}

/** The answers of one expression. */
export class NameAnswers {
  readonly #memory: AnswerMemory
  #new = new Map<string, boolean>()
  #old = new Map<string, boolean>()

  constructor(memory: AnswerMemory) {
    this.#memory = memory
  }

  /** @param key the name as records hold it: UTF-8 bytes as latin1 */
  get(key: string): boolean | undefined {
    const known = this.#new.get(key)
    if (known !== undefined || this.#old.size === 0) return known
    const old = this.#old.get(key)
    if (old !== undefined) this.set(key, old)
    return old
  }

  set(key: string, answer: boolean): void {
    this.#new.set(key, answer)
    this.#memory.added(this, key)
  }

  /** The new answers become the old ones. */
  age(): void {
    this.#old = this.#new
    this.#new = new Map()
  }

  forgetOld(): void {
    this.#old = new Map()
  }
}
