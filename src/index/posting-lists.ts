/**
 * The index: posting lists (the positions of a stream, a category, a type, a tag …) and the event ids that do not
 * encode the position of their event. All of it is derived from the log and can be rebuilt.
 *
 * A commit changes the index in memory before the append is answered. A background flush writes the changes of many
 * commits to LevelDB together, without sync, with the log position that the batch covers. So a hot list is written once
 * for many appends, appends do not wait for the write, and the index is never ahead of the log. After a crash the
 * missing end is replayed from the log (catch-up.ts).
 */
import { limits } from '../limits.js'
import { families as allFamilies, type Family, FORMAT_VERSION, INDEX_STATE_KEY, type ListHead } from '../log/format.js'
import type { Level } from '../log/level.js'
import type { Log } from '../log/log.js'
import { droppedByLevelDb } from '../log/recovery/evidence.js'
import { isDatabaseDamaged, openFailure } from '../log/storage-faults.js'
import type { ListedHead, ListName, Posting } from './posting.js'
import { agreesWithLog } from './postings/agreement.js'
import { EventIds } from './postings/event-ids.js'
import { IndexWrites } from './postings/index-writes.js'
import { KeptFamilies } from './postings/kept-families.js'
import { ListCounts } from './postings/list-counts.js'
import { ListGrowth } from './postings/list-growth.js'
import { ListHeads } from './postings/list-heads.js'
import { ListPositions } from './postings/list-positions.js'
import { type InspectedList, type ListRange, ListsByName } from './postings/lists-by-name.js'
import { PendingWrites } from './postings/pending-writes.js'
import { Staging } from './postings/staging.js'
import type { PostingsOptions } from './postings-options.js'
import { DamageMarker, isMarkedDamaged } from './storage/damage-marker.js'
import { indexSettingsOf } from './storage/index-state.js'
import { IndexStore, indexDirectory, openIndexLevel, openTables, readState } from './storage/index-store.js'

export class Postings {
  /** Stages the changes of a large commit. */
  readonly staging: Staging
  readonly #store: IndexStore
  readonly #families: KeptFamilies
  readonly #counts: ListCounts
  readonly #pending: PendingWrites
  readonly #heads: ListHeads
  readonly #positions: ListPositions
  readonly #byName: ListsByName
  readonly #ids: EventIds
  readonly #growth: ListGrowth
  readonly #writes: IndexWrites

