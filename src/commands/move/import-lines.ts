/** The lines of an import as they are sent, with ids that are the same when the import is repeated. */
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

/** Namespace of the ids derived from lines. Must never change: files imported before would be written twice. */
const IMPORT_NAMESPACE = Buffer.from('7b0e5f0c9d4e4a6c8a51c3f6e2d94b18', 'hex')

export interface LineOptions {
  /** JSON pointer to the member that becomes `occurred` in events that have none. Undefined: `created`. */
  readonly occurredFrom: string | undefined
  /** Leave lines without an id as they are, so that the store assigns a new one. */
  readonly newIds: boolean
}

export class ImportedLines {
  readonly #bytes: AsyncIterable<Buffer>
  readonly #options: LineOptions
  readonly #ids = new LineIds()
  readonly places = new LinePlaces()
  #number = 0
  /** Number of skipped lines of streams that only the server writes. */
  ofServer = 0
  /** Number of skipped lines of removed events. */
  removed = 0
  /** Number of the last line that has an event, 0 if there is none. */
  last = 0
  /** Number of lines without an id of their own. */
  withoutId = 0
  /** Why the lines ended before the end of the input. */
  failure: Error | undefined

  constructor(bytes: AsyncIterable<Buffer>, options: LineOptions) {
    this.#bytes = bytes
    this.#options = options
  }

  /**
   * Yields the lines in chunks of about 64 KiB. A skipped line is sent empty, so that the other lines keep their
   * numbers. If the input cannot be read further, the lines end there and `failure` says why. The lines before are
   * still imported.
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

  /** Yields the lines unchanged. @throws the errors of reading the input */
  async *asTheyAre(): AsyncGenerator<Buffer> {
    for await (const line of splitLines(this.#bytes)) {
      this.places.add(++this.#number, line.length)
      yield line
    }
  }

  #prepare(line: Buffer): Buffer {
    const { newIds } = this.#options
    // The id of a line depends on all lines before it, including skipped ones.
    if (!newIds) this.#ids.add(line)
    const event = objectInLine(line)
    if (event === undefined) return line // the server reports what is wrong with it
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
    const id = newIds || hasId ? undefined : this.#ids.id()
    return withMembers(line, { id, occurred: occurredOf(event, this.#number, this.#options.occurredFrom) })
  }
}

/**
 * Derives the id of a line from the SHA-256 of all bytes up to the end of the line. A line break counts as one `\n`:
 * CRLF, LF, or none at the end of the input. The same input therefore gives the same ids, even after lines were added
 * at its end, and two equal lines get different ids.
 */
class LineIds {
  readonly #hash = createHash('sha256')

  add(line: Buffer): void {
    const end = line.length - 1
    this.#hash.update(line[end] === CARRIAGE_RETURN ? line.subarray(0, end) : line).update(NEWLINE)
  }

  /** Returns the id of the last added line: a UUID of version 5. */
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

/** Inserts members before the members of a line, which stay byte for byte. */
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
 * Returns the `occurred` to add to an event: the value at the pointer, or, without a pointer, the `created` that the
 * event had in the exported log. Undefined if there is no such value, or the event already has an `occurred`.
 * @throws DaybookError `import-refused` if the value is not a string
 */
function occurredOf(event: object, number: number, pointer: string | undefined): string | undefined {
  if (Object.hasOwn(event, 'occurred')) return undefined
  const instant = pointer === undefined ? (event as { created?: unknown }).created : valueAt(event, pointer)
  if (instant === undefined || instant === null) return undefined
  if (typeof instant === 'string') return instant
  throw new DaybookError('import-refused', `line ${number}: the value at ${pointer ?? '/created'} is not a time`, {
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
