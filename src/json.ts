/**
 * A JSON reader that preserves bytes. Events are stored byte for byte as they were sent. JSON.parse loses `1.0`, big
 * integers, key order and escapes. So this reader parses the outer object strictly by RFC 8259 and returns members as
 * slices of the body.
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

/** A reader of one body. `at` is the offset of the next byte. */
export class JsonReader {
  readonly bytes: Buffer
  at = 0
  readonly #end: number
  /** True when a raw line break was read between tokens since this was last set to false. */
  #lineBreak = false

  /** @throws `invalid-utf8`, and `malformed-json` for a byte order mark */
  constructor(bytes: Buffer) {
    if (!isUtf8(bytes)) throw new DaybookError('invalid-utf8', 'The body is not valid UTF-8; JSON must be UTF-8.')
    this.bytes = bytes
    this.#end = bytes.length
    if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf)
      this.#fail('a byte order mark is not allowed in JSON')
    this.#space()
  }

  /** The next byte that is not white space. Undefined at the end. */
  get peek(): number | undefined {
    return this.bytes[this.at]
  }

  get atObject(): boolean {
    return this.peek === OPEN_BRACE
  }

  get atArray(): boolean {
    return this.peek === OPEN_BRACKET
  }

  /** Calls back for each element of an array. The callback must read the element. */
  elements(read: (index: number) => void): void {
    if (!this.enterArray()) return
    let index = 0
    do read(index++)
    while (this.nextElement())
  }

  /** Enters an array. @returns true when there is an element, which must be read next */
  enterArray(): boolean {
    this.#expect(OPEN_BRACKET, 'an array')
    return !this.#take(CLOSE_BRACKET)
  }

  /** Moves past an element. @returns true when there is another, which must be read next */
  nextElement(): boolean {
    if (this.#take(CLOSE_BRACKET)) return false
    this.#expect(COMMA, '"," or "]"')
    return true
  }

  /**
   * Calls back for each member of an object. The callback must read the value.
   * @param options `repeats`: allow repeated names
   * @throws `malformed-json` for a repeated name unless `repeats` is set
   */
  members(read: (name: string) => void, { repeats = false } = {}): void {
    const names = repeats ? undefined : new MemberNames()
    for (let name = this.enterObject(names); name !== undefined; name = this.nextMember(names)) read(name)
  }

  /** Enters an object. @returns the name of its first member, whose value must be read next; undefined when empty */
  enterObject(names: MemberNames | undefined): string | undefined {
    this.#expect(OPEN_BRACE, 'an object')
    return this.#take(CLOSE_BRACE) ? undefined : this.#memberName(names)
  }

  /** Moves past a member. @param names names read so far; undefined: repeated names are allowed */
  nextMember(names: MemberNames | undefined): string | undefined {
    if (this.#take(CLOSE_BRACE)) return undefined
    this.#expect(COMMA, '"," or "}"')
    return this.#memberName(names)
  }

  #memberName(names: MemberNames | undefined): string {
    if (this.peek !== QUOTE) this.#fail('expected a member name in double quotes')
    const name = this.#text()
    if (names?.add(name) === false) this.#fail(`the member "${name}" appears twice`)
    this.#expect(COLON, '":"')
    return name
  }

  /** Reads any value and returns its bytes. Raw line breaks between tokens become spaces. */
  slice(): Buffer {
    const start = this.at
    this.#lineBreak = false
    this.#value(0)
    const slice = this.bytes.subarray(start, this.at)
    const line = this.#lineBreak ? withoutLineBreaks(slice) : slice
    this.#space()
    return line
  }

  /**
   * Reads and parses one value. Use it for small members whose exact bytes do not matter.
   * @param bytesMax maximum bytes: parsing a large value takes long, and a hundred times its memory
   * @throws `invalid-body` when the value is larger
   */
  value(bytesMax: number = limits.json_value_bytes_max): unknown {
    if (this.peek === QUOTE) return this.#text()
    const slice = this.slice()
    if (slice.length <= bytesMax) return JSON.parse(slice.toString())
    throw new DaybookError('invalid-body', `A value has ${slice.length} bytes; at most ${bytesMax} are allowed here.`, {
      limit: bytesMax
    })
  }

  /** Checks that only white space is left. @throws `malformed-json` */
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

  /** As `#skip`, but also skips the white space after the byte. */
  #take(byte: number): boolean {
    if (!this.#skip(byte)) return false
    this.#space()
    return true
  }

  #expect(byte: number, what: string): void {
    if (!this.#take(byte))
      this.#fail(this.at >= this.#end ? `expected ${what}, but the text ends here` : `expected ${what}`)
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
    else this.#fail(byte === undefined ? 'expected a value, but the text ends here' : 'expected a value')
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

  /** Reads a string and the white space after it. @returns its text */
  #text(): string {
    const start = this.at
    const plain = this.#string()
    const text = plain
      ? this.bytes.toString('latin1', start + 1, this.at - 1)
      : (JSON.parse(this.bytes.toString('utf8', start, this.at)) as string)
    this.#space()
    return text
  }

  /** Reads a string. @returns true when it is ASCII without escapes */
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
          byte === undefined ? 'a string is not closed' : 'a string contains a control character; write it as an escape'
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
      this.#fail('a string contains an unknown escape')
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
    if (this.at === start) this.#fail('a digit is missing in a number')
  }

  #word(word: string): void {
    if (this.bytes.toString('latin1', this.at, this.at + word.length) !== word) this.#fail('expected a value')
    this.at += word.length
  }
}
