import { readFileSync } from 'node:fs'
import t from 'tap'
import { parse } from 'yaml'
import { generateOpenApi, OPENAPI_PATH } from '../helpers/openapi.js'

t.test('openapi.yaml is up to date with the routes and schemas ("npm run openapi" regenerates it)', async (t) => {
  t.equal(readFileSync(OPENAPI_PATH, 'utf8'), await generateOpenApi())
})

t.test('every operation has an id in camel case, a summary, and named schemas', async (t) => {
  const contract = parse(readFileSync(OPENAPI_PATH, 'utf8'))
  const ids: string[] = []
  for (const [path, operations] of Object.entries<Record<string, Operation>>(contract.paths)) {
    for (const [method, { operationId, summary, responses }] of Object.entries(operations)) {
      t.match(operationId, /^[a-z]+([A-Z][a-z]+)*$/, `${method} ${path} has an operation id`)
      t.ok(summary, `${method} ${path} has a summary`)
      ids.push(operationId)
      for (const [status, { content = {} }] of Object.entries(responses)) {
        for (const [type, { schema }] of Object.entries(content)) {
          const named = schema.$ref?.startsWith('#/components/schemas/') ?? schema.type === 'string'
          t.ok(named, `${method} ${path} ${status} ${type} has a named schema`)
        }
      }
    }
  }
  t.ok(ids.length > 40, 'the operations were found')
  t.equal(new Set(ids).size, ids.length, 'no two operations share an id')
})

interface Operation {
  operationId: string
  summary: string
  responses: Record<string, { content?: Record<string, { schema: { $ref?: string; type?: string } }> }>
}
