/**
 * The index: posting lists (which positions belong to a stream, a category, a type, a tag …) and the ids that clients
 * gave. All of it is derived from the log and can be made anew.
 *
 * A commit changes it in memory, at once, before the append is answered; the changes are written to LevelDB behind,
 * many commits together and without sync, each batch with the position it is good to. So a hot list is written once
 * for many appends, nobody waits for it, and it is never ahead of the log. After a crash the missing end is replayed
 * from the log (streams/posting.ts).
 */
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
  decodeNumber,
  encodeBlock,
  encodeHead,
  encodeNumber,
  eventIdKey,
  type Family,
  FORMAT_VERSION,
  families,
  family,
  headKey,
  headKeyName,
  INDEX_STATE_KEY,
  type ListHead,
  listId,
  openEntry,
  type StoredRecord,
  sealEntry
} from './format.js'
import { Level, type LevelBatch, type LevelOptions } from './level.js'
import type { Log } from './log.js'
import { droppedByLevelDb } from './recovery.js'

/** One list: its family, and its name within it. */
export type ListName = readonly [Family, string]

/** What the index must know of one recorded event. */
export interface Posting {
  readonly position: number
  /** The lists it belongs to, whether kept or not; the first is its stream. */
  readonly lists: readonly ListName[]
  readonly created: number
  /** 16 bytes, when the client gave the id. */
  readonly id: Buffer | undefined
  readonly number: number
}

export interface PostingsOptions {
  directory: string
  compression: boolean
  /** What decides the lists of a family beside the records, as text: with another rule it is made anew. */
  rules?: Partial<Record<Family, string>> | undefined
}

interface FamilyState {
  /** The log position that its lists cover. */
  goodTo: number
  rule?: string | undefined
}

interface IndexState {
  format: number
  log: string
  goodTo: number
  /** The families there are; before they could be filled one by one, the names of those that follow the log. */
  families: Partial<Record<Family, FamilyState>> | Family[]
}

export interface ListedHead {
  name: string
  head: ListHead
}

export class Postings {
  readonly #level: Level
  readonly #log: string
  /** The families that are kept, each with the log position it covers; those that follow the log have none. */
  readonly #kept = new Map<Family, number | undefined>()
  /** All that are in the database, also those that are not kept now. */
  readonly #states: Partial<Record<Family, FamilyState>>
  /** Heads as they are on disk, by family and name. Made when a family is first used: each takes its room at once. */
  readonly #heads: Partial<Record<Family, LRUCache<string, ListHead | typeof NONE>>> = {}
  /** Changed and not yet written. Two generations, so that one can be written while the other fills. */
  #pending = new Pending()
  #writing: Pending | undefined
  #flushing: Promise<void> | undefined
  #goodTo: number
  #appliedTo: number

