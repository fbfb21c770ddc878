/**
 * A JSON reader that keeps bytes. Events are stored as they were sent, byte for byte, which JSON.parse cannot give:
 * it loses `1.0`, big integers, key order and escapes. So the outer object is walked here, strictly as RFC 8259 says,
 * and members are handed out as slices of the body.
 */
import { isUtf8 } from 'node:buffer'
import { DaybookError } from './errors.js'
import { ESCAPES, isDigit, isHex, MemberNames, withoutLineBreaks } from './json-bytes.js'
import { limits } from './limits.js'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const COMMA = 0x2c
const COLON = 0x3a
const MINUS = 0x2d
const DOT = 0x2e

/** One walk over a body; `at` is the next byte to read. */
export class JsonReader {
  readonly bytes: Buffer
  at = 0
  readonly #end: number
  /** A raw line break stood between the tokens read since this was last set to false. */
  #lineBreak = false

  /** @throws `invalid-utf8`, and `malformed-json` for a byte order mark */
  constructor(bytes: Buffer) {
    if (!isUtf8(bytes)) throw new DaybookError('invalid-utf8', 'JSON is UTF-8; these bytes are not.')
    this.bytes = bytes
    this.#end = bytes.length
    if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) this.#fail('a byte order mark is not JSON')
    this.#space()
  }

  /** The next byte that is no white space; undefined at the end. */
  get peek(): number | undefined {
    return this.bytes[this.at]
  }

  get atObject(): boolean {
    return this.peek === OPEN_BRACE
  }

  get atArray(): boolean {
    return this.peek === OPEN_BRACKET
  }

  /** Calls back at each element; the callback must read it. */
  elements(read: (index: number) => void): void {
    if (!this.enterArray()) return
    let index = 0
    do read(index++)
    while (this.nextElement())
  }

  /** Steps into an array. @returns whether there is an element, which is to be read next */
  enterArray(): boolean {
    this.#expect(OPEN_BRACKET, 'an array')
    return !this.#take(CLOSE_BRACKET)
  }

  /** Steps behind an element. @returns whether there is another, which is to be read next */
  nextElement(): boolean {
    if (this.#take(CLOSE_BRACKET)) return false
    this.#expect(COMMA, '"," or "]"')
    return true
  }

  /**
   * Calls back at each member's value; the callback must read it.
   * @param options `repeats`: a name may stand twice
   * @throws `malformed-json` for a name that stands twice, where that is not allowed
   */
  members(read: (name: string) => void, { repeats = false } = {}): void {
    const names = repeats ? undefined : new MemberNames()
    for (let name = this.enterObject(names); name !== undefined; name = this.nextMember(names)) read(name)
  }

  /** Steps into an object. @returns the name of its first member, whose value is to be read next; undefined: none */
  enterObject(names: MemberNames | undefined): string | undefined {
    this.#expect(OPEN_BRACE, 'an object')
    return this.#take(CLOSE_BRACE) ? undefined : this.#memberName(names)
  }

  /** Steps behind a member. @param names those that stood there already; undefined: they may stand twice */
  nextMember(names: MemberNames | undefined): string | undefined {
    if (this.#take(CLOSE_BRACE)) return undefined
    this.#expect(COMMA, '"," or "}"')
    return this.#memberName(names)
  }

  #memberName(names: MemberNames | undefined): string {
    if (this.peek !== QUOTE) this.#fail('expected a member name in double quotes')
    const name = this.#text()
    if (names?.add(name) === false) this.#fail(`the member "${name}" stands twice`)
    this.#expect(COLON, '":"')
    return name
  }

  /** Reads one value of any kind and gives its bytes, raw line breaks between tokens as spaces. */
  slice(): Buffer {
    const start = this.at
    this.#lineBreak = false
    this.#value(0)
    const slice = this.bytes.subarray(start, this.at)
    const whole = this.#lineBreak ? withoutLineBreaks(slice) : slice
    this.#space()
    return whole
  }

  /**
   * Reads one value and parses it: for small members whose bytes do not matter.
   * @param most bytes that it may have: a large one would take long, and a hundred times the memory
   * @throws `invalid-body` when it has more
   */
  value(most: number = limits.json_value_bytes_max): unknown {
    if (this.peek === QUOTE) return this.#text()
    const slice = this.slice()
    if (slice.length <= most) return JSON.parse(slice.toString())
    throw new DaybookError('invalid-body', `A value has ${slice.length} bytes, where at most ${most} are taken.`, {
      limit: most
    })
  }

  /** @throws `malformed-json` when anything but white space is left */
  end(): void {
    if (this.at < this.#end) this.#fail('there is text after the end of the JSON')
  }

  #fail(why: string): never {
    const before = this.bytes.subarray(0, this.at)
    let line = 1
    for (let at = before.indexOf(10); at >= 0; at = before.indexOf(10, at + 1)) line++
    const column = this.at - before.lastIndexOf(10)
    throw new DaybookError('malformed-json', `At line ${line}, column ${column}: ${why}.`, {
      line,
      column,
      offset: this.at
    })
  }

  #space(): void {
    const { bytes } = this
    let byte = bytes[this.at]
    while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) {
      if (byte === 0x0a || byte === 0x0d) this.#lineBreak = true
      byte = bytes[++this.at]
    }
  }

  #skip(byte: number): boolean {
    if (this.bytes[this.at] !== byte) return false
    this.at++
    return true
  }

  /** As #skip, with the space after it. */
  #take(byte: number): boolean {
    if (!this.#skip(byte)) return false
    this.#space()
    return true
  }

  #expect(byte: number, what: string): void {
    if (!this.#take(byte)) this.#fail(this.at >= this.#end ? `expected ${what}, found the end` : `expected ${what}`)
  }

  #value(depth: number): void {
    if (depth > limits.json_depth_max)
      this.#fail(`arrays and objects are nested more than ${limits.json_depth_max} deep`)
    const byte = this.bytes[this.at]
    if (byte === QUOTE) this.#string()
    else if (byte === OPEN_BRACE) this.#object(depth)
    else if (byte === OPEN_BRACKET) this.#array(depth)
    else if (byte === MINUS || (byte !== undefined && isDigit(byte))) this.#number()
    else if (byte === 0x74) this.#word('true')
    else if (byte === 0x66) this.#word('false')
    else if (byte === 0x6e) this.#word('null')
    else this.#fail(byte === undefined ? 'expected a value, found the end' : 'expected a value')
  }

  #object(depth: number): void {
    this.at++
    this.#space()
    if (this.#skip(CLOSE_BRACE)) return
    for (;;) {
      if (this.bytes[this.at] !== QUOTE) this.#fail('expected a member name in double quotes')
      this.#string()
      this.#space()
      this.#expect(COLON, '":"')
      this.#value(depth + 1)
      this.#space()
      if (this.#skip(CLOSE_BRACE)) return
      this.#expect(COMMA, '"," or "}"')
    }
  }

  #array(depth: number): void {
    this.at++
    this.#space()
    if (this.#skip(CLOSE_BRACKET)) return
    for (;;) {
      this.#value(depth + 1)
      this.#space()
      if (this.#skip(CLOSE_BRACKET)) return
      this.#expect(COMMA, '"," or "]"')
    }
  }

  /** Reads a string and the space after it. @returns its text */
  #text(): string {
    const start = this.at
    const plain = this.#string()
    const text = plain
      ? this.bytes.toString('latin1', start + 1, this.at - 1)
      : (JSON.parse(this.bytes.toString('utf8', start, this.at)) as string)
    this.#space()
    return text
  }

  /** @returns true when it is ASCII without escapes */
  #string(): boolean {
    const { bytes } = this
    let plain = true
    let at = this.at + 1
    for (;;) {
      const byte = bytes[at]
      if (byte === QUOTE) break
      if (byte === BACKSLASH) {
        plain = false
        at = this.#escape(at)
        continue
      }
      if (byte === undefined || byte < 0x20) {
        this.at = at
        this.#fail(
          byte === undefined ? 'a string does not end' : 'a control character stands in a string; write it as an escape'
        )
      }
      if (byte > 0x7f) plain = false
      at++
    }
    this.at = at + 1
    return plain
  }

  /** @returns the offset after the escape at `at` */
  #escape(at: number): number {
    const byte = this.bytes[at + 1]
    if (byte === 0x75) {
      for (let i = at + 2; i < at + 6; i++) {
        if (!isHex(this.bytes[i])) {
          this.at = at
          this.#fail('\\u needs four hexadecimal digits')
        }
      }
      return at + 6
    }
    if (byte === undefined || !ESCAPES.has(byte)) {
      this.at = at
      this.#fail('an unknown escape stands in a string')
    }
    return at + 2
  }

  #number(): void {
    const { bytes } = this
    if (bytes[this.at] === MINUS) this.at++
    if (bytes[this.at] === 0x30) this.at++
    else this.#digits()
    if (bytes[this.at] === DOT) {
      this.at++
      this.#digits()
    }
    const byte = bytes[this.at]
    if (byte === 0x65 || byte === 0x45) {
      this.at++
      if (bytes[this.at] === 0x2b || bytes[this.at] === MINUS) this.at++
      this.#digits()
    }
  }

  #digits(): void {
    const start = this.at
    while (isDigit(this.bytes[this.at] ?? 0)) this.at++
    if (this.at === start) this.#fail('a number lacks a digit')
  }

  #word(word: string): void {
    if (this.bytes.toString('latin1', this.at, this.at + word.length) !== word) this.#fail('expected a value')
    this.at += word.length
  }
}
