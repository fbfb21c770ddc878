/** /tokens: API tokens of the account that asks. */
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { NewToken, TokenList, TokenMade, type TokenShown } from '../../schemas/accounts/users.js'
import { problemResponses } from '../../schemas/problem-document.js'
import { ref } from '../../schemas/ref.js'
import { DaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import type { Store } from '../../src/store/store.js'
import { DURATION_PATTERN, secondsOf } from '../../src/time/duration.js'
import type { Token } from '../../src/users/tokens.js'
import { actorOf } from '../auth/rechecks.js'
import { compileShape } from '../wire/problems/shape.js'
import { parseInstant } from '../wire/reading/bounds.js'
import { bodyOf, objectOf } from '../wire/writing/body.js'

const checkToken = compileShape<NewToken>(NewToken)
const refused = (why: string, where: { pointer?: string } = {}) => new DaybookError('invalid-body', why, where)

export function tokenRoutes(app: FastifyInstance, store: Store): void {
  const tags = ['tokens']
  const account = { access: 'account', bodyMax: limits.small_body_bytes_max } as const

  app.post(
    '/tokens',
    {
      config: account,
      schema: {
        operationId: 'createToken',
        summary: 'Make an API token',
        description: 'It may do what its account may, within the streams that it names; never administration.',
        tags,
        body: { content: { 'application/json': { schema: ref(NewToken) } } },
        response: {
          201: { description: 'The token, this once.', content: { 'application/json': { schema: ref(TokenMade) } } },
          ...problemResponses(400, 409, 503)
        }
      }
    },
    async (request, reply) => {
      const { name, read = [], write = [], expires } = checkToken(objectOf(await bodyOf(request)), refused)
      if (read.length + write.length === 0) throw refused('Say what the token is for: "read", "write", or both.')
      const asked = { name, scope: { read, write }, expires: expiryOf(expires, store.clock.now()) }
      const { token, text } = await store.tokens.create(actorOf(request), asked)
      reply.code(201).header('location', `/tokens/${token.id}`).header('cache-control', 'no-store')
      return { ...shownOf(token), token: text }
    }
  )

  app.get(
    '/tokens',
    {
      config: account,
      schema: {
        operationId: 'listTokens',
        summary: "One's own API tokens; for administrators, everybody's",
        tags,
        response: {
          200: { description: 'Without their secrets.', content: { 'application/json': { schema: ref(TokenList) } } }
        }
      }
    },
    async (request, reply) => {
      reply.header('cache-control', 'no-store')
      return { tokens: store.tokens.visibleTo(request.principal).map(shownOf) }
    }
  )

  app.delete(
    '/tokens/:id',
    {
      config: account,
      schema: {
        operationId: 'revokeToken',
        summary: 'Revoke an API token',
        tags,
        params: Type.Object({ id: Type.String() }),
        response: { 204: { type: 'null', description: 'Nobody gets in with it.' }, ...problemResponses(404) }
      }
    },
    async (request, reply) => {
      await store.tokens.revoke(actorOf(request), (request.params as { id: string }).id)
      return reply.code(204).send()
    }
  )
}

function shownOf({ id, name, login, scope, created, expires }: Token): TokenShown {
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

/** @throws `invalid-body` for what is no time in the future */
function expiryOf(text: string | undefined, now: number): number | null {
  if (text === undefined) return null
  const duration = new RegExp(DURATION_PATTERN).test(text)
  const instant = duration ? now + Number(secondsOf(text)) * 1000 : parseInstant(text, now)
  if (instant !== undefined && instant > now && instant < 8.64e15) return instant
  const why = '"expires" is an instant that is still to come (RFC 3339), or a duration of weeks, days, hours… (P30D).'
  throw refused(why, { pointer: '/expires' })
}
