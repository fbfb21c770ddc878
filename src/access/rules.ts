/** The access rules as they stand: what streams' metadata and `$settings` say, asked for one principal at a time. */

import type { DaybookError } from '../errors.js'
import type { StreamStates } from '../index/stream-states.js'
import type { StoredRecord } from '../log/format.js'
import { isMetastream, metastreamOf, originalOf } from '../streams/names.js'
import { truncationOf } from '../streams/stream-state.js'
import { LatestValue } from './latest-value.js'
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
} from './permissions.js'
import { type SignInFacts, signInRefusal } from './sign-in-validity.js'
import { Viewer } from './viewer.js'

/** Reads a stream's events, as a `Reader` does. */
interface StreamRecords {
  records(stream: string, order: 'asc' | 'desc'): AsyncIterable<StoredRecord>
}

/** Before the accounts are loaded only callers who have not signed in can be judged. */
const NOT_LOADED: SignInFacts = { versionOf: failNotLoaded, hasToken: failNotLoaded }

function failNotLoaded(): never {
  throw new Error('the accounts are not loaded yet')
}

export class AccessRules {
  /** The accounts and tokens that there are. */
  signIns: SignInFacts = NOT_LOADED
  readonly #states: StreamStates
  readonly #listeners = new Set<(stream: string | undefined) => void>()
  readonly #viewers = new WeakMap<Principal, Viewer>()
  #settings: AccessSettings
  #version = 0
  #changes = 0
  readonly #latest = new LatestValue<StoredRecord>()

  /** @param anonymous `$all` includes callers who have not signed in */
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

  /** Rises whenever a principal may have been given a right. */
  get changes(): number {
    return this.#changes
  }

  /** Reads what `$settings` says (reference 14.4). */
  async load(reader: StreamRecords): Promise<void> {
    const { tombstone, metadata } = await this.#states.of(SETTINGS)
    this.#latest.truncate(metadata.truncateBefore ?? 0)
    this.#latest.end()
    if (!tombstone) {
      for await (const record of reader.records(SETTINGS, 'desc')) {
        this.#latest.say(record, record.number)
        break
      }
    }
    this.#settle()
    this.#changes++
  }

  /** Takes note of an event of a system stream, or of a stream's end, before the append is answered. */
  committed(stream: string, record: StoredRecord, ruled: boolean): void {
    const settings = stream === SETTINGS || stream === metastreamOf(SETTINGS)
    if (stream === metastreamOf(SETTINGS)) this.#latest.truncate(truncationOf(record))
    else if (stream === SETTINGS && record.tombstone) this.#latest.end()
    else if (stream === SETTINGS) this.#latest.say(record, record.number)
    if (settings) this.#settle()
    else if (!ruled) return
    this.#changes++
    const concerned = settings ? undefined : isMetastream(stream) ? originalOf(stream) : stream
    for (const listener of this.#listeners) listener(concerned)
  }

  #settle(): void {
    const { value } = this.#latest
    this.#settings = readSettings(value && (value.document ?? Buffer.alloc(0)), this.#settings.anonymous)
    this.#version++
  }

  /** Calls back with the stream whose rules may have changed; undefined: all of them. @returns a function that ends it */
  onChange(listener: (stream: string | undefined) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Whether a principal may do this; a promise only when the stream's metadata has to be read. */
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

  /** Why a caller who had signed in is not signed in any more; undefined when the sign-in counts. @param now milliseconds */
  signInRefusal(principal: Principal, now: number): DaybookError | undefined {
    return signInRefusal(principal, this.signIns, now)
  }

  /** What a principal sees of the log; undefined: all of it. */
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
