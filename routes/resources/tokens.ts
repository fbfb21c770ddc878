/** /tokens: API tokens of the caller's account. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { NewToken, type TokenShown } from '../../schemas/accounts/tokens.js'
import { tokenOperations } from '../../schemas/operations/token-operations.js'
import { limits } from '../../src/limits.js'
import type { Clock } from '../../src/time/clock.js'
import { DURATION_PATTERN, secondsOf } from '../../src/time/duration.js'
import type { Token, Tokens } from '../../src/users/tokens.js'
import { actorOf } from '../auth/caller-rights.js'
import { compileShape } from '../wire/problems/shape.js'
import { parseInstant } from '../wire/reading/cursor-bounds.js'
import { invalidBody, parseJsonObject } from '../wire/writing/body.js'
import { bodyOf } from '../writing/received-body.js'

/** The parts of the store that the token routes use. Read per request: the store may still be opening. */
export interface TokenRouteParts {
  readonly tokens: Tokens
  readonly clock: Clock
}

const config = { access: 'account', bodyMax: limits.small_body_bytes_max } as const

export function tokenRoutes(app: FastifyInstance, parts: TokenRouteParts): void {
  const { create, list, revoke } = tokenOperations
  app.post('/tokens', { config, schema: create }, (request, reply) => createToken(parts, request, reply))
  app.get('/tokens', { config, schema: list }, async (request, reply) => listTokens(parts, request, reply))
  app.delete('/tokens/:id', { config, schema: revoke }, (request, reply) => revokeToken(parts, request, reply))
}

const checkToken = compileShape<NewToken>(NewToken)

async function createToken(parts: TokenRouteParts, request: FastifyRequest, reply: FastifyReply): Promise<object> {
  const { name, read = [], write = [], expires } = checkToken(parseJsonObject(await bodyOf(request)), invalidBody)
  if (read.length + write.length === 0) throw invalidBody('A token must have at least one stream in "read" or "write".')
  const newToken = { name, scope: { read, write }, expires: expiryOf(expires, parts.clock.now()) }
  const { token, text } = await parts.tokens.create(actorOf(request), newToken)
  reply.code(201).header('location', `${request.prefix}/tokens/${token.id}`).header('cache-control', 'no-store')
  return { ...showToken(token), token: text }
}

function listTokens({ tokens }: TokenRouteParts, request: FastifyRequest, reply: FastifyReply): object {
  reply.header('cache-control', 'no-store')
  return { tokens: tokens.visibleTo(request.principal).map(showToken) }
}

async function revokeToken(
  { tokens }: TokenRouteParts,
  request: FastifyRequest,
  reply: FastifyReply
): Promise<FastifyReply> {
  await tokens.revoke(actorOf(request), (request.params as { id: string }).id)
  return reply.code(204).send()
}

function showToken({ id, name, login, scope, created, expires }: Token): TokenShown {
  const { read, write } = scope
  return {
    id,
    name,
    login,
    read: [...read],
    write: [...write],
    created: new Date(created).toISOString(),
    expires: expires === null ? null : new Date(expires).toISOString()
  }
}

/**
 * Returns when a token expires, in milliseconds since the Unix epoch; null: never.
 * @throws `invalid-body` for anything but a time in the future
 */
function expiryOf(text: string | undefined, now: number): number | null {
  if (text === undefined) return null
  const duration = new RegExp(DURATION_PATTERN).test(text)
  const instant = duration ? now + Number(secondsOf(text)) * 1000 : parseInstant(text, now)
  if (instant !== undefined && instant > now && instant < 8.64e15) return instant
  const why = '"expires" must be an instant in the future (RFC 3339), or a duration of weeks, days, hours… (P30D).'
  throw invalidBody(why, { pointer: '/expires' })
}
