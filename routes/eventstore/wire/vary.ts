/** `Vary` for addresses with two forms: the request headers that the response depends on (RFC 9110 §12.5.5). */
import type { FastifyRequest } from 'fastify'
import { asksForDialect, type Kind } from './form.js'
import { hasDialectHeader } from './headers.js'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The kind of read, at an address that has both forms. */
    reads?: Kind
  }
}

/** The headers of the dialect that affect reads, with both prefixes. */
const READ_HEADERS = ['ES', 'Kurrent'].flatMap((product) =>
  ['LongPoll', 'RequireLeader', 'RequireMaster', 'ResolveLinkTos'].map((name) => `${product}-${name}`)
)
const CHOOSING = READ_HEADERS.join(', ')
const known = new Set(READ_HEADERS.map((name) => name.toLowerCase()))

/** `Vary` of a native response at an address that has both forms. */
export const VARY_SHARED = `Accept, Accept-Encoding, Authorization, Daybook-Log, Prefer, ${CHOOSING}`

/** Properties of a response of the dialect that decide its `Vary`. */
export interface DialectAnswer {
  /** True when a header overrides the default for link resolution. */
  readonly linksAsAsked: boolean
  /** True when a cache may reuse the response without revalidation. */
  readonly lasts: boolean
}

/**
 * Returns the `Vary` of a response of the dialect. It is `Accept` alone, as in EventStoreDB, unless a header of the
 * dialect chose the form or the link resolution. A lasting response also depends on Authorization, except with
 * --insecure.
 */
export function varyOf(request: FastifyRequest, { linksAsAsked, lasts }: DialectAnswer): string {
  const { headers, principal } = request
  const { reads } = request.routeOptions.config
  let vary = 'Accept'
  const isChosen = reads !== undefined && hasDialectHeader(headers) && !asksForDialect(request, reads)
  if (isChosen || linksAsAsked) {
    // Any header with a prefix of the dialect chooses this form, and Vary cannot list all of them.
    if (isChosen && !Object.keys(headers).some((name) => known.has(name))) return '*'
    vary += `, ${CHOOSING}`
  }
  return lasts && principal.by !== 'insecure' ? `${vary}, Authorization` : vary
}
