/**
 * The index: posting lists (which positions belong to a stream, a category, a type, a tag …) and the ids that do not
 * name the position of their event. All of it is derived from the log and can be made anew.
 *
 * A commit changes it in memory, at once, before the append is answered; the changes are written to LevelDB behind,
 * many commits together and without sync, each batch with the position it is good to. So a hot list is written once
 * for many appends, nobody waits for it, and it is never ahead of the log. After a crash the missing end is replayed
 * from the log (streams/posting.ts).
 */
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LRUCache } from 'lru-cache'
import { DaybookError, isDaybookError } from '../errors.js'
import { limits } from '../limits.js'
import {
  BLOCK_SIZE,
  blockKey,
  blockPrefix,
  decodeBlock,
  decodeHead,
  encodeBlock,
  encodeHead,
  type Family,
  FORMAT_VERSION,
  families,
  family,
  headKey,
  headKeyName,
  INDEX_STATE_KEY,
  type ListHead,
  listId,
  nextVersion,
  openEntry,
  type StoredRecord,
  sealEntry,
  table
} from '../log/format.js'
import { Level, type LevelBatch, type LevelOptions } from '../log/level.js'
import type { Log } from '../log/log.js'
import { droppedByLevelDb } from '../log/recovery.js'
import { HashTable, type KeyHash, type TableChange } from './hash-table.js'
import { decodeState, emptyState, encodeState, type FamilyState, type IndexState, settingsOf } from './index-state.js'
import { Pending } from './pending-writes.js'

/** One list: its family, and its name within it. */
export type ListName = readonly [Family, string]

/** What the index must know of one recorded event. */
export interface Posting {
  readonly position: number
  /** The lists it belongs to, whether kept or not; the first is its stream. */
  readonly lists: readonly ListName[]
  readonly created: number
  /** 16 bytes, when the id does not say by itself where the event stands. */
  readonly id: Buffer | undefined
  readonly number: number
}

export interface PostingsOptions {
  directory: string
  compression: boolean
  /** What decides the lists of a family beside the records, as text: with another rule it is made anew. */
  rules?: Partial<Record<Family, string>> | undefined
  /** Prefixes of names whose lists are counted, so that `all` notices when LevelDB hides one of them. */
  counted?: readonly ListName[] | undefined
}

export interface ListedHead {
  name: string
  head: ListHead
}

/** The parts of an index as they stand on disk. */
interface Opened {
  readonly level: Level
  readonly state: IndexState
  readonly lists: HashTable
  readonly ids: HashTable
}

/** One write of the index, as it was when it began. */
interface Write {
  readonly changes: Pending
  readonly state: IndexState
}

export class Postings {
  readonly #directory: string
  readonly #level: Level
  readonly #counted: readonly ListName[]
  /** The families that are kept, each with the log position it covers; those that follow the log have none. */
  readonly #kept = new Map<Family, number | undefined>()
  /** Every list with the version of its head: a list that is not here does not exist. */
  readonly #lists: HashTable
  readonly #ids: HashTable
  /** The state on disk. It also names families that are not kept now. */
  #state: IndexState
  readonly #counts: Map<string, number>
  /** Heads as they are on disk, by family and name. Made when a family is first used: each takes its room at once. */
  readonly #heads: Partial<Record<Family, LRUCache<string, ListHead | typeof NONE>>> = {}
  /** Changed and not yet written. Two generations, so that one can be written while the other fills. */
  #pending = new Pending()
  #writing: Pending | undefined
  #flushing: Promise<void> | undefined
  /** A write that failed, and may be on disk after all: `reopen` finds out. */
  #unsure: Write | undefined
  #appliedTo: number
  #notesDamage = true

  private constructor(
    options: PostingsOptions,
    { id }: Log,
    kept: readonly Family[],
    { level, state, lists, ids }: Opened
  ) {
    this.#directory = join(options.directory, 'index')
    this.#level = level
    this.#counted = options.counted ?? []
    this.#lists = lists
    this.#ids = ids
    this.#state = { ...state, log: id }
    this.#counts = new Map(Object.entries(state.counts))
    this.#appliedTo = state.goodTo
    for (const kind of kept) {
      const covered = state.families[kind]?.goodTo ?? -1
      this.#kept.set(kind, covered < state.goodTo ? covered : undefined)
    }
  }

