/** `Vary`: the request headers that choose the answer of an address with two forms (RFC 9110 §12.5.5). */
import type { FastifyRequest } from 'fastify'
import { asksForDialect, type Kind } from './form.js'
import { hasDialectHeader } from './headers.js'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What is read at an address that both forms answer. */
    reads?: Kind
  }
}

/** The headers of the dialect that reads go by, under both names. */
const READ_HEADERS = ['ES', 'Kurrent'].flatMap((product) =>
  ['LongPoll', 'RequireLeader', 'RequireMaster', 'ResolveLinkTos'].map((name) => `${product}-${name}`)
)
const CHOOSING = READ_HEADERS.join(', ')
const known = new Set(READ_HEADERS.map((name) => name.toLowerCase()))

/** Of a native answer at an address that the dialect answers, too. */
export const VARY_SHARED = `Accept, Accept-Encoding, Authorization, Daybook-Log, Prefer, ${CHOOSING}`

/** What an answer of the dialect depends on beside its address and Accept. */
export interface DialectAnswer {
  /** A header says otherwise than usual whether links are resolved. */
  readonly linksAsAsked: boolean
  /** The answer may be kept without asking again. */
  readonly lasts: boolean
}

/**
 * Of an answer of the dialect. `Accept` alone, as EventStoreDB says it, unless a header of the dialect chose the form or
 * what is shown; an answer that lasts names Authorization, too, where rights decide who may see it.
 */
export function varyOf(request: FastifyRequest, { linksAsAsked, lasts }: DialectAnswer): string {
  const { headers, principal } = request
  const { reads } = request.routeOptions.config
  let vary = 'Accept'
  const isChosen = reads !== undefined && hasDialectHeader(headers) && !asksForDialect(request, reads)
  if (isChosen || linksAsAsked) {
    // Any header with such a name chooses this form, and not all of them can be named.
    if (isChosen && !Object.keys(headers).some((name) => known.has(name))) return '*'
    vary += `, ${CHOOSING}`
  }
  return lasts && principal.by !== 'insecure' ? `${vary}, Authorization` : vary
}
