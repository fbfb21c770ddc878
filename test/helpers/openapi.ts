/** The contract, generated from the routes and schemas. */
import { readFileSync } from 'node:fs'
import { buildApp } from '../../routes/index.js'
import { Store } from '../../src/store/store.js'
import { projectFile } from './project.js'

export const OPENAPI_PATH = projectFile('openapi.yaml')

export async function generateOpenApi(): Promise<string> {
  const { version } = JSON.parse(readFileSync(projectFile('package.json'), 'utf8'))
  const app = await buildApp(new Store({ directory: 'never-opened' }), { version, logLevel: 'silent' })
  await app.ready()
  const text = app.swagger({ yaml: true })
  await app.close()
  return text
}