  /**
   * Opens the index as it stands on disk and checks its end against the log: a stale head would number two events
   * alike. `kept` are the families to keep: those that are there, or all in a new one, when undefined. Those that cover
   * less than the others are `behind`.
   * @returns undefined when it cannot serve (damaged, another log's or format's, at odds with the log); then make it
   * anew: everything in it can be
   * @throws `directory-in-use`; `storage-failed` when the log needs a new identity that cannot be written
   */
  static async open(
    options: PostingsOptions,
    kept: readonly Family[] | undefined,
    log: Log
  ): Promise<Postings | undefined> {
    const directory = join(options.directory, 'index')
    let level: Level | undefined
    let unwritten: unknown
    try {
      level = await Level.open(directory, levelOptions(options))
      const state = await readState(level, log.id)
      await log.noticeCut([{ log: state.log, head: state.goodTo }], 'the index').catch((error) => {
        unwritten = error
      })
      const opened = await openParts(level, state, log)
      const known = Object.keys(state.families) as Family[]
      const postings = new Postings(options, log, kept ?? (known.length === 0 ? families : known), opened)
      const serves = unwritten === undefined && postings.#countsAll && !existsSync(join(directory, DAMAGED))
      if (serves && droppedByLevelDb(directory) === undefined && (await postings.#agreesWith(log))) {
        await postings.#followRules(options.rules ?? {})
        return postings
      }
    } catch (error) {
      if (isDaybookError(error) && error.code === 'directory-in-use') throw error
    }
    await level?.close()
    if (unwritten !== undefined) throw unwritten
    return undefined
  }

  /**
   * Opens the index to look at it, with whatever families it keeps.
   * @returns `unusable` when it cannot be read, `older` when it is of an older format
   * @throws `directory-in-use`
   */
  static async openToInspect(options: PostingsOptions, log: Log): Promise<Postings | 'unusable' | 'older'> {
    let level: Level | undefined
    let older = false
    try {
      level = await Level.open(join(options.directory, 'index'), levelOptions(options))
      const sealed = await level.get(INDEX_STATE_KEY)
      older = sealed !== undefined && (settingsOf(sealed)?.format ?? FORMAT_VERSION) < FORMAT_VERSION
      const opened = await openParts(level, await readState(level, log.id), log)
      const known = Object.keys(opened.state.families) as Family[]
      const postings = new Postings(options, log, known.length === 0 ? families : known, opened)
      postings.#notesDamage = false
      return postings
    } catch (error) {
      if (isDaybookError(error) && error.code === 'directory-in-use') throw error
    }
    await level?.close()
    return older ? 'older' : 'unusable'
  }

  /**
   * The families and rules of an index that cannot serve, for the index that is made in its place.
   * @returns undefined when that cannot be known
   */
  static async settingsOf(options: PostingsOptions): Promise<ReturnType<typeof settingsOf>> {
    let level: Level | undefined
    try {
      level = await Level.open(join(options.directory, 'index'), levelOptions(options))
      const sealed = await level.get(INDEX_STATE_KEY)
      return sealed && settingsOf(sealed)
    } catch {
      return undefined
    } finally {
      await level?.close()
    }
  }

  /** True when every prefix that is to be counted was counted from the beginning. */
  get #countsAll(): boolean {
    return this.#state.goodTo < 0 || this.#counted.every((prefix) => this.#counts.has(prefix.join('')))
  }

