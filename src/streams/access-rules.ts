/** The access rules as they stand: what streams' metadata and `$settings` say, asked for one principal at a time. */
import type { StoredRecord } from '../log/format.js'
import {
  type AccessSettings,
  type Action,
  isAdministrator,
  type Principal,
  permits,
  readSettings,
  refusedAccess,
  rightFor,
  SETTINGS
} from './access.js'
import { isMetastream, metastreamOf, originalOf } from './names.js'
import type { Reader } from './read.js'
import { type StreamStates, truncationOf } from './states.js'
import { Viewer } from './viewer.js'

export class AccessRules {
  readonly #states: StreamStates
  readonly #listeners = new Set<(stream: string | undefined) => void>()
  readonly #viewers = new WeakMap<Principal, Viewer>()
  #settings: AccessSettings
  #version = 0
  /** The last event of `$settings`. */
  #last: StoredRecord | undefined
  /** Lower numbers of it are hidden. */
  #truncation = 0

  /** @param anonymous `$all` also means those who have not signed in */
  constructor(states: StreamStates, anonymous: boolean) {
    this.#states = states
    this.#settings = readSettings(undefined, anonymous)
  }

  /** Another object whenever they are others. */
  get settings(): AccessSettings {
    return this.#settings
  }

  /** Another number whenever the settings may be others. */
  get version(): number {
    return this.#version
  }

  /** Reads what `$settings` says (reference 14.4). */
  async load(reader: Reader): Promise<void> {
    const { tombstone, metadata } = await this.#states.of(SETTINGS)
    this.#last = undefined
    if (!tombstone) {
      for await (const record of reader.records(SETTINGS, 'desc')) {
        this.#last = record
        break
      }
    }
    this.#settle(metadata.truncateBefore ?? 0)
  }

  /** Takes note of an event of a system stream, or of a stream's end, before whoever wrote it is answered. */
  committed(stream: string, record: StoredRecord): void {
    if (stream === SETTINGS) {
      this.#last = record.tombstone ? undefined : record
      this.#settle(this.#truncation)
    } else if (stream === metastreamOf(SETTINGS)) this.#settle(truncationOf(record))
    else if (!isMetastream(stream) && !record.tombstone) return
    const concerned = stream === SETTINGS ? undefined : isMetastream(stream) ? originalOf(stream) : stream
    for (const listener of this.#listeners) listener(concerned)
  }

  /** The last event counts as long as it is not hidden. */
  #settle(truncation: number): void {
    this.#truncation = truncation
    const { anonymous } = this.#settings
    const last = this.#last !== undefined && this.#last.number >= truncation ? this.#last : undefined
    this.#settings = readSettings(last?.contentType === undefined ? last?.data : undefined, anonymous)
    this.#version++
  }

  /** Calls back with the stream whose rules may have changed; undefined: all of them. @returns a function that ends it */
  onChange(listener: (stream: string | undefined) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Whether somebody may do something; a promise only when the stream's metadata has to be read. */
  may(principal: Principal, action: Action, stream: string): boolean | Promise<boolean> {
    const right = rightFor(action, stream)
    const state = this.#states.inMemory(right.stream)
    if (state !== undefined) return permits(principal, right, state.metadata.acl, this.#settings)
    return this.#states.of(right.stream).then(({ metadata }) => permits(principal, right, metadata.acl, this.#settings))
  }

  /** @throws `sign-in-required`, `not-permitted`; when what it says is a promise, by that */
  check(principal: Principal, action: Action, stream: string): void | Promise<void> {
    const verdict = this.may(principal, action, stream)
    if (verdict === true) return
    if (verdict === false) throw refusedAccess(principal, action, stream)
    return verdict.then((permitted) => {
      if (!permitted) throw refusedAccess(principal, action, stream)
    })
  }

  /** What somebody sees of the log; undefined: all of it. */
  viewerOf(principal: Principal): Viewer | undefined {
    if (isAdministrator(principal)) return undefined
    let viewer = this.#viewers.get(principal)
    if (viewer === undefined) {
      viewer = new Viewer(principal, this, this.#states)
      this.#viewers.set(principal, viewer)
    }
    return viewer
  }
}
