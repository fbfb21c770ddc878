/**
 * Checks of rights after a route has let a caller in: again after a wait, of what only the handler knows,
 * and for what they may see (native contract, reference 14.3).
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

/** What rights are asked of. Its members are read when a request is there: the store opens beside the server. */
export interface RightsParts {
  readonly rules: AccessRules
  readonly clock: Clock
}

/**
 * Checked again after a wait.
 * @throws `sign-in-required` when they are not signed in any more, or, as `not-permitted`, for an address that they may
 * not read
 */
export async function checkReadable(parts: RightsParts, principal: Principal, address: Address): Promise<void> {
  const over = parts.rules.signInRefusal(principal, parts.clock.now())
  if (over !== undefined) throw over
  if (isOneStream(address)) await parts.rules.check(principal, 'read', address.stream as string)
}

/**
 * What the routes of reads ask for, where no route does.
 * @throws as checkReadable; `sign-in-required` for who may read nothing of the log
 */
export async function checkMayRead(parts: RightsParts, principal: Principal, address: Address): Promise<void> {
  if (!isOneStream(address)) checkIsReader(parts, principal)
  await checkReadable(parts, principal, address)
}

/** @throws `sign-in-required` */
export function checkIsReader(parts: RightsParts, principal: Principal): void {
  if (!isReader(parts, principal)) throw new DaybookError('sign-in-required', 'Only who has signed in may do this.')
}

/**
 * Checks, before a body says which streams it is for, that the caller may write any at all. Only of a token can that be
 * known: whatever the settings say, a stream may have rules of its own that let any caller write.
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
    // An import may end a stream that its author may not append to.
    for (const action of ['write', 'delete'] as const) if (await rules.may(principal, action, stream)) return
  }
  const why = `"${principal.login}" may append to no stream with this token.`
  throw new DaybookError('not-permitted', why, { action: 'write', written: false, retry: false })
}

/**
 * True for everybody whom `$all` covers. They read what their rights leave of the log, where positions count all events, so
 * its length is no secret to them; to others it is.
 */
export function isReader({ rules }: Pick<RightsParts, 'rules'>, { login }: Principal): boolean {
  return login !== undefined || rules.settings.anonymous
}

/** True when callers without an account may read it too: then shared caches may keep it. */
export function isPublic({ rules }: Pick<RightsParts, 'rules'>, address: Address): boolean | Promise<boolean> {
  return isOneStream(address) && rules.may(NOBODY, 'read', address.stream as string)
}

/** What a live reader's right rests on. */
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

/** What queries are read with. */
export interface ContextParts extends RightsParts {
  readonly poster: Poster
  readonly expressions: Expressions
}

/** What the query of a request is read with. */
export function readContextOf(
  { rules, clock, poster, expressions }: ContextParts,
  { principal }: Pick<FastifyRequest, 'principal'>
): ReadContext {
  return { viewer: rules.viewerOf(principal), now: clock.now(), rule: poster.rule, expressions }
}

/** Who asks for a change. */
export function actorOf({ principal, ip, id }: FastifyRequest): Actor {
  return { principal, address: ip, requestId: id }
}

/** Owner and administrators may change a consumer, and reading for it changes it (native contract §7). */
export function owns(principal: Principal, { definition }: Consumer, { rules }: Pick<RightsParts, 'rules'>): boolean {
  const { owner, ownerSince } = definition
  if (isAdministrator(principal)) return true
  // What nobody owns is everybody's where nobody needs an account.
  if (owner === undefined) return rules.settings.anonymous
  return owner === principal.login && ownerSince === principal.since
}

/**
 * Checks a caller who uses a consumer: it must own the consumer, and a token must cover what the consumer reads.
 * @param changes the request changes the consumer itself, instead of reading for it
 * @throws `sign-in-required`, `not-permitted`, at once or by the promise
 */
export function checkConsumer(
  parts: RightsParts,
  principal: Principal,
  consumer: Consumer,
  changes: boolean
): void | Promise<void> {
  if (!owns(principal, consumer, parts)) {
    const { name } = consumer
    const code = principal.login === undefined ? 'sign-in-required' : 'not-permitted'
    throw new DaybookError(code, `"${name}" is its owner's and administrators'.`, { consumer: name })
  }
  return checkScopeFor(parts, principal, parseSource(consumer.definition.source).address, changes)
}

/**
 * A token is for a consumer as far as it reads what that reads. Who changes a consumer of the log or of an index stream
 * changes it for everything in it, so it must be for all streams.
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
  throw new DaybookError('not-permitted', 'This token is not for what the consumer reads.')
}

/** Neither the log nor an index stream: who may read it at all may read all of it. */
function isOneStream({ stream, index }: Address): boolean {
  return stream !== undefined && index === undefined
}
