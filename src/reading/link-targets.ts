/** What link events lead to. */
import type { Viewer } from '../access/viewer.js'
import { DaybookError } from '../errors.js'
import type { StoredRecord } from '../log/format.js'
import { LINK_TYPE, parseLink } from '../streams/links.js'
import type { ReadRequest, ReadResult } from './event-read.js'
import type { Source } from './source.js'
import type { Sources } from './sources.js'

/** Finds one event of a stream by its number. */
interface EventLookup {
  event(source: Source, number: number): Promise<StoredRecord>
}

export class LinkTargets {
  readonly #sources: Sources
  readonly #events: EventLookup

  constructor(sources: Sources, events: EventLookup) {
    this.#sources = sources
    this.#events = events
  }

  /** Puts the events that links point at in their place; a link to what cannot be seen stays itself. */
  async follow<T extends ReadResult>(source: Source, request: ReadRequest, found: T[]): Promise<T[]> {
    if (!request.resolveLinks || source.stream === undefined) return found
    for (const [i, one] of found.entries()) {
      if (!one.record.hasType(LINK_TYPE)) continue
      const target = await this.of(one.record, request.viewer)
      if (target === undefined || target === 'gone') continue
      const link = one.link ?? { stream: source.stream, number: one.cursor }
      found[i] = { ...one, record: target, link }
    }
    return found
  }

  /**
   * The event that a link event points at. One level only: a link to a link gives that link.
   * @param viewer undefined: one who sees everything
   * @returns `gone` when it cannot be seen (any more), or not by this viewer; undefined when the event is no link
   */
  async of(record: StoredRecord, viewer: Viewer | undefined): Promise<StoredRecord | 'gone' | undefined> {
    if (!record.hasType(LINK_TYPE)) return undefined
    const target = parseLink(linkText(record))
    if (target === undefined) return undefined
    if (viewer !== undefined && !(await viewer.mayRead(target.stream))) return 'gone'
    try {
      const source = await this.#sources.ifAny(target.stream)
      if (source === undefined) return 'gone'
      return await this.#events.event(source, target.number === -1 ? source.head : target.number)
    } catch (error) {
      if (error instanceof DaybookError && GONE.has(error.code)) return 'gone'
      throw error
    }
  }
}

/** Why a link leads nowhere. */
const GONE = new Set<string>(['stream-not-found', 'stream-deleted', 'event-not-found', 'event-removed'])

/** What a link event says: text, or a JSON string. */
export function linkText(record: StoredRecord): string {
  const text = record.data?.toString() ?? ''
  if (record.contentType !== undefined || !text.startsWith('"')) return text
  return JSON.parse(text) as string
}
