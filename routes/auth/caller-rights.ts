/**
 * Rights checks inside a route: after a wait, on data that only the handler knows, and on what the caller may read
 * (native contract, reference 14.3).
 */
import type { FastifyRequest } from 'fastify'
import {
  type Actor,
  isAdministrator,
  NOBODY,
  type Principal,
  refusedAccess,
  rightFor,
  writableNames
} from '../../src/access/permissions.js'
import type { AccessRules } from '../../src/access/rules.js'
import type { Consumer } from '../../src/consumers/consumer.js'
import { DaybookError } from '../../src/errors.js'
import type { Poster } from '../../src/index/index-entries.js'
import type { Expressions } from '../../src/reading/expressions/expressions.js'
import type { Address } from '../../src/reading/sources.js'
import type { LiveRight } from '../../src/subscriptions/live-right.js'
import type { Clock } from '../../src/time/clock.js'
import type { ReadContext } from '../wire/reading/read-request.js'
import { parseSource } from '../wire/writing/consumer-body.js'

/** The parts of the store that decide on rights. Read them per request: the server starts before the store is open. */
export interface RightsParts {
  readonly rules: AccessRules
  readonly clock: Clock
}

/**
 * Checks after a wait that the caller may still read the address.
 * @throws `sign-in-required` when the sign-in has ended; `sign-in-required` or `not-permitted` when the caller may not
 * read the stream
 */
export async function checkReadable(parts: RightsParts, principal: Principal, address: Address): Promise<void> {
  const over = parts.rules.signInRefusal(principal, parts.clock.now())
  if (over !== undefined) throw over
  if (isOneStream(address)) await parts.rules.check(principal, 'read', address.stream as string)
}

/**
 * Makes the same checks as the read routes, for reads that do not come through one of them.
 * @throws as checkReadable; `sign-in-required` when the caller may read nothing of the log
 */
export async function checkMayRead(parts: RightsParts, principal: Principal, address: Address): Promise<void> {
  if (!isOneStream(address)) checkIsReader(parts, principal)
  await checkReadable(parts, principal, address)
}

/** @throws `sign-in-required` */
export function checkIsReader(parts: RightsParts, principal: Principal): void {
  if (!isReader(parts, principal)) throw new DaybookError('sign-in-required', 'Only signed-in users may do this.')
}

/**
 * Checks, before the body names the streams to write, that the caller may write to any stream at all. Only a token can
 * exclude that: for other callers, some stream may have an ACL that lets everyone write.
 * @throws `not-permitted`, at once or by the promise
 */
export function checkWritesAny({ rules }: RightsParts, principal: Principal): void | Promise<void> {
  if (principal.scope === undefined) return
  const names = writableNames(principal.scope)
  if (names.some((name) => name.endsWith('*'))) return
  return checkWritesOne(rules, principal, names)
}

async function checkWritesOne(rules: AccessRules, principal: Principal, streams: readonly string[]): Promise<void> {
  for (const stream of streams) {
    // The right to delete is enough: an import may end a stream that the caller may not append to.
    for (const action of ['write', 'delete'] as const) if (await rules.may(principal, action, stream)) return
  }
  const why = `This token of "${principal.login}" permits writes to no stream.`
  throw new DaybookError('not-permitted', why, { action: 'write', written: false, retry: false })
}

/**
 * Returns true for every member of `$all`. Readers see the events that they may read. Positions count all events, so
 * the length of the log is known to readers; it is hidden from other callers.
 */
export function isReader({ rules }: Pick<RightsParts, 'rules'>, { login }: Principal): boolean {
  return login !== undefined || rules.settings.anonymous
}

/** Returns true when callers without an account may read the address: shared caches may then store the response. */
export function isPublic({ rules }: Pick<RightsParts, 'rules'>, address: Address): boolean | Promise<boolean> {
  return isOneStream(address) && rules.may(NOBODY, 'read', address.stream as string)
}

/** Returns the data by which a live reader's right is checked again when accounts, ACLs or times change. */
export function rightOf(parts: RightsParts, principal: Principal, address: Address): LiveRight {
  const own = isOneStream(address) ? address.stream : undefined
  return {
    login: principal.login,
    stream: own && rightFor('read', own).stream,
    expires: principal.expires,
    refusal: () => {
      const over = parts.rules.signInRefusal(principal, parts.clock.now())
      if (over !== undefined) return over
      if (own === undefined) return undefined
      const verdict = parts.rules.may(principal, 'read', own)
      const refused = (permitted: boolean) => (permitted ? undefined : refusedAccess(principal, 'read', own))
      return typeof verdict === 'boolean' ? refused(verdict) : verdict.then(refused)
    }
  }
}

/** The parts of the store that query parsing needs. */
export interface ContextParts extends RightsParts {
  readonly poster: Poster
  readonly expressions: Expressions
}

/** Returns the context in which the query of a request is parsed. */
export function readContextOf(
  { rules, clock, poster, expressions }: ContextParts,
  { principal }: Pick<FastifyRequest, 'principal'>
): ReadContext {
  return { viewer: rules.viewerOf(principal), now: clock.now(), rule: poster.rule, expressions }
}

/** Returns the author of a change, for the audit log. */
export function actorOf({ principal, ip, id }: FastifyRequest): Actor {
  return { principal, address: ip, requestId: id }
}

/**
 * Returns true when the caller may use a consumer: its owner and administrators may. Reading moves the checkpoint of a
 * consumer, so reads need this right, too (native contract §7).
 */
export function mayUseConsumer(
  principal: Principal,
  { definition }: Consumer,
  { rules }: Pick<RightsParts, 'rules'>
): boolean {
  const { owner, ownerSince } = definition
  if (isAdministrator(principal)) return true
  // An ownerless consumer is open to all callers when anonymous access is on.
  if (owner === undefined) return rules.settings.anonymous
  return owner === principal.login && ownerSince === principal.since
}

/**
 * Checks the right to use a consumer: `mayUseConsumer`, and a token must cover the consumer's source.
 * @param changes true when the request changes the consumer itself, false when it only reads for it
 * @throws `sign-in-required`, `not-permitted`, at once or by the promise
 */
export function checkConsumer(
  parts: RightsParts,
  principal: Principal,
  consumer: Consumer,
  changes: boolean
): void | Promise<void> {
  if (!mayUseConsumer(principal, consumer, parts)) {
    const { name } = consumer
    const code = principal.login === undefined ? 'sign-in-required' : 'not-permitted'
    throw new DaybookError(code, `Only the owner of consumer "${name}" and administrators may use it.`, {
      consumer: name
    })
  }
  return checkScopeFor(parts, principal, parseSource(consumer.definition.source).address, changes)
}

/**
 * Checks that a token covers a consumer's source. For the log and index streams, a token that can read any stream may
 * read for the consumer; only a token for all streams may change it, because the change affects all events.
 * @throws `not-permitted`, at once or by the promise
 */
export function checkScopeFor(
  parts: RightsParts,
  principal: Principal,
  address: Address,
  changes: boolean
): void | Promise<void> {
  if (principal.scope === undefined) return undefined
  const { read } = principal.scope
  if (isOneStream(address)) return checkReadable(parts, principal, address)
  if (changes ? read.includes('*') : read.length > 0) return undefined
  throw new DaybookError('not-permitted', 'This token does not cover the source of the consumer.')
}

/** Returns true for a plain stream (not the log, no index stream): the right to read it covers all its events. */
function isOneStream({ stream, index }: Address): boolean {
  return stream !== undefined && index === undefined
}
