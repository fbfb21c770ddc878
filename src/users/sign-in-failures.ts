/**
 * Failed sign-ins. Wrong passwords are counted by address, which limits guessing. Failures are written to the audit in
 * batches, so that guessing does not fill the disk.
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
  /** Attempts left. */
  left: number
  /** When `left` was computed, milliseconds of the monotonic clock. */
  since: number
}

interface PendingFailure {
  /** Data of the audit event, without `times`. */
  readonly data: object
  times: number
}

/** Delay before the first failure is written to the audit. Later ones are written once per minute. */
const FIRST_FLUSH_MS = 1000
const FLUSH_MS = 60_000
/** Different failures per batch. Further ones are counted together, by kind of credential. */
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
  #pending = new Map<string, PendingFailure>()
  #cancel: (() => void) | undefined
  #flushedAt = -Infinity
  #closed = false

  constructor({ writer, clock, metrics }: FailuresParts) {
    this.#writer = writer
    this.#clock = clock
    this.#metrics = metrics
  }

  /** Checks the rate limit. Call before checking a password. @throws `too-many-attempts` */
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
   * Counts a wrong password.
   * @param login of an existing account. Undefined: an unknown login may be a password typed into the wrong field
   */
  count(address: string, login: string | undefined): void {
    const bucket = this.#bucketOf(address)
    bucket.left--
    this.#buckets.set(networkOf(address), bucket)
    this.record(address, login, 'password')
  }

  /** Queues a failure for the audit. Tokens are unguessable, so expired ones don't count towards the rate limit. */
  record(address: string, login: string | undefined, by: 'password' | 'token' | 'ticket'): void {
    this.#metrics.signInFailed(by)
    if (this.#closed) return
    const data = { from: address, who: login ?? null, by }
    const key = JSON.stringify(data)
    const other = JSON.stringify({ by })
    const known = this.#pending.get(key) ?? (this.#pending.size < KINDS_MAX ? undefined : this.#pending.get(other))
    if (known !== undefined) known.times++
    else if (this.#pending.size < KINDS_MAX) this.#pending.set(key, { data, times: 1 })
    else this.#pending.set(other, { data: { who: null, by }, times: 1 })
    if (this.#cancel !== undefined) return
    const since = this.#clock.elapsed() - this.#flushedAt
    this.#cancel = this.#clock.after(Math.max(FIRST_FLUSH_MS, FLUSH_MS - since), () => void this.flush())
  }

  /** Writes the queued failures to the audit. Failures that cannot be written are dropped. */
  async flush(): Promise<void> {
    this.#cancel?.()
    this.#cancel = undefined
    this.#flushedAt = this.#clock.elapsed()
    const events = [...this.#pending.values()].map(({ data, times }) =>
      auditEvent('SignInFailed', undefined, { ...data, times })
    )
    this.#pending = new Map()
    if (events.length > 0) await this.#writer.append({ events, conditions: [], kind: 'append' }).catch(() => {})
  }

  /** Writes the queued failures and accepts no more. */
  async close(): Promise<void> {
    this.#closed = true
    await this.flush()
  }

  #bucketOf(address: string): Bucket {
    const now = this.#clock.elapsed()
    const { left, since } = this.#buckets.get(networkOf(address)) ?? { left: limits.sign_in_failures_burst, since: now }
    const refilled = ((now - since) / 60_000) * limits.sign_in_failures_a_minute
    return { left: Math.min(limits.sign_in_failures_burst, left + refilled), since: now }
  }
}
