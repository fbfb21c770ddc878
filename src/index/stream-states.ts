/**
 * The states of all streams: metadata and tombstones, read from the log by way of the index. Most streams have neither.
 * For those nothing is looked up, because the names of all streams with a state are in memory.
 */
import { LRUCache } from 'lru-cache'
import { bytesOf } from '../latin1.js'
import { limits } from '../limits.js'
import { type Family, family, type StoredRecord } from '../log/format.js'
import type { Log } from '../log/log.js'
import { showsMore } from '../streams/metadata.js'
import { isMetastream, metastreamOf, originalOf } from '../streams/names.js'
import { PLAIN_STATE, type StreamState, withMetadata } from '../streams/stream-state.js'
import type { Postings } from './posting-lists.js'

export class StreamStates {
  readonly #log: Log
  readonly #postings: Postings
  /** Names of the streams with a state, as UTF-8 bytes in latin1 strings; undefined above `states_named_max` names. */
  #named: Set<string> | undefined = new Set()
  readonly #known: LRUCache<string, StreamState>
  /** Number of changes so far. */
  #changes = 0
  #revealed = 0

  /** @param bytesMax bound of the cached states */
  constructor(log: Log, postings: Postings, bytesMax: number) {
    this.#log = log
    this.#postings = postings
    this.#known = new LRUCache({
      max: limits.states_cached_max,
      maxSize: bytesMax,
      sizeCalculation: ({ document }) => (document?.length ?? 0) + 200
    })
  }

  /** Counter that rises whenever hidden events may have become visible. */
  get revealed(): number {
    return this.#revealed
  }

  /** Clears the cache and reads the names from the index, which must have caught up with the log. */
  async load(): Promise<void> {
    const named = new Set<string>()
    await this.#readNames(named, family.stream, '$$', originalOf)
    await this.#readNames(named, family.tombstone, '', (name) => name)
    // Replace all fields in one turn, because reads continue meanwhile.
    this.#named = named.size > limits.states_named_max ? undefined : named
    this.#known.clear()
    this.#changes++
    this.#revealed++
  }

  async #readNames(
    named: Set<string>,
    kind: Family,
    prefix: string,
    streamOf: (name: string) => string
  ): Promise<void> {
    for await (const { name } of this.#postings.all(kind, prefix)) {
      named.add(bytesOf(streamOf(name)))
      if (named.size > limits.states_named_max) return
    }
  }

  #name(stream: string): void {
    this.#named?.add(bytesOf(stream))
    if ((this.#named?.size ?? 0) > limits.states_named_max) this.#named = undefined
  }

  /** Returns false when the stream certainly has no metadata and no tombstone. */
  concerns(stream: string): boolean {
    return this.#named === undefined || (this.#named.size > 0 && this.#named.has(bytesOf(stream)))
  }

  /** As `concerns`, but false for metastreams, which have no metadata of their own. */
  describes(stream: string): boolean {
    return this.concerns(stream) && !isMetastream(stream)
  }

  /** As `concerns`, for a name as UTF-8 bytes in a latin1 string, as a record has it. */
  concernsBytes(streamBytes: string): boolean {
    return this.#named === undefined || (this.#named.size > 0 && this.#named.has(streamBytes))
  }

  /** True when no stream has a state. */
  get none(): boolean {
    return this.#named?.size === 0
  }

  /** Returns the state if it is in memory. */
  inMemory(stream: string): StreamState | undefined {
    return this.describes(stream) ? this.#known.get(stream) : PLAIN_STATE
  }

  async of(stream: string): Promise<StreamState> {
    return this.inMemory(stream) ?? (await this.#read(stream))
  }

  async #read(stream: string): Promise<StreamState> {
    const changes = this.#changes
    const tombstone = (await this.#postings.head(family.tombstone, stream)) !== undefined
    const metastream = metastreamOf(stream)
    const head = await this.#postings.head(family.stream, metastream)
    let state: StreamState = { ...PLAIN_STATE, tombstone }
    if (head !== undefined) {
      const number = head.count - 1
      const record = await this.#log.read(await this.#postings.position(family.stream, head, number))
      state = withMetadata(state, record, number)
    }
    // A state committed during the read is newer: read again.
    if (this.#changes !== changes) return this.of(stream)
    this.#known.set(stream, state)
    return state
  }

  /**
   * Updates the state of a stream from a committed event. Call it after the index has applied the event.
   * @returns true when the access rules of the stream may have changed
   */
  committed(record: StoredRecord, stream: string): boolean {
    // The last event of a metastream is the metadata, of any type. After a restart, `#read` treats it in the same way.
    if (isMetastream(stream))
      return this.#change(originalOf(stream), (state) => withMetadata(state, record, record.number))
    return record.tombstone && this.#change(stream, (state) => ({ ...state, tombstone: true }))
  }

  #change(stream: string, change: (state: StreamState) => StreamState): boolean {
    this.#changes++
    const before = this.concerns(stream) ? this.#known.get(stream) : PLAIN_STATE
    this.#name(stream)
    // A state that is not cached is read when it is needed; its access rules must count as changed.
    if (before === undefined) {
      this.#known.delete(stream)
      this.#revealed++
      return true
    }
    const after = change(before)
    if (showsMore(before.metadata, after.metadata)) this.#revealed++
    this.#known.set(stream, after)
    return after.tombstone || JSON.stringify(after.metadata.acl) !== JSON.stringify(before.metadata.acl)
  }
}
