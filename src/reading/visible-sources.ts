/**
 * Sources as a viewer may see them. An index stream without events for the viewer does not exist for that viewer, so
 * neither its name nor waiting on it reveals which types, categories and correlations exist. Results are cached per
 * list until access rules change.
 */
import type { Viewer } from '../access/viewer.js'
import { DaybookError } from '../errors.js'
import type { Postings } from '../index/posting-lists.js'
import { limits } from '../limits.js'
import type { Family, ListHead } from '../log/format.js'
import type { Log } from '../log/log.js'
import type { IndexStream } from '../streams/index-streams.js'
import type { Source } from './source.js'
import type { Address, Sources } from './sources.js'
import { walkList } from './walk.js'

/** Records examined in one step. */
const SEARCH_CHUNK = 64
/** Cached for a list that contains an event for the viewer. */
const SHOWN = Infinity

/** What a viewer can see of index streams, valid until access rules change. */
interface KnownLists {
  /** Value of `Viewer.changes` when this was cached. */
  readonly changes: number
  /** By index stream name: the number up to which all events are hidden from the viewer, or `SHOWN`. */
  readonly lists: Map<string, number>
}

export class VisibleSources {
  readonly #log: Log
  readonly #postings: Postings
  readonly #sources: Sources
  readonly #known = new WeakMap<Viewer, KnownLists>()

  constructor(log: Log, postings: Postings, sources: Sources) {
    this.#log = log
    this.#postings = postings
    this.#sources = sources
  }

  /**
   * Returns an index stream as it is now.
   * @param viewer undefined sees everything
   * @throws `stream-not-found` when it lists no event that this viewer may read; `index-switched-off`
   */
  async ofIndex(stream: string, index: IndexStream, viewer: Viewer | undefined): Promise<Source> {
    const source = await this.#sources.ofIndex(stream, index)
    if (source.head >= 0 && (viewer === undefined || (await this.#hasAnyFor(source, viewer)))) return source
    throw new DaybookError('stream-not-found', `Nothing is listed in "${stream}".`, { stream, head: null })
  }

  /**
   * Returns a source for a reader that waits for events, as `Sources.toFollow`. An index stream that lists no event for
   * the viewer is empty.
   * @param viewer undefined sees everything
   * @throws `stream-deleted`, `index-switched-off`
   */
  async toFollow(address: Address, viewer: Viewer | undefined): Promise<Source> {
    const source = await this.#sources.toFollow(address)
    if (!source.index || viewer === undefined || source.head < 0) return source
    return (await this.#hasAnyFor(source, viewer)) ? source : { ...source, list: undefined, head: -1 }
  }

  /**
   * Returns true when an index stream contains an event for the viewer. Examines at most `scan_events_max` records,
   * from the end, where most viewers find one at once. Examines only new records of a list that is cached. A longer list
   * counts as visible: it is better to reveal a name than to hide readable events.
   * @param source an index stream
   */
  async #hasAnyFor({ stream, kind, list, head }: Source, viewer: Viewer): Promise<boolean> {
    if (viewer.seesAllUserStreams) return true
    const { changes, lists } = this.#knownListsOf(viewer)
    const name = stream as string
    const hiddenTo = lists.get(name) ?? -1
    if (hiddenTo >= head) return hiddenTo === SHOWN
    const range = { first: hiddenTo + 1, last: head }
    const walk = { kind: kind as Family, head: list as ListHead, range, order: 'desc', chunk: SEARCH_CHUNK } as const
    let left = limits.scan_events_max
    let holds = false
    for await (const records of this.#log.readAhead(walkList(this.#postings, walk), { wanted: 1 })) {
      left -= records.length
      holds = left < 0 || (await viewer.visible(records)).length > 0
      if (holds) break
    }
    if (viewer.changes === changes) {
      if (lists.size >= limits.lists_cached_max) lists.clear()
      lists.set(name, holds ? SHOWN : head)
    }
    return holds
  }

  #knownListsOf(viewer: Viewer): KnownLists {
    let known = this.#known.get(viewer)
    if (known?.changes !== viewer.changes) {
      known = { changes: viewer.changes, lists: new Map() }
      this.#known.set(viewer, known)
    }
    return known as KnownLists
  }
}
