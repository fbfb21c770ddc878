/**
 * An index by type and tag of the events that a commit has planned so far. A condition on events looks up its own
 * names, so its cost does not grow with the number of planned events. Each event is indexed once, and only when a
 * condition needs it. Pure.
 */
import { recordKind, StoredRecord } from '../../log/format.js'
import { isSystemStream } from '../../streams/names.js'
import type { NewEvent } from '../../streams/new-event.js'
import { WorkCounter } from '../../work-counter.js'
import type { Match, MatchItem } from './event-condition.js'

interface Planned {
  readonly event: NewEvent
  readonly position: number
}

interface IndexedEvent {
  readonly position: number
  readonly stream: string
  readonly type: string
  readonly tags: ReadonlySet<string>
}

const NO_TAGS: ReadonlySet<string> = new Set()
const NONE: readonly IndexedEvent[] = []

export class PlannedEvents {
  readonly #planned: readonly Planned[]
  /** The number of planned events that are indexed. */
  #indexed = 0
  readonly #byType = new Map<string, IndexedEvent[]>()
  readonly #byTag = new Map<string, IndexedEvent[]>()
  readonly #work = new WorkCounter()

  /** @param planned in order of position; the caller may push further events */
  constructor(planned: readonly Planned[]) {
    this.#planned = planned
  }

  /**
   * Returns the first planned event that matches one of the items. Yields when other work should have a turn of the
   * event loop; nothing may be planned meanwhile.
   * @param after only events after this position count
   * @param isSeen returns whether the events of a stream count
   */
  *first(
    items: readonly MatchItem[],
    after: number,
    isSeen: (stream: string) => boolean
  ): Generator<void, Match | undefined> {
    yield* this.#index()
    let first: IndexedEvent | undefined
    for (const item of items) {
      const { lists, types } = this.#listsFor(item)
      for (const list of lists) {
        for (let i = firstAfter(list, after); i < list.length; i++) {
          const event = list[i] as IndexedEvent
          if (first !== undefined && event.position >= first.position) break
          if (this.#work.add(1 + item.tags.length)) yield
          if (types?.has(event.type) === false || !hasAll(event, item.tags) || !isSeen(event.stream)) continue
          first = event
          break
        }
      }
      if (this.#work.add(1 + item.types.length + item.tags.length)) yield
    }
    return first && { position: first.position, type: first.type }
  }

  *#index(): Generator<void, void> {
    for (; this.#indexed < this.#planned.length; this.#indexed++) {
      const { event, position } = this.#planned[this.#indexed] as Planned
      const { stream, type, record } = event
      if (record.bytes[1] !== recordKind.event || isSystemStream(stream)) continue
      const stored = new StoredRecord(position, record.bytes)
      const tags = stored.hasTags ? new Set(stored.tags) : NO_TAGS
      const indexed = { position, stream, type, tags }
      enterInList(this.#byType, type, indexed)
      for (const tag of tags) enterInList(this.#byTag, tag, indexed)
      if (this.#work.add(1 + tags.size)) yield
    }
  }

  /**
   * Returns the shortest lists that contain all events that match the item: those of its types, or of its rarest tag.
   * Also returns the types to compare, when the list of a tag is used for an item with types.
   */
  #listsFor({ types, tags }: MatchItem): {
    lists: readonly (readonly IndexedEvent[])[]
    types?: ReadonlySet<string>
  } {
    const ofTypes: (readonly IndexedEvent[])[] = []
    let count = 0
    for (const type of types) {
      const list = this.#byType.get(type)
      if (list === undefined) continue
      ofTypes.push(list)
      count += list.length
    }
    let shortest: readonly IndexedEvent[] | undefined
    for (const tag of tags) {
      const list = this.#byTag.get(tag) ?? NONE
      if (shortest === undefined || list.length < shortest.length) shortest = list
    }
    if (shortest === undefined || (types.length > 0 && count < shortest.length)) return { lists: ofTypes }
    return types.length === 0 ? { lists: [shortest] } : { lists: [shortest], types: new Set(types) }
  }
}

function enterInList(lists: Map<string, IndexedEvent[]>, name: string, event: IndexedEvent): void {
  const list = lists.get(name)
  if (list === undefined) lists.set(name, [event])
  else list.push(event)
}

/** Returns the index of the first event after a position; the length of the list when there is none. */
function firstAfter(list: readonly IndexedEvent[], after: number): number {
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((list[middle] as IndexedEvent).position > after) high = middle
    else low = middle + 1
  }
  return low
}

function hasAll(event: IndexedEvent, tags: readonly string[]): boolean {
  for (const tag of tags) if (!event.tags.has(tag)) return false
  return true
}
