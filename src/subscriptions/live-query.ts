import type { ReadRequest } from '../reading/event-read.js'
import type { Address } from '../reading/sources.js'

/** The query of a live reader: an address and a read request with its filter. */
export interface LiveQuery {
  readonly address: Address
  readonly request: ReadRequest
  /** The address as a client writes it, with its parameters in a fixed order. */
  readonly source: string
  /** Equal for queries that return the same events. Such queries share one tail. */
  readonly key: string
}
