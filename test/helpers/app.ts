/**
 * Applications over stores in temporary folders. Each is closed when its test ends, and its directory verified.
 * Authentication is off unless a test is about it.
 */
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { type AppOptions, buildApp } from '../../routes/index.js'
import { Store, type StoreOptions } from '../../src/store/store.js'
import { markOpen, verifyWhenClosed } from './verified.js'

export interface TestApp {
  app: FastifyInstance
  store: Store
  directory: string
}

export interface TestAppOptions extends AppOptions, Partial<StoreOptions> {
  /** The test damages the directory, so it is not verified at the end. */
  damaged?: boolean
}

export async function openApp(t: Test, { damaged = false, ...options }: TestAppOptions = {}): Promise<TestApp> {
  let opened: FastifyInstance | undefined
  const directory = options.directory ?? t.testdir({})
  t.teardown(async () => {
    await opened?.close()
    if (opened !== undefined && !damaged) await verifyWhenClosed(directory)
  })
  const { insecure = true, anonymous = insecure } = options
  const store = await new Store({ ...options, anonymous, directory }).open()
  const app = await buildApp(store, { logLevel: 'silent', ...options, insecure })
  markOpen(directory)
  opened = app
  return { app, store, directory }
}

/** Appends one event or several. @returns the answer */
export async function append(
  app: FastifyInstance,
  stream: string,
  body: unknown,
  headers: Record<string, string> = {}
) {
  return app.inject({
    method: 'POST',
    url: `/streams/${encodeURIComponent(stream)}`,
    headers: { 'content-type': 'application/json', ...headers },
    payload: typeof body === 'string' ? body : JSON.stringify(body)
  })
}

/** Does what openApp does, and listens. */
export async function listen(t: Test, options: TestAppOptions = {}): Promise<TestApp & { url: string }> {
  const opened = await openApp(t, options)
  const url = await opened.app.listen({ host: '127.0.0.1', port: 0 })
  // Fastify reports http for a server that it did not create itself.
  return { ...opened, url: options.tls === undefined ? url : url.replace('http:', 'https:') }
}

/**
 * Sends a request in one line: `ask(app, 'PUT /users/eve', admin, { groups: [] })`.
 * @param body a string is sent as it is, anything else as JSON
 */
export function ask(app: FastifyInstance, call: string, headers: Record<string, string> = {}, body?: unknown) {
  const [method, url] = call.split(/ (.*)/s) as ['GET', string]
  const typed = body === undefined ? {} : { 'content-type': 'application/json' }
  const payload = body === undefined || typeof body === 'string' ? body : JSON.stringify(body)
  return app.inject({ method, url, headers: { accept: '*/*', ...typed, ...headers }, payload })
}