  private constructor(level: Level, { id }: Log, kept: readonly Family[], state: IndexState) {
    this.#level = level
    this.#log = id
    this.#states = familyStates(state)
    this.#goodTo = state.goodTo
    this.#appliedTo = state.goodTo
    for (const kind of kept) {
      const covered = this.#states[kind]?.goodTo ?? -1
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
      const stored = await level.get(INDEX_STATE_KEY)
      const state: IndexState =
        stored === undefined
          ? { format: FORMAT_VERSION, log: log.id, goodTo: -1, families: {} }
          : (JSON.parse(stored.toString()) as IndexState)
      await log.noticeCut([{ log: state.log, head: state.goodTo }], 'the index').catch((error) => {
        unwritten = error
      })
      const serves =
        unwritten === undefined &&
        isOfThisLog(state, log) &&
        state.goodTo <= log.head &&
        (stored !== undefined || !(await hasEntries(level)))
      const known = Object.keys(familyStates(state)) as Family[]
      const postings = new Postings(level, log, kept ?? (stored === undefined ? families : known), state)
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
   * Opens the index to look at it, with whatever families it keeps. @returns undefined when it cannot be read
   * @throws `directory-in-use`
   */
  static async openToInspect(options: PostingsOptions, log: Log): Promise<Postings | undefined> {
    let level: Level | undefined
    try {
      level = await Level.open(join(options.directory, 'index'), levelOptions(options))
      const stored = await level.get(INDEX_STATE_KEY)
      const state = JSON.parse(stored?.toString() ?? '{}') as Partial<IndexState>
      const nothing = { format: FORMAT_VERSION, log: log.id, goodTo: -1, families: {} }
      if (stored === undefined && !(await hasEntries(level))) return new Postings(level, log, families, nothing)
      const known = { ...nothing, ...state }
      if (isOfThisLog(known, log)) {
        return new Postings(level, log, Object.keys(familyStates(known)) as Family[], known)
      }
    } catch (error) {
      if (isDaybookError(error) && error.code === 'directory-in-use') throw error
    }
    await level?.close()
    return undefined
  }

  /** Looks at the last events it claims to cover: each must be where the stream's list says. */
  async #agreesWith(log: Log): Promise<boolean> {
    if (this.#goodTo < 0) return true
    const from = Math.max(0, this.#goodTo - limits.index_checked_events + 1)
    const last = new Map<string, StoredRecord>()
    // A damaged record says nothing here; it is found out when it is read.
    for await (const { record } of log.inspect(from)) {
      if (record !== undefined && record.position <= this.#goodTo) last.set(record.stream, record)
    }
    await this.load([...last.keys()].map((stream) => [family.stream, stream] as const))
    for (const [stream, record] of last) {
      const head = this.headInMemory(family.stream, stream)
      if (!head || head.count !== record.number + 1) return false
      if ((await this.position(family.stream, head, record.number)) !== record.position) return false
    }
    return true
  }

  /** Told when a write behind failed: the changes stay in memory, but nobody waits for them who could be told. */
  onWriteFailed: (error: Error) => void = () => {}

  /** Opens the database again after a write failed; what was not written stays in memory. @throws `directory-unusable` */
  async reopen(): Promise<void> {
    await this.#flushing?.catch(() => {})
    await this.#level.reopen()
  }

  /** The log position that everything in memory covers. */
  get appliedTo(): number {
    return this.#appliedTo
  }

  /** The log position that the index on disk covers. */
  get goodTo(): number {
    return this.#goodTo
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
    return this.#states[kind]?.rule
  }

  /** The log position that a family's lists cover on disk. */
  covers(kind: Family): number {
    return Math.min(this.#kept.get(kind) ?? this.#goodTo, this.#goodTo)
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

  /** Brings heads into memory with one read. Those that are changed meanwhile keep their changes. */
  async load(lists: readonly ListName[]): Promise<void> {
    const missing = lists.filter(([kind, name]) => this.headInMemory(kind, name) === undefined)
    if (missing.length === 0) return
    const keys = missing.map(([kind, name]) => headKey(kind, name))
    const values = await this.#level.getMany(keys)
    missing.forEach(([kind, name], i) => {
      if (this.headInMemory(kind, name) !== undefined) return
      const value = values[i]
      this.#keep(kind, name, value === undefined ? NONE : decodeHead(openEntry(keys[i] as Buffer, value)))
    })
  }

  #keep(kind: Family, name: string, head: ListHead | typeof NONE): void {
    this.#heads[kind] ??= new LRUCache({ max: limits.heads_cached_max })
    this.#heads[kind].set(name, head)
  }

  /** Event numbers by the ids that clients gave, each in its stream; undefined where there is none. */
  async numbersOfIds(ids: readonly { streamId: number; id: Buffer }[]): Promise<(number | undefined)[]> {
    const keys = ids.map(({ streamId, id }) => eventIdKey(streamId, id))
    const found: (number | undefined)[] = keys.map((key) => {
      const text = key.toString('latin1')
      return this.#pending.ids.get(text) ?? this.#writing?.ids.get(text)
    })
    const missing = keys.flatMap((_, i) => (found[i] === undefined ? [i] : []))
    if (missing.length === 0) return found
    const values = await this.#level.getMany(missing.map((i) => keys[i] as Buffer))
    missing.forEach((i, j) => {
      const value = values[j]
      if (value !== undefined) found[i] = decodeNumber(openEntry(keys[i] as Buffer, value))
    })
    return found
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
      if (value === undefined) {
        throw new DaybookError('index-damaged', `The index lacks the block ${key.toString('hex')}.`)
      }
      return decodeBlock(openEntry(key, value))
    })
  }

  /**
   * Takes committed events into the lists that follow the log, in the order of their positions. The heads concerned
   * must be in memory: `load` them in the same turn.
   */
  apply(postings: readonly Posting[]): void {
    for (const posting of postings) {
      const { lists, id } = posting
      const [, name] = lists[0] as ListName
      const stream = this.#extend(family.stream, name, posting, 0)
      for (let i = 1; i < lists.length; i++) {
        const [kind, name] = lists[i] as ListName
        if (this.isCurrent(kind)) this.#extend(kind, name, posting, ordinalOf(lists, i))
      }
      if (id !== undefined) {
        this.#pending.ids.set(eventIdKey(stream.id, id).toString('latin1'), posting.number)
        this.#pending.size++
      }
      this.#appliedTo = posting.position
    }
    if (
      this.#pending.size >= limits.index_pending_max ||
      this.#appliedTo - this.#goodTo >= limits.index_behind_events_max
    ) {
      this.flush().catch(this.onWriteFailed)
    }
  }

  /**
   * Takes events into the lists of the families that are behind. A family that then covers all that was applied
   * follows the log from here on. The heads concerned must be in memory: `load` them in the same turn.
   * @param postings every event from the position after the one furthest behind, in order
   * @param to the position that they reach
   */
  fill(postings: readonly Posting[], to: number): void {
    const { behind } = this
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
    if (this.#pending.size >= limits.index_pending_max) this.flush().catch(this.onWriteFailed)
  }

  #extend(kind: Family, name: string, posting: Posting, ordinal: number): ListHead {
    let head = this.#pending.heads[kind].get(name)
    if (head === undefined) {
      const known = this.headInMemory(kind, name)
      if (known === undefined) throw new Error(`the head of "${name}" (${kind}) was not loaded before it was extended`)
      head =
        known === null
          ? { id: listId(posting.position, ordinal), count: 0, updated: 0, tail: [] }
          : { id: known.id, count: known.count, updated: known.updated, tail: known.tail.slice() }
      this.#pending.heads[kind].set(name, head)
      this.#pending.size++
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

  /** True when changes pile up faster than they are written; the writer then waits for `flush`. */
  get congested(): boolean {
    return this.#writing !== undefined && this.#pending.size >= limits.index_pending_max
  }

  /**
   * Writes what has changed. Calls while one is under way wait for it and then write the rest.
   * A failed write loses nothing: the changes stay in memory and the next flush writes them.
   */
  async flush(): Promise<void> {
    if (this.#flushing !== undefined) {
      await this.#flushing
      return this.#pending.size === 0 ? undefined : this.flush()
    }
    if (this.#appliedTo === this.#goodTo && this.#pending.size === 0) return
    this.#flushing = this.#writePending().finally(() => {
      this.#flushing = undefined
    })
    await this.#flushing
  }

  async #writePending(): Promise<void> {
    const writing = this.#pending
    const goodTo = this.#appliedTo
    this.#writing = writing
    this.#pending = new Pending()
    const batch = this.#level.batch()
    const put = (key: Buffer, value: Buffer) => batch.put(key, sealEntry(key, value))
    for (const kind of families) {
      for (const [name, head] of writing.heads[kind]) put(headKey(kind, name), encodeHead(head))
    }
    for (const [key, block] of writing.blocks) put(Buffer.from(key, 'latin1'), encodeBlock(block))
    for (const [key, number] of writing.ids) put(Buffer.from(key, 'latin1'), encodeNumber(number))
    for (const [kind, covered] of this.#kept) {
      this.#states[kind] = { ...this.#states[kind], goodTo: covered ?? goodTo }
    }
    this.#putState(batch, goodTo)
    try {
      await this.#level.write(batch)
    } catch (error) {
      this.#pending.takeOlder(writing)
      this.#writing = undefined
      throw error
    }
    for (const kind of families) {
      const pending = this.#pending.heads[kind]
      for (const [name, head] of writing.heads[kind]) if (!pending.has(name)) this.#keep(kind, name, head)
      for (const name of pending.keys()) this.#heads[kind]?.delete(name)
    }
    this.#writing = undefined
    this.#goodTo = goodTo
  }

  #putState(batch: LevelBatch, goodTo: number): void {
    const state: IndexState = { format: FORMAT_VERSION, log: this.#log, goodTo, families: this.#states }
    batch.put(INDEX_STATE_KEY, Buffer.from(JSON.stringify(state)))
  }

  /** Empties the families whose lists another rule has made; they are behind from the beginning then. */
  async #followRules(rules: Partial<Record<Family, string>>): Promise<void> {
    for (const [kind, rule] of Object.entries(rules) as [Family, string][]) {
      const state = this.#states[kind]
      if (state !== undefined && (state.rule ?? USUAL_RULE) !== rule) {
        // No rule until it is empty: a crash in the middle of the emptying is found out at the next start.
        this.#states[kind] = { goodTo: -1, rule: '' }
        await this.#clear(kind)
        if (this.#kept.has(kind) && this.#goodTo >= 0) this.#kept.set(kind, -1)
      }
      this.#states[kind] = { goodTo: this.#states[kind]?.goodTo ?? -1, rule }
    }
  }

  async #clear(kind: Family): Promise<void> {
    let batch = this.#level.batch()
    this.#putState(batch, this.#goodTo)
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
      const head = decodeHead(openEntry(key, value))
      // What was changed in memory may be written while we read: the longer list is the newer one.
      if ((found.get(name)?.head.count ?? 0) < head.count) found.set(name, { key, name, head })
    }
    return [...found.values()].sort((one, other) => one.key.compare(other.key)).slice(0, options.limit)
  }

  /** Writes what is not written yet. A full disk does not keep it from closing: the log holds it all. */
  async close(): Promise<void> {
    await this.flush().catch(this.onWriteFailed)
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

function byFamily<T>(make: () => T): Record<Family, T> {
  return Object.fromEntries(families.map((kind) => [kind, make()])) as Record<Family, T>
}

function familyStates({ families: known, goodTo }: IndexState): Partial<Record<Family, FamilyState>> {
  if (!Array.isArray(known)) return { ...known }
  return Object.fromEntries(known.map((kind) => [kind, { goodTo }]))
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

const NONE = Symbol('no such list')

function snapshot(head: ListHead | null | undefined): ListHead | undefined {
  return head ? { ...head } : undefined
}

/** Changed entries by key; keys as latin1 text because a Map compares Buffers by identity. */
class Pending {
  readonly heads = byFamily(() => new Map<string, ListHead>())
  readonly blocks = new Map<string, number[]>()
  readonly ids = new Map<string, number>()

  /** Entries in all of them. */
  size = 0

  /** Takes back changes that could not be written; newer ones win. */
  takeOlder(older: Pending): void {
    for (const kind of families) {
      for (const [name, head] of older.heads[kind]) if (!this.heads[kind].has(name)) this.heads[kind].set(name, head)
    }
    for (const [key, block] of older.blocks) if (!this.blocks.has(key)) this.blocks.set(key, block)
    for (const [key, number] of older.ids) if (!this.ids.has(key)) this.ids.set(key, number)
    this.size += older.size
  }
}

function endOfPrefix(prefix: Buffer): Buffer {
  // Names are UTF-8, in which the byte 0xff does not occur.
  return Buffer.concat([prefix, Buffer.from([0xff])])
}
