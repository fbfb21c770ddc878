/** What a store is opened with. */
import type { Clock } from '../time/clock.js'
import type { WebTokenOptions } from '../users/web-tokens.js'
import type { IndexOptions } from './open-index.js'

/**
 * Called while a store opens. @param what is done @param done events that were read @param of those that are to be read
 * @param unit what is counted where it is not events
 */
export type OpeningProgress = (what: string, done: number, of: number, unit?: string) => void

export interface StoreOptions extends IndexOptions {
  /** False: `--unsafe-no-fsync`. */
  fsync?: boolean
  /** Access rules that speak of `$all` also mean those who have not signed in. Default: they do not. */
  anonymous?: boolean
  /** Given to first accounts whose password everybody knows, by login. */
  firstPasswords?: Readonly<Record<string, string | undefined>>
  /** Does not open as long as an account has a password that everybody knows. */
  refuseFirstPassword?: boolean
  /** Tokens of an identity provider; undefined: none are taken. */
  webTokens?: WebTokenOptions | undefined
  /** The memory budget, bytes. */
  memoryBytes?: number
  /** Space to keep aside for a full disk, bytes. */
  ballastBytes?: number
  /** A live reader that takes nothing for so long is closed, milliseconds. */
  drainMs?: number
  clock?: Clock
  onProgress?: OpeningProgress
}
