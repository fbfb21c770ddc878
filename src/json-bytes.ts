/** What single bytes and names mean in JSON. */

export const ESCAPES = new Set([...'"\\/bfnrt'].map((character) => character.charCodeAt(0)))

export function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39
}

export function isHex(byte: number | undefined): boolean {
  return byte !== undefined && (isDigit(byte) || (byte >= 0x61 && byte <= 0x66) || (byte >= 0x41 && byte <= 0x46))
}

/** The names of an object's members so far. Only an object with thousands of them pays for a set. */
export class MemberNames {
  readonly #few: string[] = []
  #many: Set<string> | undefined

  /** @returns false when the name stands there already */
  add(name: string): boolean {
    if (this.#many?.has(name) ?? this.#few.includes(name)) return false
    if (this.#few.length < 16) this.#few.push(name)
    else (this.#many ??= new Set(this.#few)).add(name)
    return true
  }
}

/** An event is always one line. In JSON a raw line break can only stand between tokens, where a space says the same. */
export function withoutLineBreaks(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes)
  for (let i = 0; i < copy.length; i++) if (copy[i] === 10 || copy[i] === 13) copy[i] = 0x20
  return copy
}
