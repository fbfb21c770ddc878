/** The current access rules, from stream metadata and `$settings`. */

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

/** The part of a `Reader` that reads a stream's events. */
interface StreamRecords {
  records(stream: string, order: 'asc' | 'desc'): AsyncIterable<StoredRecord>
}

/** Before the accounts are loaded, only anonymous callers can be checked. */
const NOT_LOADED: SignInFacts = { versionOf: failNotLoaded, hasToken: failNotLoaded }

function failNotLoaded(): never {
  throw new Error('the accounts are not loaded yet')
}

export class AccessRules {
  /** The current accounts and tokens. */
  signIns: SignInFacts = NOT_LOADED
  readonly #states: StreamStates
  readonly #listeners = new Set<(stream: string | undefined) => void>()
  readonly #viewers = new WeakMap<Principal, Viewer>()
  #settings: AccessSettings
  #version = 0
  #changes = 0
  readonly #latest = new LatestValue<StoredRecord>()

  /** @param anonymous true: the role `$all` includes anonymous callers */
  constructor(states: StreamStates, anonymous: boolean) {
    this.#states = states
    this.#settings = readSettings(undefined, anonymous)
  }

  /** The default rules; a new object after every change. */
  get settings(): AccessSettings {
    return this.#settings
  }

  /** Changes whenever the settings may have changed. */
  get version(): number {
    return this.#version
  }

  /** Counter that rises whenever a principal may have got a right. */
  get changes(): number {
    return this.#changes
  }

  /** Reads the default rules from `$settings` (reference 14.4). */
  async load(reader: StreamRecords): Promise<void> {
    const { tombstone, metadata } = await this.#states.of(SETTINGS)
    this.#latest.truncate(metadata.truncateBefore ?? 0)
    this.#latest.clear()
    if (!tombstone) {
      for await (const record of reader.records(SETTINGS, 'desc')) {
        this.#latest.set(record, record.number)
        break
      }
    }
    this.#settle()
    this.#changes++
  }

  /**
   * Applies an event of a system stream, or a tombstone, before the append is answered.
   * @param rightsChanged true when the rights to the described or deleted stream may have changed
   */
  committed(stream: string, record: StoredRecord, rightsChanged: boolean): void {
    const isOfSettings = stream === SETTINGS || stream === metastreamOf(SETTINGS)
    if (stream === metastreamOf(SETTINGS)) this.#latest.truncate(truncationOf(record))
    else if (stream === SETTINGS && record.tombstone) this.#latest.clear()
    else if (stream === SETTINGS) this.#latest.set(record, record.number)
    if (isOfSettings) this.#settle()
    else if (!rightsChanged) return
    this.#changes++
    const concerned = isOfSettings ? undefined : isMetastream(stream) ? originalOf(stream) : stream
    for (const listener of this.#listeners) listener(concerned)
  }

  #settle(): void {
    const { value } = this.#latest
    this.#settings = readSettings(value && (value.document ?? Buffer.alloc(0)), this.#settings.anonymous)
    this.#version++
  }

  /**
   * Registers a listener, called with the stream whose rules may have changed; undefined: those of all streams.
   * @returns a function that removes the listener
   */
  onChange(listener: (stream: string | undefined) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Returns whether a principal may do this; a promise only when the stream's metadata must be read. */
  may(principal: Principal, action: Action, stream: string): boolean | Promise<boolean> {
    const right = rightFor(action, stream)
    const state = this.#states.inMemory(right.stream)
    if (state !== undefined) return permits(principal, right, state.metadata.acl, this.#settings)
    return this.#states.of(right.stream).then(({ metadata }) => permits(principal, right, metadata.acl, this.#settings))
  }

  /**
   * Checks that a principal may do this. Returns a promise only when the stream's metadata must be read.
   * @throws DaybookError `sign-in-required`, `not-permitted`; or rejects with it
   */
  check(principal: Principal, action: Action, stream: string): void | Promise<void> {
    const verdict = this.may(principal, action, stream)
    if (verdict === true) return
    if (verdict === false) throw refusedAccess(principal, action, stream)
    return verdict.then((permitted) => {
      if (!permitted) throw refusedAccess(principal, action, stream)
    })
  }

  /** Returns why a sign-in is not valid any more; undefined when it is valid. @param now in milliseconds */
  signInRefusal(principal: Principal, now: number): DaybookError | undefined {
    return signInRefusal(principal, this.signIns, now)
  }

  /** Returns the viewer of a principal; undefined for an administrator, who may read the whole log. */
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
