/** Helpers for JSON: classes of bytes, and the names of an object's members. */

export const ESCAPES = new Set([...'"\\/bfnrt'].map((character) => character.charCodeAt(0)))

export function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39
}

export function isHex(byte: number | undefined): boolean {
  return byte !== undefined && (isDigit(byte) || (byte >= 0x61 && byte <= 0x66) || (byte >= 0x41 && byte <= 0x46))
}

/** The names of an object's members read so far. Up to 16 are kept in an array; only larger objects need a set. */
export class MemberNames {
  readonly #few: string[] = []
  #many: Set<string> | undefined

  /** Adds a name. @returns false when it was added before */
  add(name: string): boolean {
    if (this.#many?.has(name) ?? this.#few.includes(name)) return false
    if (this.#few.length < 16) this.#few.push(name)
    else (this.#many ??= new Set(this.#few)).add(name)
    return true
  }
}

/**
 * Returns a copy with line breaks replaced by spaces, because an event is always stored as one line. Valid JSON has raw
 * line breaks only between tokens, where a space is equivalent.
 */
export function withoutLineBreaks(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes)
  for (let i = 0; i < copy.length; i++) if (copy[i] === 10 || copy[i] === 13) copy[i] = 0x20
  return copy
}