  /** @param kept the families to keep; undefined: those of the index on disk, or all families in a new index */
  private constructor(store: IndexStore, counted: readonly ListName[], kept: readonly Family[] | undefined) {
    const known = Object.keys(store.state.families) as Family[]
    const families = new KeptFamilies(store, kept ?? (known.length === 0 ? allFamilies : known))
    const counts = new ListCounts(counted, store.state)
    const pending = new PendingWrites(store.state.goodTo)
    const heads = new ListHeads(store, pending)
    const ids = new EventIds(store, pending)
    this.#store = store
    this.#families = families
    this.#counts = counts
    this.#pending = pending
    this.#heads = heads
    this.#positions = new ListPositions(store, pending)
    this.#byName = new ListsByName(store, pending, counts)
    this.#ids = ids
    this.#growth = new ListGrowth({ pending, heads, ids, families, counts, store })
    this.#writes = new IndexWrites({ store, pending, heads, families, counts })
    this.staging = new Staging({ pending, heads, ids, families, growth: this.#growth, writes: this.#writes })
  }

  /**
   * Opens the index on disk and compares its last entries with the log. A stale list head would give the next event a
   * number that is already in use. Families that cover less of the log than the others are `behind`.
   * @param kept the families to keep; undefined: those of the index on disk, or all families in a new index
   * @returns undefined when it must be rebuilt: it is damaged, of another log or format, or disagrees with the log
   * @throws DaybookError `directory-in-use`; `directory-unusable` when the index cannot be opened or a new identity of
   * the log cannot be written; the reason of the signal when it is aborted
   */
  static async open(
    options: PostingsOptions,
    kept: readonly Family[] | undefined,
    log: Log
  ): Promise<Postings | undefined> {
    let level: Level | undefined
    let postings: Postings | undefined
    try {
      level = await openIndexLevel(indexDirectory(options.directory), options.compression, options.caches)
      postings = await Postings.#opened(level, options, kept, log)
      return postings
    } catch (error) {
      if (isDatabaseDamaged(error)) return undefined
      throw openFailure('the index', error)
    } finally {
      if (postings === undefined) await level?.close()
    }
  }

  /** @returns undefined when the index must be rebuilt @throws DaybookError `index-damaged` */
  static async #opened(
    level: Level,
    options: PostingsOptions,
    kept: readonly Family[] | undefined,
    log: Log
  ): Promise<Postings | undefined> {
    const state = await readState(level, log.id)
    await log.noticeCut([{ log: state.log, head: state.goodTo }], 'the index')
    const marker = new DamageMarker(indexDirectory(options.directory), true)
    const store = new IndexStore(await openTables(level, state, log), log, marker)
    const postings = new Postings(store, options.counted ?? [], kept)
    if (!(await postings.#canServe(indexDirectory(options.directory), log))) return undefined
    await postings.#families.followRules(options.rules ?? {}, options.signal)
    return postings
  }

  async #canServe(directory: string, log: Log): Promise<boolean> {
    if (!this.#counts.complete || isMarkedDamaged(directory)) return false
    if (droppedByLevelDb(directory) !== undefined) return false
    return agreesWithLog(log, this.goodTo, this.#heads, this.#positions)
  }

  /**
   * Opens the index for inspection. Returns it, the reason why it is unusable, or `older` when it has an older format.
   * @throws errors other than damage, such as `directory-in-use`
   */
  static async openToInspect(options: PostingsOptions, log: Log): Promise<Postings | { unusable: string } | 'older'> {
    const directory = indexDirectory(options.directory)
    let level: Level | undefined
    let older = false
    try {
      level = await openIndexLevel(directory, options.compression, options.caches)
      const sealed = await level.get(INDEX_STATE_KEY)
      older = sealed !== undefined && (indexSettingsOf(sealed)?.format ?? FORMAT_VERSION) < FORMAT_VERSION
      const tables = await openTables(level, await readState(level, log.id), log)
      const store = new IndexStore(tables, log, new DamageMarker(directory, false))
      return new Postings(store, options.counted ?? [], undefined)
    } catch (error) {
      await level?.close()
      if (!isDatabaseDamaged(error)) throw error
      return older ? 'older' : { unusable: (error as Error).message }
    }
  }

  /** Sets the callback for a failed write of the index. The changes stay in memory and are written after `reopen`. */
  onWriteFailed(onFailed: (error: Error) => void): void {
    this.#writes.onFailed = onFailed
  }

  /** Reopens the database after a failed write: see `IndexWrites.reopen`. */
  reopen(): Promise<void> {
    return this.#writes.reopen()
  }

  /** The log position up to which all changes are in memory. */
  get appliedTo(): number {
    return this.#pending.appliedTo
  }

  /** The log position that the index on disk covers. */
  get goodTo(): number {
    return this.#store.state.goodTo
  }

  /** Returns true when lists of this family can be read. While the family is behind, they lack their end. */
  keeps(kind: Family): boolean {
    return this.#families.has(kind)
  }

  /** Returns true when the lists of this family are complete up to `appliedTo`. */
  isCurrent(kind: Family): boolean {
    return this.#families.isCurrent(kind)
  }

  /** The families that are being filled, with the log position that each covers. */
  get behind(): ReadonlyMap<Family, number> {
    return this.#families.behind
  }

  /** Returns the rule by which a family's lists were built. */
  ruleOf(kind: Family): string | undefined {
    return this.#families.ruleOf(kind)
  }

  /** Returns the log position that a family's lists cover on disk. */
  covers(kind: Family): number {
    return this.#families.covers(kind)
  }

  /** Returns the head of a list if it is in memory; undefined: not in memory; null: there is no such list. */
  headInMemory(kind: Family, name: string): ListHead | null | undefined {
    return this.#heads.inMemory(kind, name)
  }

  /** Resolves with a copy of a list's current head, undefined when there is no such list. */
  head(kind: Family, name: string): Promise<ListHead | undefined> {
    return this.#heads.get(kind, name)
  }

  /** Loads heads into memory with one read; heads changed meanwhile keep their changes. @throws `index-damaged` */
  load(lists: readonly ListName[]): Promise<void> {
    return this.#heads.load(lists)
  }

  /**
   * Returns, for each id that does not encode a position, the positions of candidate events. An empty list means that
   * the stream has no event with this id. The caller must compare the records, because hashes may collide.
   * @param ids each with its stream id: the position of the stream's first event
   * @throws DaybookError `index-damaged`
   */
  positionsOfIds(ids: readonly { streamId: number; id: Buffer }[]): Promise<number[][]> {
    return this.#ids.positionsOf(ids)
  }

  /**
   * Reads the id pages that the events of new streams will change: no look-up for a retry has read these pages.
   * @returns undefined when there are none @throws `index-damaged`
   */
  readNewIdPages(postings: readonly Posting[]): Promise<unknown> | undefined {
    return this.#ids.readNewPages(postings)
  }

  /** Returns the position of entry `index` of a list; `index` must be less than `head.count`. */
  position(kind: Family, head: ListHead, index: number): Promise<number> {
    return this.#positions.one(kind, head, index)
  }

  /**
   * Returns the positions of `count` entries of a list from entry `from` on, ascending; fewer at the end of the list.
   * `head` is the caller's snapshot: entries appended meanwhile are left out.
   */
  positions(kind: Family, head: ListHead, from: number, count: number): Promise<number[]> {
    return this.#positions.some(kind, head, from, count)
  }

  /**
   * Yields all lists of a family whose names begin with a prefix, in UTF-8 order.
   * @throws DaybookError `index-damaged` when the prefix is counted and a list is missing
   */
  all(kind: Family, prefix: string): AsyncGenerator<ListedHead> {
    return this.#byName.all(kind, prefix)
  }

  /** Yields all lists of a family on disk, each with its head or its fault. */
  inspectLists(kind: Family): AsyncGenerator<InspectedList> {
    return this.#byName.inspect(kind)
  }

  /** Returns lists of a family whose names begin with a prefix and come after `after`, in UTF-8 order. */
  list(kind: Family, range: ListRange): Promise<ListedHead[]> {
    return this.#byName.some(kind, range)
  }

  /**
   * Adds committed events to the lists that follow the log, in order of position. The heads of these lists must be in
   * memory: `load` them in the same turn.
   * @throws when a position or an event number is not the next one; then this event and those after it are not applied
   */
  apply(postings: readonly Posting[]): void {
    this.#growth.apply(postings)
    this.#writes.flushIfDue()
  }

  /** Skips an unreadable event that the operator has given up. @throws when its position is not the next one */
  skip(position: number): void {
    this.#growth.skip(position)
  }

  /**
   * Adds events to the lists of the families that are behind. A family that then covers all applied events follows the
   * log from now on. The heads of these lists must be in memory: `load` them in the same turn.
   * @param postings every event after the lowest position in `behind`, in order
   * @param to the position that they reach
   * @throws when they skip or repeat a position; then none is filled
   */
  fill(postings: readonly Posting[], to: number): void {
    this.#growth.fill(postings, to)
    this.#writes.flushIfDue()
  }

  /** True when changes accumulate faster than they are written. The writer then waits for the write under way. */
  get congested(): boolean {
    return this.#pending.writing !== undefined && this.#pending.filling.size >= limits.index_pending_max
  }

  /** Waits for the write under way, if there is one. @throws when it fails; the changes stay in memory */
  writeUnderWay(): Promise<void> {
    return this.#writes.underWay()
  }

  /**
   * Writes all changes. A call during another write waits for it and then writes the rest. Rejects when the write
   * fails; the changes stay in memory and are written after `reopen`.
   */
  flush(): Promise<void> {
    return this.#writes.flush()
  }

  /** Flushes and closes the index. A failed flush is ignored, because the changes can be replayed from the log. */
  async close(): Promise<void> {
    await this.flush().catch(() => {})
    await this.#store.level.close()
  }
}
