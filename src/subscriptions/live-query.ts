import type { ReadRequest } from '../reading/event-read.js'
import type { Address } from '../reading/sources.js'

/** What a live reader follows: a source, and the filter through which it is read. */
export interface LiveQuery {
  readonly address: Address
  readonly request: ReadRequest
  /** The address as a client writes it, its parameters in a fixed order. */
  readonly source: string
  /** Equal for queries that give the same events: these share one tail. */
  readonly key: string
}
