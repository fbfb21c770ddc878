/**
 * When the disk takes no more, the store stands still: appends are refused, reads go on. It looks every second whether
 * there is room again, opens its databases anew (a LevelDB handle that failed once stays failed) and goes on by itself.
 */
import type { Clock } from '../clock.js'
import { limits } from '../limits.js'
import type { Ballast } from '../log/ballast.js'

const LOOK_EVERY_MS = 1000

export class Standstill {
  readonly #ballast: Ballast
  readonly #clock: Clock
  readonly #reopen: () => Promise<void>
  #why: string | undefined
  #cancel = () => {}
  #closed = false

  /** @param reopen opens the databases anew and brings heads and index up to what is on disk */
  constructor(ballast: Ballast, clock: Clock, reopen: () => Promise<void>) {
    this.#ballast = ballast
    this.#clock = clock
    this.#reopen = reopen
  }

  /** Why nothing is written now; undefined when everything is well. */
  get why(): string | undefined {
    return this.#why
  }

  /** A write failed. */
  begin(cause: Error): void {
    if (this.#why !== undefined) return
    this.#why = reasonOf(cause)
    this.#ballast.drop()
    this.#lookLater()
  }

  close(): void {
    this.#closed = true
    this.#cancel()
  }

  #lookLater(): void {
    if (this.#closed) return
    this.#cancel = this.#clock.after(LOOK_EVERY_MS, () => void this.#look())
  }

  async #look(): Promise<void> {
    try {
      if ((await this.#ballast.freeBytes()) >= limits.free_bytes_min && !this.#closed) {
        await this.#reopen()
        if (await this.#ballast.load()) {
          this.#why = undefined
          return
        }
      }
    } catch (error) {
      this.#why = reasonOf(error as Error)
    }
    this.#lookLater()
  }
}

/** What strangers may know: no paths. */
function reasonOf(cause: Error): string {
  return /no space left|nearly full|quota/i.test(cause.message) ? 'the disk is full' : 'the disk refused a write'
}
