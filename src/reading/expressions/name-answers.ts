/**
 * A cache of the expressions' answers for names, kept across requests. Names repeat, and a look-up costs less than
 * matching. All expressions share its memory. When it is full, the least recently used names are evicted.
 */

/** Bytes of one entry, without the characters of its name. */
const ENTRY_BYTES = 64

export class AnswerMemory {
  // Entries are kept in two generations, new and old.
  /** Byte limit of one generation: half of the total. */
  readonly #halfBytes: number
  #newBytes = 0
  /** The expressions with answers in the new generation, and in the old one. */
  #new = new Set<NameAnswers>()
  #old = new Set<NameAnswers>()

  /** @param bytes limit of all answers together */
  constructor(bytes: number) {
    this.#halfBytes = bytes / 2
  }

  /** Counts a new answer. When the new generation is full, it replaces the old one, which is evicted. */
  added(answers: NameAnswers, key: string): void {
    this.#new.add(answers)
    this.#newBytes += key.length + ENTRY_BYTES
    if (this.#newBytes < this.#halfBytes) return
    for (const one of this.#old) one.evictOld()
    for (const one of this.#new) one.age()
    this.#old = this.#new
    this.#new = new Set()
    this.#newBytes = 0
  }
}

/** The cached answers of one expression. */
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

  /** Turns the new answers into old ones. */
  age(): void {
    this.#old = this.#new
    this.#new = new Map()
  }

  evictOld(): void {
    this.#old = new Map()
  }
}
