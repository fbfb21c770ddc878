/**
 * Sources as a viewer may know them: an index stream that lists nothing for the viewer is not there, so that neither its
 * name nor waiting for it reveals which types, categories and correlations there are. What was found out about a list is
 * remembered until access rules change.
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

/** Records that are examined at once. */
const FIRST_LOOK = 64
/** Of a list that holds something. */
const SHOWN = Infinity

/** What a viewer sees of lists, as long as access rules stay as they are. */
interface KnownLists {
  /** `Viewer.changes` by then. */
  readonly changes: number
  /** By the name of the index stream: the number up to which nothing in it is for the viewer, or `SHOWN`. */
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
   * An index stream, to be read now.
   * @param viewer undefined: one who sees everything
   * @throws `stream-not-found` when it lists nothing for this viewer, `index-switched-off`
   */
  async ofIndex(stream: string, index: IndexStream, viewer: Viewer | undefined): Promise<Source> {
    const source = await this.#sources.ofIndex(stream, index)
    if (source.head >= 0 && (viewer === undefined || (await this.#holdsAnyFor(source, viewer)))) return source
    throw new DaybookError('stream-not-found', `Nothing is listed in "${stream}".`, { stream, head: null })
  }

  /**
   * A source for a reader that waits for more, as `Sources.toFollow`. An index stream that lists nothing for the viewer is
   * empty.
   * @param viewer undefined: one who sees everything
   * @throws `stream-deleted`, `index-switched-off`
   */
  async toFollow(address: Address, viewer: Viewer | undefined): Promise<Source> {
    const source = await this.#sources.toFollow(address)
    if (!source.index || viewer === undefined || source.head < 0) return source
    return (await this.#holdsAnyFor(source, viewer)) ? source : { ...source, list: undefined, head: -1 }
  }

  /**
   * Examines at most `scan_events_max` records from the end, where most viewers find one at once, and of a list that was
   * examined before only what is new. A longer list counts as one that holds something for the viewer: revealing a name is
   * better than hiding readable events.
   * @param source an index stream
   */
  async #holdsAnyFor({ stream, kind, list, head }: Source, viewer: Viewer): Promise<boolean> {
    if (viewer.seesAllUserStreams) return true
    const { changes, lists } = this.#knownTo(viewer)
    const name = stream as string
    const hiddenTo = lists.get(name) ?? -1
    if (hiddenTo >= head) return hiddenTo === SHOWN
    const range = { first: hiddenTo + 1, last: head }
    const walk = { kind: kind as Family, head: list as ListHead, range, order: 'desc', chunk: FIRST_LOOK } as const
    let left = limits.scan_events_max
    let holds = false
    for await (const records of this.#log.readAhead(walkList(this.#postings, walk), { wanted: 1 })) {
      left -= records.length
      holds = left < 0 || (await viewer.visible(records)).length > 0
      if (holds) break
    }
    if (viewer.changes === changes) {
      if (lists.size >= limits.lists_known_max) lists.clear()
      lists.set(name, holds ? SHOWN : head)
    }
    return holds
  }

  #knownTo(viewer: Viewer): KnownLists {
    let known = this.#known.get(viewer)
    if (known?.changes !== viewer.changes) {
      known = { changes: viewer.changes, lists: new Map() }
      this.#known.set(viewer, known)
    }
    return known as KnownLists
  }
}