  /** Looks at the last events it claims to cover: each must be where the stream's list says. */
  async #agreesWith(log: Log): Promise<boolean> {
    if (this.goodTo < 0) return true
    const from = Math.max(0, this.goodTo - limits.index_checked_events + 1)
    const last = new Map<string, StoredRecord>()
    // A damaged record says nothing here; it is found out when it is read.
    for await (const { record } of log.inspect(from)) {
      if (record !== undefined && record.position <= this.goodTo) last.set(record.stream, record)
    }
    await this.load([...last.keys()].map((stream) => [family.stream, stream] as const))
    for (const [stream, record] of last) {
      const head = this.headInMemory(family.stream, stream)
      if (!head || head.count !== record.number + 1) return false
      if ((await this.position(family.stream, head, record.number)) !== record.position) return false
    }
    return true
  }

  /** Called when a write of the index fails; the changes stay in memory, and are written after `reopen`. */
  onWriteFailed: (error: Error) => void = () => {}

  /**
   * Opens the database again after a write failed; what was not written stays in memory.
   * @throws `directory-unusable`, `storage-failed`; then it can be tried again
   */
  async reopen(): Promise<void> {
    while (this.#flushing !== undefined) await this.#flushing.catch(() => {})
    await this.#level.reopen()
    const unsure = this.#unsure
    const { writes } = await this.#noting(readState(this.#level, this.#state.log))
    if (writes === unsure?.state.writes) this.#written(unsure)
    else if (writes !== this.#state.writes) throw this.#damaged(`its state is that of write ${writes}`)
    else if (unsure !== undefined) this.#notWritten(unsure)
  }

  /** The log position that everything in memory covers. */
  get appliedTo(): number {
    return this.#appliedTo
  }

  /** The log position that the index on disk covers. */
  get goodTo(): number {
    return this.#state.goodTo
  }

  /** True when lists of this family can be read; while it is behind they lack their end. */
  keeps(kind: Family): boolean {
    return this.#kept.has(kind)
  }

  /** True when the lists of this family hold all there is. */
  isCurrent(kind: Family): boolean {
    return this.#kept.has(kind) && this.#kept.get(kind) === undefined
  }

  /** The families that are being filled, with the log position each covers. */
  get behind(): ReadonlyMap<Family, number> {
    const behind = new Map<Family, number>()
    for (const [kind, covered] of this.#kept) if (covered !== undefined) behind.set(kind, covered)
    return behind
  }

  /** The rule that a family's lists were made by. */
  ruleOf(kind: Family): string | undefined {
    return this.#state.families[kind]?.rule
  }

  /** The log position that a family's lists cover on disk. */
  covers(kind: Family): number {
    return Math.min(this.#kept.get(kind) ?? this.goodTo, this.goodTo)
  }

  /** The head of a list if it is in memory: undefined is "not known", null is "there is none". */
  headInMemory(kind: Family, name: string): ListHead | null | undefined {
    const changed = this.#pending.heads[kind].get(name) ?? this.#writing?.heads[kind].get(name)
    if (changed !== undefined) return changed
    const known = this.#heads[kind]?.get(name)
    return known === NONE ? null : known
  }

  /** A list's head as it is now; the copy does not change when the list grows. */
  async head(kind: Family, name: string): Promise<ListHead | undefined> {
    const known = this.headInMemory(kind, name)
    if (known !== undefined) return snapshot(known)
    await this.load([[kind, name]])
    return snapshot(this.headInMemory(kind, name))
  }

  /**
   * Brings heads into memory with one read. Those that are changed meanwhile keep their changes.
   * @throws `index-damaged` when a head is missing, damaged, or not the newest
   */
  async load(lists: readonly ListName[]): Promise<void> {
    for (;;) {
      const missing = lists.filter(([kind, name]) => this.headInMemory(kind, name) === undefined)
      if (missing.length === 0) return
      const { writes } = this.#state
      const wasWriting = this.#writing !== undefined
      const keys = missing.map(([kind, name]) => headKey(kind, name))
      const [values, versions] = await this.#noting(
        Promise.all([this.#level.getMany(keys), this.#lists.find(missing.map((list) => this.#hashOf(list)))])
      )
      // What was read may be older than a write that has ended since, whose heads may have left memory again.
      if (writes !== this.#state.writes) continue
      const odd = missing.find(
        ([kind, name], i) => !this.#take(kind, name, keys[i] as Buffer, values[i], versions[i] as number[])
      )
      if (odd === undefined) return
      // While the index is written, a head may be newer on disk than the table in memory: look again after that.
      if (!wasWriting || this.#flushing === undefined)
        throw this.#damaged(`the head of ${odd[0]} "${odd[1]}" is not the newest`)
      await this.#flushing.catch(() => {})
    }
  }

  /**
   * Takes a head into memory. @param versions of lists that may be this one, as the table of lists has them
   * @returns false when the head is not the one that the table knows
   */
  #take(kind: Family, name: string, key: Buffer, value: Buffer | undefined, versions: readonly number[]): boolean {
    if (this.headInMemory(kind, name) !== undefined) return true
    if (value === undefined) {
      if (versions.length > 0) return false
      this.#keep(kind, name, NONE)
      return true
    }
    const head = this.#opened(() => decodeHead(openEntry(key, value)))
    if (!versions.includes(head.version)) return false
    this.#keep(kind, name, head)
    return true
  }

  /** The key of a list in the table of lists. */
  #hashOf([kind, name]: ListName): KeyHash {
    return this.#lists.hashOf(`${kind}${this.#state.families[kind]?.emptied ?? ''}:${name}`)
  }

  #keep(kind: Family, name: string, head: ListHead | typeof NONE): void {
    this.#heads[kind] ??= new LRUCache({ max: limits.heads_cached_max })
    this.#heads[kind].set(name, head)
  }

  /**
   * Positions at which the events with these ids may stand, for ids that do not name one. No position: no event of that
   * stream has the id. The caller compares the record at a position: another id may have the same hash.
   * @throws `index-damaged`
   */
  async positionsOfIds(ids: readonly { streamId: number; id: Buffer }[]): Promise<number[][]> {
    const keys = ids.map(({ streamId, id }) => idKey(streamId, id))
    const found = keys.map((key) => {
      const position = this.#pending.ids.get(key) ?? this.#writing?.ids.get(key)
      return position === undefined ? undefined : [position]
    })
    const missing = keys.filter((_, i) => found[i] === undefined)
    if (missing.length === 0) return found as number[][]
    const rest = await this.#noting(this.#ids.find(missing.map((key) => this.#ids.hashOf(key))))
    return found.map((positions) => positions ?? (rest.shift() as number[]))
  }

  /** The position of entry `index` of a list, of `index < head.count`. */
  async position(kind: Family, head: ListHead, index: number): Promise<number> {
    const [position] = await this.positions(kind, head, index, 1)
    return position as number
  }

  /**
   * Positions of `count` entries of a list from entry `from` on, rising. Fewer when the list ends.
   * The head is the caller's snapshot: what is appended meanwhile is not seen.
   */
  async positions(kind: Family, head: ListHead, from: number, count: number): Promise<number[]> {
    const end = Math.min(from + count, head.count)
    const tailFrom = head.count - (head.count % BLOCK_SIZE)
    if (from >= tailFrom) return head.tail.slice(from - tailFrom, end - tailFrom)
    const firstBlock = Math.floor(from / BLOCK_SIZE)
    const lastBlock = Math.floor((Math.min(end, tailFrom) - 1) / BLOCK_SIZE)
    const keys: Buffer[] = []
    for (let block = firstBlock; block <= lastBlock; block++) keys.push(blockKey(kind, head.id, block))
    const blocks = await this.#blocks(keys)
    const positions = blocks.length === 1 ? (blocks[0] as number[]) : blocks.flat()
    const skipped = firstBlock * BLOCK_SIZE
    const inBlocks = positions.slice(from - skipped, Math.min(end, tailFrom) - skipped)
    return end <= tailFrom ? inBlocks : inBlocks.concat(head.tail.slice(0, end - tailFrom))
  }

  async #blocks(keys: Buffer[]): Promise<number[][]> {
    const pending = keys.map((key) => {
      const text = key.toString('latin1')
      return this.#pending.blocks.get(text) ?? this.#writing?.blocks.get(text)
    })
    if (pending.every((block) => block !== undefined)) return pending
    const values = await this.#level.getMany(keys)
    return keys.map((key, i) => {
      const changed = pending[i]
      if (changed !== undefined) return changed
      const value = values[i]
      if (value === undefined) throw this.#damaged(`the block ${key.toString('hex')} is missing`)
      return this.#opened(() => decodeBlock(openEntry(key, value)))
    })
  }

  /**
   * Looks at the pages of ids that events which begin a stream will be entered in: nobody has looked for them there.
   * @returns undefined when there are none
   * @throws `index-damaged`
   */
  lookAtNewIds(postings: readonly Posting[]): Promise<unknown> | undefined {
    const keys: string[] = []
    const begun = new Map<string, number>()
    for (const { id, lists, position, number } of postings) {
      if (id === undefined) continue
      const [, stream] = lists[0] as ListName
      if (number === 0) begun.set(stream, position)
      const streamId = begun.get(stream)
      if (streamId !== undefined) keys.push(idKey(streamId, id))
    }
    return keys.length === 0 ? undefined : this.#noting(this.#ids.find(keys.map((key) => this.#ids.hashOf(key))))
  }

  /** Waits for what may find damage, and notes that down. */
  async #noting<T>(work: Promise<T>): Promise<T> {
    try {
      return await work
    } catch (error) {
      throw this.#noted(error)
    }
  }

  #opened<T>(open: () => T): T {
    try {
      return open()
    } catch (error) {
      throw this.#noted(error)
    }
  }

  #damaged(what: string): unknown {
    return this.#noted(new DaybookError('index-damaged', `The index is damaged: ${what}.`))
  }

  /** An index in which damage was found is made anew at the next start. */
  #noted(error: unknown): unknown {
    if (this.#notesDamage && isDaybookError(error) && error.code === 'index-damaged') {
      try {
        writeFileSync(join(this.#directory, DAMAGED), error.message)
      } catch {} // it is found again
    }
    return error
  }

  /**
   * Takes committed events into the lists that follow the log, in the order of their positions. The heads concerned
   * must be in memory: `load` them in the same turn.
   * @throws when a position does not follow on what was applied, or a number on its stream: then nothing of that event
   * or of those after it was applied
   */
  apply(postings: readonly Posting[]): void {
    for (const posting of postings) {
      const { lists, id } = posting
      const [, name] = lists[0] as ListName
      if (posting.position !== this.#appliedTo + 1) {
        throw new Error(`position ${posting.position} was applied after ${this.#appliedTo}`)
      }
      const stream = this.#extend(family.stream, name, posting, 0)
      for (let i = 1; i < lists.length; i++) {
        const [kind, name] = lists[i] as ListName
        if (this.isCurrent(kind)) this.#extend(kind, name, posting, ordinalOf(lists, i))
      }
      if (id !== undefined) {
        // Of events with one id, which only older logs hold, the first counts.
        const key = idKey(stream.id, id)
        if (!this.#pending.ids.has(key)) this.#pending.ids.set(key, posting.position)
        this.#pending.size++
      }
      this.#appliedTo = posting.position
    }
    const much = this.#pending.size >= limits.index_pending_max
    if (much || this.#appliedTo - this.goodTo >= limits.index_behind_events_max) this.#flushBehind()
  }

  /** Nobody waits for this write: a failure goes to `onWriteFailed`, and the changes are written after `reopen`. */
  #flushBehind(): void {
    if (this.#unsure === undefined) this.flush().catch(() => {})
  }

  /**
   * Takes events into the lists of the families that are behind. A family that then covers all that was applied
   * follows the log from here on. The heads concerned must be in memory: `load` them in the same turn.
   * @param postings every event from the position after the one furthest behind, in order
   * @param to the position that they reach
   * @throws when they skip or repeat a position; then nothing of them is filled
   */
  fill(postings: readonly Posting[], to: number): void {
    const { behind } = this
    let last = Math.min(...behind.values())
    for (const { position } of postings) {
      if (position !== ++last) throw new Error(`position ${position} was to be filled, but ${last} is next`)
    }
    if (to > last) throw new Error(`filled to ${to}, but only events up to ${last} were given`)
    for (const posting of postings) {
      const { lists, position } = posting
      for (let i = 1; i < lists.length; i++) {
        const [kind, name] = lists[i] as ListName
        const covered = behind.get(kind)
        if (covered !== undefined && position > covered) this.#extend(kind, name, posting, ordinalOf(lists, i))
      }
    }
    for (const [kind, covered] of behind) {
      const reached = Math.max(covered, to)
      this.#kept.set(kind, reached >= this.#appliedTo ? undefined : reached)
      this.#pending.size++
    }
    if (this.#pending.size >= limits.index_pending_max) this.#flushBehind()
  }

  #extend(kind: Family, name: string, posting: Posting, ordinal: number): ListHead {
    let head = this.#pending.heads[kind].get(name)
    if (head === undefined) {
      const known = this.headInMemory(kind, name)
      if (known === undefined) throw new Error(`the head of "${name}" (${kind}) was not loaded before it was extended`)
      if (known === null) {
        head = { id: listId(posting.position, ordinal), count: 0, updated: 0, tail: [], version: 0 }
        this.#count(kind, name)
      } else head = { ...known, tail: known.tail.slice() }
      this.#pending.heads[kind].set(name, head)
      this.#pending.size++
    }
    if (kind === family.stream && posting.number !== head.count) {
      const { position, number } = posting
      throw this.#damaged(`event ${number} of "${name}" (position ${position}) follows on ${head.count} events`)
    }
    head.count++
    head.updated = posting.created
    // Snapshots of heads share this array: entries are only ever added to it, and a full one becomes a block.
    head.tail.push(posting.position)
    if (head.tail.length === BLOCK_SIZE) {
      const block = head.count / BLOCK_SIZE - 1
      this.#pending.blocks.set(blockKey(kind, head.id, block).toString('latin1'), head.tail)
      this.#pending.size++
      head.tail = []
    }
    return head
  }

  /** There is one list more. */
  #count(kind: Family, name: string): void {
    for (const [counted, prefix] of this.#counted) {
      if (counted !== kind || !name.startsWith(prefix)) continue
      this.#counts.set(kind + prefix, (this.#counts.get(kind + prefix) ?? 0) + 1)
    }
  }

  /** True when changes pile up faster than they are written; the writer then waits for `flush`. */
  get congested(): boolean {
    return this.#writing !== undefined && this.#pending.size >= limits.index_pending_max
  }

  /**
   * Writes what has changed. Calls while one is under way wait for it and then write the rest.
   * A failed write loses nothing: the changes stay in memory, and are written once the index was opened again.
   */
  async flush(): Promise<void> {
    if (this.#flushing !== undefined) {
      await this.#flushing
      return this.#pending.size === 0 ? undefined : this.flush()
    }
    if (this.#unsure !== undefined) throw new Error('a write of the index failed; it must be opened again first')
    if (this.#appliedTo === this.goodTo && this.#pending.size === 0) return
    this.#flushing = this.#writePending().finally(() => {
      this.#flushing = undefined
    })
    await this.#flushing
  }

  async #writePending(): Promise<void> {
    // All of one moment: what is applied while the tables are prepared belongs to the next write.
    const changes = this.#pending
    const goodTo = this.#appliedTo
    const families = { ...this.#state.families }
    for (const [kind, covered] of this.#kept) families[kind] = { ...families[kind], goodTo: covered ?? goodTo }
    for (const [kind, prefix] of this.#counted) this.#counts.set(kind + prefix, this.#counts.get(kind + prefix) ?? 0)
    const counts = Object.fromEntries(this.#counts)
    this.#writing = changes
    this.#pending = new Pending()
    let write: Write | undefined
    try {
      await this.#prepareTables(changes)
      const tables = { [table.lists]: this.#lists.nextState, [table.ids]: this.#ids.nextState }
      write = { changes, state: { ...this.#state, goodTo, families, counts, tables, writes: this.#state.writes + 1 } }
      await this.#level.write(this.#batchOf(write))
    } catch (error) {
      // What could not even be prepared is certainly not on disk.
      if (write === undefined) this.#takeBack(changes)
      this.#unsure = write
      this.onWriteFailed(error as Error)
      throw error
    }
    this.#written(write)
  }

  async #prepareTables(changes: Pending): Promise<void> {
    const heads: TableChange[] = []
    for (const kind of families) {
      for (const [name, head] of changes.heads[kind]) {
        const { version } = head
        heads.push({
          hash: this.#hashOf([kind, name]),
          value: nextVersion(version),
          before: version === 0 ? undefined : version
        })
      }
    }
    const ids = [...changes.ids].map(([key, position]) => ({ hash: this.#ids.hashOf(key), value: position }))
    // Both to their end: a table that goes on by itself would work out changes beside those of the next write.
    for (const one of await Promise.allSettled([this.#lists.prepare(heads), this.#ids.prepare(ids)])) {
      if (one.status === 'rejected') throw this.#noted(one.reason)
      if (one.value !== undefined) this.#noted(one.value)
    }
  }

  #batchOf({ changes, state }: Write): LevelBatch {
    const batch = this.#level.batch()
    const put = (key: Buffer, value: Buffer) => batch.put(key, sealEntry(key, value))
    for (const kind of families) {
      for (const [name, head] of changes.heads[kind]) {
        put(headKey(kind, name), encodeHead(head, nextVersion(head.version)))
      }
    }
    for (const [key, block] of changes.blocks) put(Buffer.from(key, 'latin1'), encodeBlock(block))
    this.#lists.put(batch)
    this.#ids.put(batch)
    batch.put(INDEX_STATE_KEY, encodeState(state))
    return batch
  }

  /** A write is on disk. */
  #written({ changes, state }: Write): void {
    this.#lists.written()
    this.#ids.written()
    for (const kind of families) {
      const pending = this.#pending.heads[kind]
      for (const [name, head] of changes.heads[kind]) {
        head.version = nextVersion(head.version)
        const newer = pending.get(name)
        if (newer === undefined) this.#keep(kind, name, head)
        else newer.version = head.version
      }
      for (const name of pending.keys()) this.#heads[kind]?.delete(name)
    }
    this.#state = state
    this.#writing = undefined
    this.#unsure = undefined
  }

  /** A write is certainly not on disk: its changes wait for the next one. */
  #notWritten({ changes }: Write): void {
    this.#takeBack(changes)
    this.#unsure = undefined
  }

  #takeBack(changes: Pending): void {
    this.#pending.takeOlder(changes)
    this.#writing = undefined
  }

  /** Empties the families whose lists another rule has made; they are behind from the beginning then. */
  async #followRules(rules: Partial<Record<Family, string>>): Promise<void> {
    for (const [kind, rule] of Object.entries(rules) as [Family, string][]) {
      const before = this.#state.families[kind]
      if (before !== undefined && (before.rule ?? USUAL_RULE) !== rule) {
        // No rule until it is empty: a crash in the middle of the emptying is found out at the next start.
        this.#setFamily(kind, { goodTo: -1, rule: '', emptied: (before.emptied ?? 0) + 1 })
        await this.#clear(kind)
        if (this.#kept.has(kind) && this.goodTo >= 0) this.#kept.set(kind, -1)
      }
      this.#setFamily(kind, { goodTo: -1, ...this.#state.families[kind], rule })
    }
  }

  #setFamily(kind: Family, state: FamilyState): void {
    this.#state = { ...this.#state, families: { ...this.#state.families, [kind]: state } }
  }

  async #clear(kind: Family): Promise<void> {
    let batch = this.#level.batch()
    batch.put(INDEX_STATE_KEY, encodeState(this.#state))
    for (const prefix of [headKey(kind, ''), blockPrefix(kind)]) {
      let count = 0
      for await (const { key } of this.#level.entries({ gte: prefix, lt: endOfPrefix(prefix) })) {
        batch.del(key)
        if (++count % CLEAR_CHUNK !== 0) continue
        await this.#level.write(batch)
        batch = this.#level.batch()
      }
    }
    await this.#level.write(batch)
  }

  /**
   * All lists of a family whose names begin with a prefix, in UTF-8 order.
   * @throws `index-damaged` when they are counted and one is missing
   */
  async *all(kind: Family, prefix: string): AsyncGenerator<ListedHead> {
    const limit = 1000
    const before = this.#counts.get(kind + prefix)
    let found = 0
    for (let after: string | undefined; ; ) {
      const page = await this.list(kind, { prefix, after, limit })
      yield* page
      found += page.length
      if (page.length < limit) break
      after = page.at(-1)?.name
    }
    const count = this.#counts.get(kind + prefix)
    // One that was begun meanwhile may have been passed by.
    if (count !== undefined && count === before && count !== found) {
      throw this.#damaged(`${count} lists of ${kind} begin with "${prefix}", and ${found} can be read`)
    }
  }

  /** Lists of a family by name, after `after` and with a prefix, in UTF-8 order. */
  async list(
    kind: Family,
    options: { prefix: string; after?: string | undefined; limit: number }
  ): Promise<ListedHead[]> {
    const prefix = headKey(kind, options.prefix)
    const after = options.after === undefined ? undefined : headKey(kind, options.after)
    const from = after !== undefined && after.compare(prefix) > 0 ? { gt: after } : { gte: prefix }
    const end = endOfPrefix(prefix)
    const found = new Map<string, ListedHead & { key: Buffer }>()
    for (const [name, head] of [...(this.#writing?.heads[kind] ?? []), ...this.#pending.heads[kind]]) {
      const key = headKey(kind, name)
      const inside = key.compare(from.gt ?? (from.gte as Buffer)) >= (from.gt ? 1 : 0) && key.compare(end) < 0
      if (inside) found.set(name, { key, name, head: { ...head } })
    }
    for await (const { key, value } of this.#level.entries({ ...from, lt: end, limit: options.limit })) {
      const name = headKeyName(key)
      const head = this.#opened(() => decodeHead(openEntry(key, value)))
      // What was changed in memory may be written while we read: the longer list is the newer one.
      if ((found.get(name)?.head.count ?? 0) < head.count) found.set(name, { key, name, head })
    }
    return [...found.values()].sort((one, other) => one.key.compare(other.key)).slice(0, options.limit)
  }

  /** Writes what is not written yet. A full disk does not keep it from closing: the log holds it all. */
  async close(): Promise<void> {
    await this.flush().catch(() => {})
    await this.#level.close()
  }
}

function levelOptions({ compression }: PostingsOptions): LevelOptions {
  return { writeBufferSize: limits.write_buffer_bytes, cacheSize: 16 * 1024 * 1024, compression }
}

/** True when an index was made of this log, or of an ancestor and covers nothing that this log has lost. */
function isOfThisLog({ format, log: id, goodTo }: IndexState, log: Log): boolean {
  return format === FORMAT_VERSION && goodTo <= (log.validUpTo(id) ?? -Infinity)
}

async function hasEntries(level: Level): Promise<boolean> {
  for await (const _ of level.entries({ limit: 1 })) return true
  return false
}

/** @throws `index-damaged` when there is a state and it is not what was written, or there is none and should be */
async function readState(level: Level, log: string): Promise<IndexState> {
  const stored = await level.get(INDEX_STATE_KEY)
  if (stored !== undefined) return decodeState(stored)
  if (await hasEntries(level)) throw new DaybookError('index-damaged', 'The index is damaged: its state is missing.')
  return emptyState(log)
}

/** @throws `index-damaged` when they cannot be read, or are of another log or format */
async function openParts(level: Level, state: IndexState, log: Log): Promise<Opened> {
  if (!isOfThisLog(state, log)) {
    throw new DaybookError('index-damaged', 'The index belongs to another log, or has another format.')
  }
  const lists = await HashTable.open(level, table.lists, state.tables[table.lists])
  const ids = await HashTable.open(level, table.ids, state.tables[table.ids])
  return { level, state, lists, ids }
}

/** An id of a stream's event, as text. @param streamId position of the stream's first event */
function idKey(streamId: number, id: Buffer): string {
  return `${streamId}:${id.toString('latin1')}`
}

/** How many lists of the same family a posting has before the one at `index`. */
function ordinalOf(lists: readonly ListName[], index: number): number {
  const kind = (lists[index] as ListName)[0]
  let ordinal = 0
  for (let i = 0; i < index; i++) if ((lists[i] as ListName)[0] === kind) ordinal++
  return ordinal
}

/** Lists whose rule was not noted down were made by this one. */
const USUAL_RULE = 'first:-'

/** Entries deleted in one batch. */
const CLEAR_CHUNK = 10_000

/** File in the index's directory: damage was found in it. */
const DAMAGED = 'DAMAGED'

const NONE = Symbol('no such list')

function snapshot(head: ListHead | null | undefined): ListHead | undefined {
  return head ? { ...head } : undefined
}

function endOfPrefix(prefix: Buffer): Buffer {
  // Names are UTF-8, in which the byte 0xff does not occur.
  return Buffer.concat([prefix, Buffer.from([0xff])])
}
