/** Resolves link events to the events they point at. */
import type { Viewer } from '../access/viewer.js'
import { DaybookError } from '../errors.js'
import type { StoredRecord } from '../log/format.js'
import { READ_BYTES, type ReadAheadOptions } from '../log/records/read-ahead.js'
import { LINK_TYPE, parseLink } from '../streams/links.js'
import type { ReadRequest, ReadResult } from './event-read.js'
import type { ReadMemory } from './read-memory.js'
import type { Source } from './source.js'
import type { Sources } from './sources.js'

/** Finds one event of a stream by its number. */
interface EventLookup {
  event(source: Source, number: number, viewer: undefined, memory: ReadMemory | undefined): Promise<StoredRecord>
}

export class LinkTargets {
  readonly #sources: Sources
  readonly #events: EventLookup

  constructor(sources: Sources, events: EventLookup) {
    this.#sources = sources
    this.#events = events
  }

  /** Returns true when the read follows links and the results contain at least one. */
  anyIn(source: Source, request: ReadRequest, found: readonly ReadResult[]): boolean {
    if (!request.resolveLinks || source.stream === undefined) return false
    return found.some(({ record }) => record.hasType(LINK_TYPE))
  }

  /**
   * Replaces each link event with the event it points at. A link to an event that cannot be seen is kept as it is. A
   * small link may point at a large event, so results are yielded in parts of about `READ_BYTES`.
   * @param reserve called with the bytes of a large part; reading continues when its promise is fulfilled
   */
  async *follow<T extends ReadResult>(
    source: Source,
    request: ReadRequest,
    found: T[],
    reserve?: ReadAheadOptions['reserve']
  ): AsyncGenerator<T[]> {
    if (!this.anyIn(source, request, found)) {
      yield found
      return
    }
    let part: T[] = []
    let bytes = 0
    for (const one of found) {
      const target = await this.of(one.record, request.viewer)
      if (target === undefined || target === 'gone') part.push(one)
      else {
        const link = one.link ?? { stream: source.stream as string, number: one.cursor }
        part.push({ ...one, record: target, link })
        bytes += target.bytes.length
      }
      if (bytes < READ_BYTES) continue
      const reserved = reserve?.(bytes)
      if (reserved !== undefined) await reserved
      yield part
      part = []
      bytes = 0
    }
    if (part.length > 0) yield part
  }

  /**
   * Returns the event that a link event points at. Follows one level only: a link to a link returns the second link.
   * @param viewer undefined sees everything
   * @returns `gone` when the target is missing or not visible to this viewer; undefined when the event is not a link
   */
  async of(
    record: StoredRecord,
    viewer: Viewer | undefined,
    memory?: ReadMemory
  ): Promise<StoredRecord | 'gone' | undefined> {
    if (!record.hasType(LINK_TYPE)) return undefined
    const target = parseLink(linkText(record))
    if (target === undefined) return undefined
    if (viewer !== undefined && !(await viewer.mayRead(target.stream))) return 'gone'
    try {
      const source = await this.#sources.find(target.stream)
      if (source === undefined) return 'gone'
      return await this.#events.event(source, target.number === -1 ? source.head : target.number, undefined, memory)
    } catch (error) {
      if (error instanceof DaybookError && GONE.has(error.code)) return 'gone'
      throw error
    }
  }
}

/** Error codes that mean the target of a link is missing. */
const GONE = new Set<string>(['stream-not-found', 'stream-deleted', 'event-not-found', 'event-removed'])

/** Returns the text of a link event. Its data is plain text or a JSON string. */
export function linkText(record: StoredRecord): string {
  const text = record.data?.toString() ?? ''
  if (record.contentType !== undefined || !text.startsWith('"')) return text
  return JSON.parse(text) as string
}
