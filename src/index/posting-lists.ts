/**
 * The index: posting lists (which positions belong to a stream, a category, a type, a tag …) and the ids that do not
 * name the position of their event. All of it is derived from the log and can be made anew.
 *
 * A commit changes it in memory, at once, before the append is answered; the changes are written to LevelDB behind,
 * many commits together and without sync, each batch with the position it is good to. So a hot list is written once
 * for many appends, no append waits for it, and it is never ahead of the log. After a crash the missing end is replayed
 * from the log (catch-up.ts).
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
  /** Gathers what a large commit changes. */
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

  /** @param kept the families to keep: those that are there, or all in a new index, when undefined */
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
   * Opens the index as it stands on disk and checks its end against the log: a stale head would number two events
   * alike. `kept` are the families to keep: those that are there, or all in a new one, when undefined. Those that cover
   * less than the others are `behind`.
   * @returns undefined when it can only be made anew: damaged, another log's or format's, at odds with the log
   * @throws `directory-in-use`; `directory-unusable` when it or a new identity of the log failed; the signal's reason
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

  /** @returns undefined when it cannot serve @throws `index-damaged` */
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
   * Opens the index to look at it. @returns why it cannot be used, or `older` when it is of an older format
   * @throws what does not come from damage in it, such as `directory-in-use`
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

  /** Calls back when a write of the index fails; the changes stay in memory, and are written after `reopen`. */
  onWriteFailed(onFailed: (error: Error) => void): void {
    this.#writes.onFailed = onFailed
  }

  /** Opens the database again after a write failed: see `IndexWrites.reopen`. */
  reopen(): Promise<void> {
    return this.#writes.reopen()
  }

  /** The log position that everything in memory covers. */
  get appliedTo(): number {
    return this.#pending.appliedTo
  }

  /** The log position that the index on disk covers. */
  get goodTo(): number {
    return this.#store.state.goodTo
  }

  /** True when lists of this family can be read; while it is behind they lack their end. */
  keeps(kind: Family): boolean {
    return this.#families.has(kind)
  }

  /** True when the lists of this family hold all there is. */
  isCurrent(kind: Family): boolean {
    return this.#families.isCurrent(kind)
  }

  /** The families that are being filled, with the log position each covers. */
  get behind(): ReadonlyMap<Family, number> {
    return this.#families.behind
  }

  /** The rule that a family's lists were made by. */
  ruleOf(kind: Family): string | undefined {
    return this.#families.ruleOf(kind)
  }

  /** The log position that a family's lists cover on disk. */
  covers(kind: Family): number {
    return this.#families.covers(kind)
  }

  /** The head of a list if it is in memory: undefined is "not known", null is "there is none". */
  headInMemory(kind: Family, name: string): ListHead | null | undefined {
    return this.#heads.inMemory(kind, name)
  }

  /** A list's head as it is now; the copy does not change when the list grows. */
  head(kind: Family, name: string): Promise<ListHead | undefined> {
    return this.#heads.get(kind, name)
  }

  /** Brings heads into memory with one read; those changed meanwhile keep their changes. @throws `index-damaged` */
  load(lists: readonly ListName[]): Promise<void> {
    return this.#heads.load(lists)
  }

  /**
   * Positions at which the events with these ids may stand, for ids that do not name one. No position: no event of that
   * stream has the id. The caller compares the record at a position: another id may have the same hash.
   * @param ids each with the position of the stream's first event
   * @throws `index-damaged`
   */
  positionsOfIds(ids: readonly { streamId: number; id: Buffer }[]): Promise<number[][]> {
    return this.#ids.positionsOf(ids)
  }

  /**
   * Looks at the pages of ids that events which begin a stream will be entered in: no lookup of a retry has read them.
   * @returns undefined when there are none @throws `index-damaged`
   */
  lookAtNewIds(postings: readonly Posting[]): Promise<unknown> | undefined {
    return this.#ids.lookAtNew(postings)
  }

  /** The position of entry `index` of a list, of `index < head.count`. */
  position(kind: Family, head: ListHead, index: number): Promise<number> {
    return this.#positions.one(kind, head, index)
  }

  /**
   * Positions of `count` entries of a list from entry `from` on, rising. Fewer when the list ends.
   * The head is the caller's snapshot: what is appended meanwhile is not seen.
   */
  positions(kind: Family, head: ListHead, from: number, count: number): Promise<number[]> {
    return this.#positions.some(kind, head, from, count)
  }

  /**
   * All lists of a family whose names begin with a prefix, in UTF-8 order.
   * @throws `index-damaged` when they are counted and one is missing
   */
  all(kind: Family, prefix: string): AsyncGenerator<ListedHead> {
    return this.#byName.all(kind, prefix)
  }

  /** All lists of a family as they stand on disk, each with its head, or with what is wrong with it. */
  inspectLists(kind: Family): AsyncGenerator<InspectedList> {
    return this.#byName.inspect(kind)
  }

  /** Lists of a family by name, after `after` and with a prefix, in UTF-8 order. */
  list(kind: Family, range: ListRange): Promise<ListedHead[]> {
    return this.#byName.some(kind, range)
  }

  /**
   * Takes committed events into the lists that follow the log, in the order of their positions. The heads concerned
   * must be in memory: `load` them in the same turn.
   * @throws when a position does not follow on what was applied, or a number on its stream: then nothing of that event
   * or of those after it was applied
   */
  apply(postings: readonly Posting[]): void {
    this.#growth.apply(postings)
    this.#writes.flushIfMuch()
  }

  /** Passes over an event that cannot be read and was given up. @throws when its position is not the next */
  passOver(position: number): void {
    this.#growth.passOver(position)
  }

  /**
   * Takes events into the lists of the families that are behind. A family that then covers all that was applied
   * follows the log from here on. The heads concerned must be in memory: `load` them in the same turn.
   * @param postings every event from the position after the one furthest behind, in order
   * @param to the position that they reach
   * @throws when they skip or repeat a position; then nothing of them is filled
   */
  fill(postings: readonly Posting[], to: number): void {
    this.#growth.fill(postings, to)
    this.#writes.flushIfMuch()
  }

  /** True when changes pile up faster than they are written; the writer then waits for `flush`. */
  get congested(): boolean {
    return this.#pending.writing !== undefined && this.#pending.filling.size >= limits.index_pending_max
  }

  /** Waits for the write that is under way. @throws when it fails; the changes stay in memory */
  writeUnderWay(): Promise<void> {
    return this.#writes.underWay()
  }

  /**
   * Writes what has changed. Calls while one is under way wait for it and then write the rest.
   * A failed write loses nothing: the changes stay in memory, and are written once the index was opened again.
   */
  flush(): Promise<void> {
    return this.#writes.flush()
  }

  /** Writes what is not written yet. A full disk does not keep it from closing: the log holds it all. */
  async close(): Promise<void> {
    await this.flush().catch(() => {})
    await this.#store.level.close()
  }
}
