/**
 * Sign-ins that failed: passwords counted by address, so that guessing ends soon, and told to the audit, gathered, so that guessing
 * does not fill the disk.
 */
import { LRUCache } from 'lru-cache'
import { auditEvent } from '../access/audit.js'
import { DaybookError } from '../errors.js'
import { limits } from '../limits.js'
import type { Metrics } from '../metrics.js'
import { networkOf } from '../network.js'
import type { Clock } from '../time/clock.js'
import type { Writer } from '../writing/writer.js'

interface Bucket {
  /** Attempts that are left. */
  left: number
  /** Milliseconds of the clock that never goes back. */
  since: number
}

interface Gathered {
  readonly said: object
  times: number
}

/** The first failure is told after so long, those that follow with the next ones of a minute. */
const FIRST_TOLD_MS = 1000
const TOLD_MS = 60_000
/** So many kinds of failure are told apart within that time. */
const KINDS_MAX = 20

export interface FailuresParts {
  writer: Writer
  clock: Clock
  metrics: Metrics
}

export class Failures {
  readonly #writer: Writer
  readonly #clock: Clock
  readonly #metrics: Metrics
  readonly #buckets = new LRUCache<string, Bucket>({ max: 10_000 })
  #gathered = new Map<string, Gathered>()
  #cancel: (() => void) | undefined
  #told = -Infinity
  #closed = false

  constructor({ writer, clock, metrics }: FailuresParts) {
    this.#writer = writer
    this.#clock = clock
    this.#metrics = metrics
  }

  /** Asked before a password is looked at. @throws `too-many-attempts` */
  check(address: string): void {
    const { left } = this.#bucketOf(address)
    if (left >= 1) return
    const seconds = Math.ceil((1 - left) * (60 / limits.sign_in_failures_a_minute))
    throw new DaybookError('too-many-attempts', `Too many sign-ins from ${address} failed. Wait ${seconds} s.`, {
      retry: true,
      retryAfter: seconds
    })
  }

  /**
   * A password was wrong.
   * @param login of an account that exists; undefined: what was typed may be a password in the wrong place
   */
  count(address: string, login: string | undefined): void {
    const bucket = this.#bucketOf(address)
    bucket.left--
    this.#buckets.set(networkOf(address), bucket)
    this.gather(address, login, 'password')
  }

  /** Tells the audit. Tokens are unguessable, so expired ones don't count towards the rate limit. */
  gather(address: string, login: string | undefined, by: 'password' | 'token' | 'ticket'): void {
    this.#metrics.signInFailed(by)
    if (this.#closed) return
    const said = { from: address, who: login ?? null, by }
    const key = JSON.stringify(said)
    const other = JSON.stringify({ by })
    const known = this.#gathered.get(key) ?? (this.#gathered.size < KINDS_MAX ? undefined : this.#gathered.get(other))
    if (known !== undefined) known.times++
    else if (this.#gathered.size < KINDS_MAX) this.#gathered.set(key, { said, times: 1 })
    else this.#gathered.set(other, { said: { who: null, by }, times: 1 })
    if (this.#cancel !== undefined) return
    const since = this.#clock.elapsed() - this.#told
    this.#cancel = this.#clock.after(Math.max(FIRST_TOLD_MS, TOLD_MS - since), () => void this.tell())
  }

  /** Writes what was gathered. What cannot be written now is not kept. */
  async tell(): Promise<void> {
    this.#cancel?.()
    this.#cancel = undefined
    this.#told = this.#clock.elapsed()
    const events = [...this.#gathered.values()].map(({ said, times }) =>
      auditEvent('SignInFailed', undefined, { ...said, times })
    )
    this.#gathered = new Map()
    if (events.length > 0) await this.#writer.append({ events, conditions: [], kind: 'append' }).catch(() => {})
  }

  /** Writes what is left, and nothing more. */
  async close(): Promise<void> {
    this.#closed = true
    await this.tell()
  }

  #bucketOf(address: string): Bucket {
    const now = this.#clock.elapsed()
    const { left, since } = this.#buckets.get(networkOf(address)) ?? { left: limits.sign_in_failures_burst, since: now }
    const back = ((now - since) / 60_000) * limits.sign_in_failures_a_minute
    return { left: Math.min(limits.sign_in_failures_burst, left + back), since: now }
  }
}
