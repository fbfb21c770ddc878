/** What one principal sees of the log: each event is judged by the rules of its own stream, wherever it is found. */

import type { StreamStates } from '../index/stream-states.js'
import type { StoredRecord } from '../log/format.js'
import { isSystemStream } from '../streams/names.js'
import { type AccessSettings, type Action, type Principal, permits } from './permissions.js'

/** The rules as they stand. */
interface Rules {
  readonly settings: AccessSettings
  /** Rises whenever a principal may have been given a right. */
  readonly changes: number
  may(principal: Principal, action: Action, stream: string): boolean | Promise<boolean>
}

export class Viewer {
  readonly principal: Principal
  /** Equal for viewers that see the same. */
  readonly key: string
  readonly #rules: Rules
  readonly #states: StreamStates
  /** Whether streams without rules of their own are seen, and by which settings. */
  #usual: { readonly settings: AccessSettings; readonly seen: boolean } | undefined

  constructor(principal: Principal, rules: Rules, states: StreamStates) {
    this.principal = principal
    const { login, groups, scope } = principal
    this.key = JSON.stringify([login, [...groups].sort(), scope?.read])
    this.#rules = rules
    this.#states = states
  }

  /** Rises whenever this viewer may have come to see more. */
  get changes(): number {
    return this.#rules.changes
  }

  /** Says of each record whether it may be read; undefined when all may. */
  seen(records: readonly StoredRecord[]): undefined | boolean[] | Promise<undefined | boolean[]> {
    const verdicts = new Map<string, boolean>()
    const asked: Promise<void>[] = []
    let last: string | undefined
    for (const record of records) {
      const name = record.streamBytes
      if (name === last) continue
      last = name
      if (this.#isUsual(name) || verdicts.has(name)) continue
      const verdict = this.#rules.may(this.principal, 'read', record.stream)
      verdicts.set(name, verdict === true)
      if (typeof verdict === 'object') asked.push(verdict.then((permitted) => void verdicts.set(name, permitted)))
    }
    if (asked.length === 0) return this.#judge(records, verdicts)
    return Promise.all(asked).then(() => this.#judge(records, verdicts))
  }

  /** Those of the records that may be read, in their order. */
  async visible(records: readonly StoredRecord[]): Promise<readonly StoredRecord[]> {
    const seen = await this.seen(records)
    return seen === undefined ? records : records.filter((_, i) => seen[i])
  }

  async sees(record: StoredRecord): Promise<boolean> {
    return (await this.seen([record])) === undefined
  }

  /** Whether a stream may be read; metastreams by the right to read metadata. */
  async mayRead(stream: string): Promise<boolean> {
    return this.#rules.may(this.principal, 'read', stream)
  }

  /** True when no user stream can be kept from this one as things stand. */
  get seesAllUserStreams(): boolean {
    return this.principal.scope === undefined && this.#states.none && this.#seesUsual()
  }

  /** True for a stream that only the defaults concern. @param name as records have it */
  #isUsual(name: string): boolean {
    return this.principal.scope === undefined && !isSystemStream(name) && !this.#states.concernsBytes(name)
  }

  #judge(records: readonly StoredRecord[], verdicts: ReadonlyMap<string, boolean>): boolean[] | undefined {
    const usual = this.#seesUsual()
    let all = usual
    if (all) for (const verdict of verdicts.values()) all &&= verdict
    return all ? undefined : records.map(({ streamBytes }) => verdicts.get(streamBytes) ?? usual)
  }

  #seesUsual(): boolean {
    const { settings } = this.#rules
    if (this.#usual?.settings !== settings) {
      const seen = permits(this.principal, { action: 'read', stream: 'usual' }, undefined, settings)
      this.#usual = { settings, seen }
    }
    return this.#usual?.seen === true
  }
}
