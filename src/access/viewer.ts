/**
 * Filters records by the read rights of one principal. The rules of an event's own stream decide, whichever index or
 * link leads to the event.
 */

import type { StreamStates } from '../index/stream-states.js'
import type { StoredRecord } from '../log/format.js'
import { isSystemStream } from '../streams/names.js'
import { type AccessSettings, type Action, type Principal, permits } from './permissions.js'

/** The part of `AccessRules` that a viewer needs. */
interface Rules {
  readonly settings: AccessSettings
  /** Counter that rises whenever a principal may have got a right. */
  readonly changes: number
  may(principal: Principal, action: Action, stream: string): boolean | Promise<boolean>
}

export class Viewer {
  readonly principal: Principal
  /** Equal for viewers with the same read rights. */
  readonly key: string
  readonly #rules: Rules
  readonly #states: StreamStates
  /** Cache: whether streams without rules of their own are visible, under these settings. */
  #defaultSight: { readonly settings: AccessSettings; readonly seen: boolean } | undefined

  constructor(principal: Principal, rules: Rules, states: StreamStates) {
    this.principal = principal
    const { login, groups, scope } = principal
    this.key = JSON.stringify([login, [...groups].sort(), scope?.read])
    this.#rules = rules
    this.#states = states
  }

  /** Counter that rises whenever more events may have become visible to this viewer. */
  get changes(): number {
    return this.#rules.changes
  }

  /** Returns for each record whether it may be read; undefined when all may be read. */
  seen(records: readonly StoredRecord[]): undefined | boolean[] | Promise<undefined | boolean[]> {
    const verdicts = new Map<string, boolean>()
    const pending: Promise<void>[] = []
    let last: string | undefined
    for (const record of records) {
      const name = record.streamBytes
      if (name === last) continue
      last = name
      if (this.#hasDefaultRules(name) || verdicts.has(name)) continue
      const verdict = this.#rules.may(this.principal, 'read', record.stream)
      verdicts.set(name, verdict === true)
      if (typeof verdict === 'object') pending.push(verdict.then((permitted) => void verdicts.set(name, permitted)))
    }
    if (pending.length === 0) return this.#combine(records, verdicts)
    return Promise.all(pending).then(() => this.#combine(records, verdicts))
  }

  /** Returns the records that may be read, in order. */
  async visible(records: readonly StoredRecord[]): Promise<readonly StoredRecord[]> {
    const seen = await this.seen(records)
    return seen === undefined ? records : records.filter((_, i) => seen[i])
  }

  async sees(record: StoredRecord): Promise<boolean> {
    return (await this.seen([record])) === undefined
  }

  /** Returns whether a stream may be read; a metastream needs the right to read metadata. */
  async mayRead(stream: string): Promise<boolean> {
    return this.#rules.may(this.principal, 'read', stream)
  }

  /** True when this viewer may read all user streams, under the current rules. */
  get seesAllUserStreams(): boolean {
    return this.principal.scope === undefined && this.#states.none && this.#seesByDefault()
  }

  /** Returns true for a stream to which only the default rules apply. @param name as records have it */
  #hasDefaultRules(name: string): boolean {
    return this.principal.scope === undefined && !isSystemStream(name) && !this.#states.concernsBytes(name)
  }

  #combine(records: readonly StoredRecord[], verdicts: ReadonlyMap<string, boolean>): boolean[] | undefined {
    const seesDefaults = this.#seesByDefault()
    let all = seesDefaults
    if (all) for (const verdict of verdicts.values()) all &&= verdict
    return all ? undefined : records.map(({ streamBytes }) => verdicts.get(streamBytes) ?? seesDefaults)
  }

  #seesByDefault(): boolean {
    const { settings } = this.#rules
    if (this.#defaultSight?.settings !== settings) {
      const seen = permits(this.principal, { action: 'read', stream: 'usual' }, undefined, settings)
      this.#defaultSight = { settings, seen }
    }
    return this.#defaultSight?.seen === true
  }
}
