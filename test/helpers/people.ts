/** Accounts and what stands for them, in a store whose authentication is on. */
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { AppOptions } from '../../routes/index.js'
import { type Actor, ANYBODY, type Principal } from '../../src/access/permissions.js'
import type { Store, StoreOptions } from '../../src/store/store.js'
import { append, listen, type TestApp } from './app.js'

/** Headers that say who asks. */
export type Who = { authorization: string }

/** Who does in a test what is not its subject. */
export const SOMEBODY: Actor = { principal: { ...ANYBODY, login: 'test' }, address: '127.0.0.1', requestId: 'test' }

export function basic(login: string, password: string): Who {
  return { authorization: `Basic ${Buffer.from(`${login}:${password}`).toString('base64')}` }
}

export function bearer(token: string): Who {
  return { authorization: `Bearer ${token}` }
}

/** Headers of who sends JSON, and takes problems as they are. */
export function asJson(who: object = {}): Record<string, string> {
  return { accept: '*/*', 'content-type': 'application/json', ...who }
}

export const admin = basic('admin', 'changeit')
export const ops = basic('ops', 'changeit')

/** Makes an account, with its login as its password. @returns its credentials */
export async function makeUser(store: Store, login: string, groups: string[] = []): Promise<Who> {
  await store.accounts.create(SOMEBODY, login, { fullName: login, groups }, login)
  return basic(login, login)
}

/** An account as it signs in with its password. */
export function principalOf(store: Store, login: string): Principal {
  const account = store.accounts.need(login)
  return { login, groups: account.groups ?? [], accountVersion: account.version, by: 'password' }
}

/** Makes an API token of an account. @returns the text of it */
export async function makeToken(
  store: Store,
  login: string,
  scope: { read?: string[]; write?: string[] },
  expires: number | null = null
): Promise<{ id: string; text: string }> {
  const actor: Actor = { ...SOMEBODY, principal: principalOf(store, login) }
  const { read = [], write = [] } = scope
  const { token, text } = await store.tokens.create(actor, { name: 'of a test', scope: { read, write }, expires })
  return { id: token.id, text }
}

/** Writes the rules of a stream. */
export async function setRules(app: FastifyInstance, stream: string, acl: object): Promise<void> {
  const { statusCode, body } = await app.inject({
    method: 'PATCH',
    url: `/streams/${encodeURIComponent(stream)}/metadata`,
    headers: { ...admin, 'content-type': 'application/json' },
    payload: JSON.stringify({ acl })
  })
  if (statusCode > 201) throw new Error(body)
}

/** A server with Ann and Bob, who is of the group `sales`, and a stream that is only Ann's among others. */
export async function withAnn(
  t: Test,
  options: AppOptions & Partial<StoreOptions> = {}
): Promise<TestApp & { url: string; ann: Who; bob: Who }> {
  const opened = await listen(t, { insecure: false, ...options })
  const { app, store } = opened
  const [ann, bob] = [await makeUser(store, 'ann'), await makeUser(store, 'bob', ['sales'])]
  await append(app, 'order-1', { type: 'Placed', tags: ['shared'] }, admin)
  await append(app, 'secret-1', { type: 'Whispered', tags: ['shared'] }, admin)
  await setRules(app, 'secret-1', { read: 'ann', write: 'ann' })
  return { ...opened, ann, bob }
}
