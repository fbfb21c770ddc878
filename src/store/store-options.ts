/** Options with which a store is opened. */
import type { Clock } from '../time/clock.js'
import type { WebTokenOptions } from '../users/web-tokens.js'
import type { IndexOptions } from './open-index.js'

/**
 * Called while a store opens.
 * @param step description of the current step
 * @param done number of units processed
 * @param of number of units in total
 * @param unit name of the unit. Default: events
 */
export type OpeningProgress = (step: string, done: number, of: number, unit?: string) => void

export interface StoreOptions extends IndexOptions {
  /** Sync every commit. False: `--unsafe-no-fsync`. Default true. */
  fsync?: boolean
  /** Access rules that name `$all` also apply to callers that are not signed in. Default false. */
  anonymous?: boolean
  /** New passwords, by login, for default accounts that still have the default password. */
  firstPasswords?: Readonly<Record<string, string | undefined>>
  /** Reject opening while an account has the default password. */
  refuseFirstPassword?: boolean
  /** Accept tokens of an identity provider. Undefined: accept none. */
  webTokens?: WebTokenOptions | undefined
  /** The memory budget, bytes. */
  memoryBytes?: number
  /** Disk space to reserve for recovery from a full disk, bytes. */
  ballastBytes?: number
  /** A live reader whose connection accepts no bytes for this time is closed, milliseconds. */
  drainMs?: number
  clock?: Clock
  onProgress?: OpeningProgress
}
