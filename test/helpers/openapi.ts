/** The contract, generated from the routes and schemas. */
import { readFileSync } from 'node:fs'
import { buildApp } from '../../routes/index.js'
import { Store } from '../../src/store/store.js'

export const OPENAPI_PATH = new URL('../../openapi.yaml', import.meta.url)

export async function generateOpenApi(): Promise<string> {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  const app = await buildApp(new Store({ directory: 'never-opened' }), { version, logLevel: 'silent' })
  await app.ready()
  const text = app.swagger({ yaml: true })
  await app.close()
  return text
}
