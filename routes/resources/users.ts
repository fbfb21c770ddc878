/** /users: accounts, in the words of the original's users API (reference 15). */
import type { FastifyContextConfig, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { problemResponses } from '../../schemas/problem.js'
import { ref } from '../../schemas/ref.js'
import {
  ChangedUser,
  NewUser,
  PasswordChange,
  PasswordReset,
  UserAnswer,
  UserList,
  UserResult,
  type UserShown
} from '../../schemas/users.js'
import type { Actor } from '../../src/access/permissions.js'
import { DaybookError, isDaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import type { Store } from '../../src/store/store.js'
import type { Account } from '../../src/users/account.js'
import type { Requirement } from '../auth/authorization.js'
import { actorOf } from '../auth/rechecks.js'
import type { AtomDialect } from '../eventstore/atom-dialect.js'
import { codecs, negotiates } from '../eventstore/wire/codecs.js'
import { segment } from '../eventstore/wire/urls.js'
import { wantsBare } from '../http/error-handler.js'
import { compileShape, type Shape } from '../wire/problems/shape.js'
import { bodyOf, objectOf } from '../wire/writing/body.js'
import { mediaType } from '../wire/writing/stream-body.js'

const INNER = { list: 261, one: 260, result: 259 } as const
const LoginParams = Type.Object({ login: Type.String({ description: '`$current` is who asks.' }) })
const result = { description: 'Done.', content: { 'application/json': { schema: ref(UserResult) } } }

export function userRoutes(app: FastifyInstance, store: Store, atom: AtomDialect): void {
  app.addHook('preHandler', (request, reply, done) => {
    negotiateJson(request)
    atom.begin(request, reply)
    done()
  })
  listAndCreate(app, store, atom)
  oneAccount(app, store, atom)
  commands(app, store)
}

const tags = ['users']

function config(access: Requirement): FastifyContextConfig {
  return { access, dialect: wantsBare, negotiate: negotiateJson, bodyMax: limits.small_body_bytes_max }
}

function listAndCreate(app: FastifyInstance, store: Store, atom: AtomDialect): void {
  const administrators = config('administrator')
  const list = (request: FastifyRequest) => {
    const base = atom.baseOf(request)
    const data = store.accounts.all().map((account) => ({ ...shownOf(account), links: linksOf(account, base) }))
    return { data, success: true, error: 'Success', msgTypeId: INNER.list, label: 'Other' }
  }
  const create = async (request: FastifyRequest, reply: FastifyReply) => {
    const said = await read<NewUser>(request, checkNew, NewUser)
    const { loginName, fullName = null, groups = null, password } = said
    return answer(reply, loginName, 201, async () => {
      await store.accounts.create(actorOf(request), loginName, { fullName, groups }, password)
      reply.header('location', `${atom.baseOf(request)}/users/${segment(loginName)}`)
    })
  }
  for (const path of ['/users', '/users/']) {
    const hide = path.endsWith('/')
    app.get(
      path,
      {
        config: administrators,
        schema: {
          hide,
          operationId: 'listUsers',
          summary: 'All accounts, by login',
          tags,
          response: {
            200: { description: 'Accounts.', content: { 'application/json': { schema: ref(UserList) } } }
          }
        }
      },
      async (request) => list(request)
    )
    app.post(
      path,
      {
        config: administrators,
        schema: {
          hide,
          operationId: 'createUser',
          summary: 'Make an account',
          tags,
          body: { content: { 'application/json': { schema: ref(NewUser) } } },
          response: { 201: result, 409: result, ...problemResponses(400, 415, 503) }
        }
      },
      create
    )
  }
}

function oneAccount(app: FastifyInstance, store: Store, atom: AtomDialect): void {
  const administrators = config('administrator')
  app.get(
    '/users/:login',
    {
      config: config((request) => (loginOf(request) === '$current' ? 'signedIn' : 'administrator')),
      schema: {
        operationId: 'getUser',
        summary: 'One account',
        tags,
        params: LoginParams,
        response: {
          200: { description: 'The account.', content: { 'application/json': { schema: ref(UserAnswer) } } },
          404: { description: 'There is none.', content: { 'application/json': { schema: ref(UserAnswer) } } }
        }
      }
    },
    async (request, reply) => {
      const login = loginOf(request)
      const shown = login === '$current' ? currentOf(store, request) : shownOf(store.accounts.get(login))
      const account = login === '$current' ? undefined : store.accounts.get(login)
      const links = account && { links: linksOf(account, atom.baseOf(request)) }
      if (shown === undefined) reply.code(404)
      const data = shown === undefined ? null : { ...shown, ...links }
      const said = data === null ? { success: false, error: 'NotFound' } : { success: true, error: 'Success' }
      return { data, ...said, msgTypeId: INNER.one, label: 'Other' }
    }
  )

  app.put(
    '/users/:login',
    {
      config: administrators,
      schema: {
        operationId: 'updateUser',
        summary: 'Change name and groups of an account; what is left out becomes null',
        tags,
        params: LoginParams,
        body: { content: { 'application/json': { schema: ref(ChangedUser) } } },
        response: { 200: result, 404: result, ...problemResponses(400, 415) }
      }
    },
    async (request, reply) => {
      const { fullName = null, groups = null } = await read<ChangedUser>(request, checkChanged, ChangedUser)
      const login = loginOf(request)
      const actor = actorOf(request)
      return answer(reply, login, 200, () => store.accounts.update(actor, login, { fullName, groups }))
    }
  )

  app.delete(
    '/users/:login',
    {
      config: administrators,
      schema: {
        operationId: 'deleteUser',
        summary: 'Delete an account',
        tags,
        params: LoginParams,
        response: { 200: result, 404: result }
      }
    },
    async (request, reply) => {
      const login = loginOf(request)
      return answer(reply, login, 200, () => store.accounts.remove(actorOf(request), login))
    }
  )
}

function commands(app: FastifyInstance, store: Store): void {
  const command = <T>(
    name: string,
    operationId: string,
    summary: string,
    access: Requirement,
    body: { schema: typeof PasswordReset | typeof PasswordChange; check: Shape<T> } | undefined,
    work: (actor: Actor, login: string, said: T) => Promise<void>
  ) => {
    app.post(
      `/users/:login/command/${name}`,
      {
        config: config(access),
        schema: {
          operationId,
          summary,
          tags,
          params: LoginParams,
          ...(body && { body: { content: { 'application/json': { schema: ref(body.schema) } } } }),
          response: { 200: result, 404: result, ...problemResponses(400, 415) }
        }
      },
      async (request, reply) => {
        const said = body === undefined ? undefined : await read<T>(request, body.check, body.schema)
        const login = loginOf(request)
        return answer(reply, login, 200, () => work(actorOf(request), login, said as T))
      }
    )
  }
  command('enable', 'enableUser', 'Let an account sign in again', 'administrator', undefined, (actor, login) =>
    store.accounts.setDisabled(actor, login, false)
  )
  command('disable', 'disableUser', 'Let an account sign in no more', 'administrator', undefined, (actor, login) =>
    store.accounts.setDisabled(actor, login, true)
  )
  command<PasswordReset>(
    'reset-password',
    'resetPassword',
    'Give an account another password',
    'administrator',
    { schema: PasswordReset, check: checkReset },
    (actor, login, { newPassword }) => store.accounts.resetPassword(actor, login, newPassword)
  )
  command<PasswordChange>(
    'change-password',
    'changePassword',
    "Change one's own password",
    (request) => ({ self: loginOf(request) }),
    { schema: PasswordChange, check: checkChange },
    (actor, login, { currentPassword, newPassword }) =>
      store.accounts.changePassword(actor, login, currentPassword, newPassword)
  )
}

const negotiateJson = negotiates([codecs.json])
const checkNew = compileShape<NewUser>(NewUser)
const checkChanged = compileShape<ChangedUser>(ChangedUser)
const checkReset = compileShape<PasswordReset>(PasswordReset)
const checkChange = compileShape<PasswordChange>(PasswordChange)

function loginOf({ params }: FastifyRequest): string {
  return (params as { login: string }).login
}

/** @throws `unsupported-media-type`, `malformed-json`, `invalid-body` */
async function read<T>(request: FastifyRequest, check: Shape<T>, schema: { properties: object }): Promise<T> {
  if (mediaType(request.headers['content-type']) !== 'application/json') {
    const available = ['application/json']
    throw new DaybookError('unsupported-media-type', 'This address takes application/json.', { available })
  }
  const known = new Map(Object.keys(schema.properties).map((name) => [name.toLowerCase(), name]))
  // The original takes members in any case.
  const members = Object.entries(objectOf(await bodyOf(request))).map(([name, value]) => [
    known.get(name.toLowerCase()) ?? name,
    value
  ])
  return check(Object.fromEntries(members), (why, where) => new DaybookError('invalid-body', why, where))
}

/** Answers with what came of a change. */
async function answer(
  reply: FastifyReply,
  loginName: string,
  status: 200 | 201,
  work: () => Promise<void>
): Promise<object> {
  let error = 'Success'
  try {
    await work()
    reply.code(status)
  } catch (cause) {
    const failed = isDaybookError(cause) ? RESULTS[cause.code] : undefined
    if (failed === undefined) throw cause
    error = failed.error
    reply.code(failed.status)
    if (failed.status === 401) reply.header('www-authenticate', 'BasicCustom realm="ES"')
  }
  return { loginName, success: error === 'Success', error, msgTypeId: INNER.result, label: 'Other' }
}

const RESULTS: Partial<Record<string, { error: string; status: number }>> = {
  'user-not-found': { error: 'NotFound', status: 404 },
  'user-exists': { error: 'Conflict', status: 409 },
  'last-administrator': { error: 'Conflict', status: 409 },
  'wrong-password': { error: 'Unauthorized', status: 401 }
}

function shownOf(account: Account): UserShown
function shownOf(account: Account | undefined): UserShown | undefined
function shownOf(account: Account | undefined): UserShown | undefined {
  if (account === undefined) return undefined
  const { login, fullName, groups, disabled } = account
  return { loginName: login, fullName, groups: groups && [...groups], dateLastUpdated: null, disabled }
}

/** Who asks; a provider's users have no account to show. */
function currentOf(store: Store, { principal }: FastifyRequest): UserShown {
  const login = principal.login as string
  const account = principal.by === 'jwt' || principal.by === 'insecure' ? undefined : store.accounts.get(login)
  const shown = shownOf(account) ?? {
    loginName: login,
    fullName: login,
    groups: [...principal.groups],
    disabled: false
  }
  return { ...shown, dateLastUpdated: new Date(account?.updated ?? store.clock.now()).toISOString() }
}

/** What can be done with an account, in the original's order (reference 15). */
function linksOf({ login, disabled }: Account, base: string): { href: string; rel: string }[] {
  const href = `${base}/users/${login}`
  const change = disabled ? 'enable' : 'disable'
  return [
    { href: `${href}/command/reset-password`, rel: 'reset-password' },
    { href: `${href}/command/change-password`, rel: 'change-password' },
    { href, rel: 'edit' },
    { href, rel: 'delete' },
    { href: `${href}/command/${change}`, rel: change }
  ]
}
