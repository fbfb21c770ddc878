/** A hostile load, and the server under it. */
import type { ContentName } from './hostile-stores.js'

/** The server under a load. */
export interface Target {
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  readonly pid: number
  /** The result of the load's `prepare`; empty without one. */
  readonly prepared: string
}

/** Requests that are legal and should cost the server no more than its bound. They are made by a process of its own. */
export interface HostileLoad {
  readonly what: string
  /** Content of the server's directory. */
  readonly content: ContentName
  /** Prepares the store, before idle memory is measured. Returns the value that `attack` gets as `prepared`. */
  prepare?(url: string): Promise<string>
  /**
   * Makes the requests. Connections that it leaves open stay open until memory is measured again, a minute later.
   * Returns the outcome, for example the count of each status.
   */
  attack(target: Target): Promise<string>
  /** Checks the outcome. Absent: any outcome is accepted if memory stays within bounds and the probes are answered. */
  isRight?(outcome: string): boolean
}
