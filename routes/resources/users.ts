/** /users: accounts, in the form of EventStoreDB's users API (reference 15). */
import type { FastifyContextConfig, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { ChangedUser, NewUser, PasswordChange, PasswordReset, type UserShown } from '../../schemas/accounts/users.js'
import { userOperations } from '../../schemas/operations/user-operations.js'
import { DaybookError, isDaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import type { Clock } from '../../src/time/clock.js'
import type { Account } from '../../src/users/account.js'
import type { Accounts } from '../../src/users/accounts.js'
import type { Requirement } from '../auth/authorization.js'
import { actorOf } from '../auth/caller-rights.js'
import type { AtomDialect } from '../eventstore/atom-dialect.js'
import { codecs, makeOffer, negotiates } from '../eventstore/wire/codecs.js'
import { segment } from '../eventstore/wire/urls.js'
import { wantsDialectRefusal } from '../http/error-handler.js'
import { mediaType } from '../wire/media-types.js'
import { compileShape, type Shape } from '../wire/problems/shape.js'
import { invalidBody, parseJsonObject } from '../wire/writing/body.js'
import { bodyOf } from '../writing/received-body.js'

const INNER = { list: 261, one: 260, result: 259 } as const

/** The parts of the store that the account routes use. Read per request: the store may still be opening. */
export interface UserRouteParts {
  readonly accounts: Accounts
  readonly clock: Clock
}

export function userRoutes(app: FastifyInstance, parts: UserRouteParts, atom: AtomDialect): void {
  app.addHook('preHandler', (request, reply, done) => {
    negotiateJson(request)
    atom.begin(request, reply)
    done()
  })
  const users = new UserHandlers(parts, atom)
  const operations = userOperations
  const config = accountConfig('administrator')
  app.get('/users', { config, schema: operations.list }, async (request) => users.list(request))
  app.post('/users', { config, schema: operations.create }, (request, reply) => users.create(request, reply))
  app.get('/users/', { config, schema: operations.listWithSlash }, async (request) => users.list(request))
  app.post('/users/', { config, schema: operations.createWithSlash }, (request, reply) => users.create(request, reply))

  const current = accountConfig((request) => (loginOf(request) === '$current' ? 'signedIn' : 'administrator'))
  const one = '/users/:login'
  app.get(one, { config: current, schema: operations.get }, async (request, reply) => users.get(request, reply))
  app.put(one, { config, schema: operations.update }, (request, reply) => users.update(request, reply))
  app.delete(one, { config, schema: operations.remove }, (request, reply) => users.remove(request, reply))

  const self = accountConfig((request) => ({ self: loginOf(request) }))
  const command = '/users/:login/command'
  app.post(`${command}/enable`, { config, schema: operations.enable }, (request, reply) =>
    users.setDisabled(request, reply, false)
  )
  app.post(`${command}/disable`, { config, schema: operations.disable }, (request, reply) =>
    users.setDisabled(request, reply, true)
  )
  app.post(`${command}/reset-password`, { config, schema: operations.resetPassword }, (request, reply) =>
    users.resetPassword(request, reply)
  )
  app.post(`${command}/change-password`, { config: self, schema: operations.changePassword }, (request, reply) =>
    users.changePassword(request, reply)
  )
}

function accountConfig(access: Requirement): FastifyContextConfig {
  return { access, dialect: wantsDialectRefusal, negotiate: negotiateJson, bodyMax: limits.small_body_bytes_max }
}

class UserHandlers {
  readonly #parts: UserRouteParts
  readonly #atom: AtomDialect

  constructor(parts: UserRouteParts, atom: AtomDialect) {
    this.#parts = parts
    this.#atom = atom
  }

  list(request: FastifyRequest): object {
    const base = this.#atom.baseOf(request)
    const accounts = this.#parts.accounts.all()
    const data = accounts.map((account) => ({ ...showAccount(account), links: accountLinks(account, base) }))
    return { data, success: true, error: 'Success', msgTypeId: INNER.list, label: 'Other' }
  }

  async create(request: FastifyRequest, reply: FastifyReply): Promise<object> {
    const {
      loginName,
      fullName = null,
      groups = null,
      password
    } = await readMembers<NewUser>(request, checkNew, NewUser)
    return answerChange(reply, loginName, 201, async () => {
      await this.#parts.accounts.create(actorOf(request), loginName, { fullName, groups }, password)
      reply.header('location', `${this.#atom.baseOf(request)}/users/${segment(loginName)}`)
    })
  }

  get(request: FastifyRequest, reply: FastifyReply): object {
    const login = loginOf(request)
    const account = login === '$current' ? undefined : this.#parts.accounts.get(login)
    const shown = login === '$current' ? this.#current(request) : account && showAccount(account)
    const links = account && { links: accountLinks(account, this.#atom.baseOf(request)) }
    if (shown === undefined) reply.code(404)
    const data = shown === undefined ? null : { ...shown, ...links }
    const outcome = data === null ? { success: false, error: 'NotFound' } : { success: true, error: 'Success' }
    return { data, ...outcome, msgTypeId: INNER.one, label: 'Other' }
  }

  async update(request: FastifyRequest, reply: FastifyReply): Promise<object> {
    const { fullName = null, groups = null } = await readMembers<ChangedUser>(request, checkChanged, ChangedUser)
    const login = loginOf(request)
    const actor = actorOf(request)
    return answerChange(reply, login, 200, () => this.#parts.accounts.update(actor, login, { fullName, groups }))
  }

  async remove(request: FastifyRequest, reply: FastifyReply): Promise<object> {
    const login = loginOf(request)
    return answerChange(reply, login, 200, () => this.#parts.accounts.remove(actorOf(request), login))
  }

  async setDisabled(request: FastifyRequest, reply: FastifyReply, disabled: boolean): Promise<object> {
    const login = loginOf(request)
    return answerChange(reply, login, 200, () => this.#parts.accounts.setDisabled(actorOf(request), login, disabled))
  }

  async resetPassword(request: FastifyRequest, reply: FastifyReply): Promise<object> {
    const { newPassword } = await readMembers<PasswordReset>(request, checkReset, PasswordReset)
    const login = loginOf(request)
    return answerChange(reply, login, 200, () =>
      this.#parts.accounts.resetPassword(actorOf(request), login, newPassword)
    )
  }

  async changePassword(request: FastifyRequest, reply: FastifyReply): Promise<object> {
    const { currentPassword, newPassword } = await readMembers<PasswordChange>(request, checkChange, PasswordChange)
    const login = loginOf(request)
    return answerChange(reply, login, 200, () =>
      this.#parts.accounts.changePassword(actorOf(request), login, currentPassword, newPassword)
    )
  }

  /** The caller's own account. Users of an identity provider have none, so the data comes from their token. */
  #current({ principal }: FastifyRequest): UserShown {
    const { accounts, clock } = this.#parts
    const login = principal.login as string
    const account = principal.by === 'jwt' || principal.by === 'insecure' ? undefined : accounts.get(login)
    const shown = (account && showAccount(account)) ?? {
      loginName: login,
      fullName: login,
      groups: [...principal.groups],
      disabled: false
    }
    return { ...shown, dateLastUpdated: new Date(account?.updated ?? clock.now()).toISOString() }
  }
}

const negotiateJson = negotiates(makeOffer([codecs.json]))
const checkNew = compileShape<NewUser>(NewUser)
const checkChanged = compileShape<ChangedUser>(ChangedUser)
const checkReset = compileShape<PasswordReset>(PasswordReset)
const checkChange = compileShape<PasswordChange>(PasswordChange)

function loginOf({ params }: FastifyRequest): string {
  return (params as { login: string }).login
}

/** Returns the checked members of a JSON body. @throws `unsupported-media-type`, `malformed-json`, `invalid-body` */
async function readMembers<T>(request: FastifyRequest, check: Shape<T>, schema: { properties: object }): Promise<T> {
  if (mediaType(request.headers['content-type']) !== 'application/json') {
    const available = ['application/json']
    throw new DaybookError('unsupported-media-type', 'This address accepts application/json.', { available })
  }
  const known = new Map(Object.keys(schema.properties).map((name) => [name.toLowerCase(), name]))
  // EventStoreDB accepts member names in any case.
  const members = Object.entries(parseJsonObject(await bodyOf(request))).map(([name, value]) => [
    known.get(name.toLowerCase()) ?? name,
    value
  ])
  return check(Object.fromEntries(members), invalidBody)
}

/** Makes a change and responds with its outcome. @param status status code of a successful change */
async function answerChange(
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

function showAccount({ login, fullName, groups, disabled }: Account): UserShown {
  return { loginName: login, fullName, groups: groups && [...groups], dateLastUpdated: null, disabled }
}

/** Links to the commands on an account, in EventStoreDB's order (reference 15). */
function accountLinks({ login, disabled }: Account, base: string): { href: string; rel: string }[] {
  const href = `${base}/users/${segment(login)}`
  const change = disabled ? 'enable' : 'disable'
  return [
    { href: `${href}/command/reset-password`, rel: 'reset-password' },
    { href: `${href}/command/change-password`, rel: 'change-password' },
    { href, rel: 'edit' },
    { href, rel: 'delete' },
    { href: `${href}/command/${change}`, rel: change }
  ]
}
