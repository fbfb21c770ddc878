/** Accounts and credentials, in a store with authentication. */
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { AppOptions } from '../../routes/index.js'
import { type Actor, ANYBODY, type Principal } from '../../src/access/permissions.js'
import type { Store, StoreOptions } from '../../src/store/store.js'
import { append, listen, type TestApp } from './app.js'

/** Headers with the credentials of a caller. */
export type Credentials = { authorization: string }

/** The actor of steps that a test is not about. */
export const TEST_ACTOR: Actor = { principal: { ...ANYBODY, login: 'test' }, address: '127.0.0.1', requestId: 'test' }

export function basic(login: string, password: string): Credentials {
  return { authorization: `Basic ${Buffer.from(`${login}:${password}`).toString('base64')}` }
}

export function bearer(token: string): Credentials {
  return { authorization: `Bearer ${token}` }
}

/** Returns the headers of a client that sends JSON and accepts problems. */
export function asJson(who: object = {}): Record<string, string> {
  return { accept: '*/*', 'content-type': 'application/json', ...who }
}

export const admin = basic('admin', 'changeit')
export const ops = basic('ops', 'changeit')

/** Creates an account whose password is its login. @returns its credentials */
export async function makeUser(store: Store, login: string, groups: string[] = []): Promise<Credentials> {
  await store.accounts.create(TEST_ACTOR, login, { fullName: login, groups }, login)
  return basic(login, login)
}

/** Returns the principal of an account that signed in with its password. */
export function principalOf(store: Store, login: string): Principal {
  const account = store.accounts.need(login)
  return { login, groups: account.groups ?? [], accountVersion: account.version, by: 'password' }
}

/** Creates an API token of an account. @returns its id and its text */
export async function makeToken(
  store: Store,
  login: string,
  scope: { read?: string[]; write?: string[] },
  expires: number | null = null
): Promise<{ id: string; text: string }> {
  const actor: Actor = { ...TEST_ACTOR, principal: principalOf(store, login) }
  const { read = [], write = [] } = scope
  const { token, text } = await store.tokens.create(actor, { name: 'of a test', scope: { read, write }, expires })
  return { id: token.id, text }
}

/** Sets the access rules of a stream. */
export async function setRules(app: FastifyInstance, stream: string, acl: object): Promise<void> {
  const { statusCode, body } = await app.inject({
    method: 'PATCH',
    url: `/streams/${encodeURIComponent(stream)}/metadata`,
    headers: { ...admin, 'content-type': 'application/json' },
    payload: JSON.stringify({ acl })
  })
  if (statusCode > 201) throw new Error(body)
}

/**
 * Starts a server with Ann, Bob (of the group `sales`), a stream `order-1`, and a stream `secret-1` that only Ann may
 * use.
 */
export async function withAnn(
  t: Test,
  options: AppOptions & Partial<StoreOptions> = {}
): Promise<TestApp & { url: string; ann: Credentials; bob: Credentials }> {
  const opened = await listen(t, { insecure: false, ...options })
  const { app, store } = opened
  const [ann, bob] = [await makeUser(store, 'ann'), await makeUser(store, 'bob', ['sales'])]
  await append(app, 'order-1', { type: 'Placed', tags: ['shared'] }, admin)
  await append(app, 'secret-1', { type: 'Whispered', tags: ['shared'] }, admin)
  await setRules(app, 'secret-1', { read: 'ann', write: 'ann' })
  return { ...opened, ann, bob }
}
