/** The lines of an import as they are sent: with ids that they have again when they are sent again. */
import { createHash } from 'node:crypto'
import { isWrittenByServer } from '../../access/permissions.js'
import { DaybookError } from '../../errors.js'
import { idText } from '../../log/format.js'
import { splitLines } from '../../ndjson.js'
import { isObject } from '../../streams/acl.js'
import { nameBasedId } from '../../streams/name-based-id.js'
import { LinePlaces } from './line-places.js'

const NEWLINE = Buffer.from('\n')
const NOTHING = Buffer.alloc(0)
const CARRIAGE_RETURN = 0x0d
const CHUNK_BYTES = 64 * 1024

/** Names the space of ids that are made from lines; never to change, or files imported before would be written twice. */
const IMPORT_NAMESPACE = Buffer.from('7b0e5f0c9d4e4a6c8a51c3f6e2d94b18', 'hex')

export interface LineOptions {
  /** JSON pointer to the member that says when an event without `occurred` happened; undefined: `created`. */
  readonly occurredFrom: string | undefined
  /** Lines without an id get none, so that the store makes a new one. */
  readonly newIds: boolean
}

export class ImportedLines {
  readonly #bytes: AsyncIterable<Buffer>
  readonly #options: LineOptions
  readonly #names = new LineNames()
  readonly places = new LinePlaces()
  #number = 0
  /** Lines of streams that the server keeps of itself, which are left out. */
  ofServer = 0
  /** Lines of removed events, which are left out. */
  removed = 0
  /** Number of the last line that has an event, 0 when there is none. */
  last = 0
  /** Lines that got an id, made from the input or new. */
  withoutId = 0
  /** Why the lines ended before their end. */
  failure: Error | undefined

  constructor(bytes: AsyncIterable<Buffer>, options: LineOptions) {
    this.#bytes = bytes
    this.#options = options
  }

  /**
   * The lines, gathered into chunks. A line that is left out is sent empty, so that the others keep their numbers. When the
   * input cannot be read further, the lines end there and `failure` says why: the lines before are still imported.
   */
  async *chunks(): AsyncGenerator<Buffer> {
    let chunk: Buffer[] = []
    let size = 0
    try {
      for await (const line of splitLines(this.#bytes)) {
        this.#number++
        this.places.add(this.#number, line.length)
        chunk.push(this.#prepare(line), NEWLINE)
        size += line.length
        if (size < CHUNK_BYTES) continue
        yield Buffer.concat(chunk)
        chunk = []
        size = 0
      }
    } catch (error) {
      this.failure = error as Error
    }
    yield Buffer.concat(chunk)
  }

  /** The lines as they stand in the input. @throws what reading throws */
  async *asTheyAre(): AsyncGenerator<Buffer> {
    for await (const line of splitLines(this.#bytes)) {
      this.places.add(++this.#number, line.length)
      yield line
    }
  }

  #prepare(line: Buffer): Buffer {
    const { newIds } = this.#options
    // The id of a line depends on all lines before it, also on those that are left out.
    if (!newIds) this.#names.add(line)
    const event = objectInLine(line)
    if (event === undefined) return line // the server says what is wrong with it
    const { stream, record } = event as { stream?: unknown; record?: { kind?: unknown } | null }
    if (typeof stream === 'string' && isWrittenByServer(stream)) {
      this.ofServer++
      return NOTHING
    }
    if (record?.kind === 'removed') {
      this.removed++
      return NOTHING
    }
    this.last = this.#number
    const hasId = Object.hasOwn(event, 'id')
    if (!hasId) this.withoutId++
    const id = newIds || hasId ? undefined : this.#names.id()
    return withMembers(line, { id, occurred: occurredOf(event, this.#number, this.#options.occurredFrom) })
  }
}

/**
 * Names each line by the SHA-256 of all bytes up to and with the line. A line break counts as one `\n`, whether it is CRLF
 * or LF, or missing at the end of the input. So the same input gives the same names, also when lines were added at its
 * end, and two equal lines get different names.
 */
class LineNames {
  readonly #hash = createHash('sha256')

  add(line: Buffer): void {
    const end = line.length - 1
    this.#hash.update(line[end] === CARRIAGE_RETURN ? line.subarray(0, end) : line).update(NEWLINE)
  }

  /** The id of the line that was added last: a UUID of version 5. */
  id(): string {
    return idText(nameBasedId(IMPORT_NAMESPACE, this.#hash.copy().digest()))
  }
}

function objectInLine(line: Buffer): object | undefined {
  if (line.length === 0) return undefined
  try {
    const value: unknown = JSON.parse(line.toString())
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** Puts members before those that a line has, which stay byte for byte. */
function withMembers(line: Buffer, members: Readonly<Record<string, string | undefined>>): Buffer {
  let text = ''
  for (const [name, value] of Object.entries(members)) {
    if (value !== undefined) text += `"${name}":${JSON.stringify(value)},`
  }
  if (text === '') return line
  const start = line.indexOf('{') + 1
  const rest = line.subarray(start)
  if (/^\s*\}/.test(rest.toString('latin1', 0, 100))) text = text.slice(0, -1)
  return Buffer.concat([line.subarray(0, start), Buffer.from(text), rest])
}

/**
 * When an event happened that does not say so by itself: as a member of its own says, or the `created` it had in the log
 * it was exported from.
 * @throws `import-refused` when what stands there is no text
 */
function occurredOf(event: object, number: number, pointer: string | undefined): string | undefined {
  if (Object.hasOwn(event, 'occurred')) return undefined
  const instant = pointer === undefined ? (event as { created?: unknown }).created : valueAt(event, pointer)
  if (instant === undefined || instant === null) return undefined
  if (typeof instant === 'string') return instant
  throw new DaybookError('import-refused', `line ${number}: what stands at ${pointer ?? '/created'} is no instant`, {
    line: number
  })
}

function valueAt(value: unknown, pointer: string): unknown {
  for (const part of pointer.split('/').slice(1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
    value = (value as Record<string, unknown>)[name]
  }
  return value
}
