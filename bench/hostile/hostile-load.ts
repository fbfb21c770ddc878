/** What a hostile load is, and the server that it meets. */
import type { ContentName } from './hostile-stores.js'

/** The server under a load. */
export interface Target {
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  readonly pid: number
  /** What `prepare` of the load returned; empty without one. */
  readonly prepared: string
}

/** Requests that are legal and should cost the server no more than its bound. They are made by a process of its own. */
export interface HostileLoad {
  readonly what: string
  /** What the server's directory holds. */
  readonly content: ContentName
  /** Writes what the load needs, before the idle memory is measured. @returns what `attack` gets as `prepared` */
  prepare?(url: string): Promise<string>
  /**
   * Makes the requests. Connections that it leaves open stay open until the memory was measured again, a minute later.
   * @returns what came of it, such as how often which status was answered
   */
  attack(target: Target): Promise<string>
  /** Judges what came of it. Absent: any outcome will do, as long as memory holds and the probes are answered. */
  isRight?(outcome: string): boolean
}
