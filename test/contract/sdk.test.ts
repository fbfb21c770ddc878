import { execFileSync } from 'node:child_process'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { createClient } from '@hey-api/openapi-ts'
import t from 'tap'
import { parse } from 'yaml'
import { append, ask, listen } from '../helpers/app.js'
import { OPENAPI_PATH } from '../helpers/openapi.js'
import { projectFile } from '../helpers/project.js'

t.test('a client generated from openapi.yaml compiles strictly, appends and reads', async (t) => {
  const directory = t.testdir({ 'package.json': '{"type":"module"}' })
  await createClient({
    input: OPENAPI_PATH,
    output: { path: join(directory, 'sdk'), module: { extension: '.js' } },
    plugins: ['@hey-api/client-fetch', '@hey-api/typescript', '@hey-api/sdk'],
    logs: { level: 'silent' }
  })
  copyFileSync(projectFile('test/fixtures/sdk-tour.ts'), join(directory, 'tour.ts'))
  const compilerOptions = {
    strict: true,
    noUncheckedIndexedAccess: true,
    target: 'ES2022',
    module: 'NodeNext',
    lib: ['ES2023', 'DOM', 'DOM.Iterable'],
    types: [],
    outDir: 'out'
  }
  writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['tour.ts'] }))
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc')
  try {
    execFileSync(process.execPath, [tsc, '-p', directory], { encoding: 'utf8' })
  } catch (error) {
    return t.fail(`the generated client does not compile:\n${(error as { stdout: string }).stdout}`)
  }
  const { url } = await listen(t, { directory: join(directory, 'data') })
  const { tour } = (await import(join(directory, 'out', 'tour.js'))) as { tour(url: string): Promise<unknown> }
  t.same(await tour(url), {
    head: 1,
    types: ['CheckedOut', 'ItemAdded'],
    refused: 'wrong-expected-version',
    qty: 2,
    logPositions: [0, 1],
    streams: ['cart 1/ä'],
    rules: {
      maxAge: 'P30D',
      maxCount: 1000,
      truncateBefore: 0,
      acl: { write: ['ann'], delete: ['ann'], metadataWrite: ['ann'] }
    }
  })
})

/** How SDK generators derive an Accept header from the media types of an operation. */
const generators: Record<string, (types: string[]) => string> = {
  'all of them (openapi-generator for TypeScript, Ruby, PHP)': (types) => types.join(', '),
  'JSON alone where it is listed (for C#, Go)': (types) =>
    types.includes('application/json') ? 'application/json' : types.join(','),
  'the first that is JSON (for Java and Python, Kiota, NSwag)': (types) =>
    types.find((type) => /json/.test(type)) as string,
  'none (fetch clients)': () => '*/*'
}

t.test('an SDK gets the documented responses, however its generator derives the Accept header', async (t) => {
  const { app } = await listen(t)
  const { paths } = parse(readFileSync(OPENAPI_PATH, 'utf8'))
  await append(app, 's', { type: 'T', data: { qty: 2 } })
  const rules = { maxAge: 'P30D', maxCount: 1000 }
  await ask(app, 'PUT /streams/s/metadata', {}, rules)
  for (const [how, acceptOf] of Object.entries(generators)) {
    const read = async (path: string, url: string) => {
      const types = Object.values<Listing>(paths[path].get.responses).flatMap(({ content = {} }) =>
        Object.keys(content)
      )
      const answer = await app.inject({ url, headers: { accept: acceptOf([...new Set(types)]) } })
      t.equal(answer.statusCode, 200, `${url}, ${how}`)
      return answer.json()
    }
    t.match(await read('/streams/{stream}', '/streams/s'), { events: [{ type: 'T' }], cursor: '0' }, how)
    t.match(await read('/streams/{stream}/{number}', '/streams/s/0'), { type: 'T', data: { qty: 2 } }, how)
    t.match(await read('/events/{position}', '/events/0'), { type: 'T', data: { qty: 2 } }, how)
    t.same(await read('/streams/{stream}/metadata', '/streams/s/metadata'), rules, how)
  }
  const headers = { accept: 'application/problem+json' }
  t.equal(
    (await app.inject({ method: 'DELETE', url: '/streams/s', headers })).statusCode,
    204,
    'a client that accepts only problems'
  )
})

t.test('metadata that is read in the dialect and written natively keeps all its rules', async (t) => {
  const { app } = await listen(t)
  const url = '/streams/s/metadata'
  const rules = { maxAge: 'P30D', truncateBefore: 5, acl: { write: 'ann', delete: 'ann', metadataWrite: 'ann' } }
  await ask(app, `PUT ${url}`, {}, rules)
  const read = (await app.inject({ url, headers: { accept: 'application/json' } })).json()
  t.match(read, { $maxAge: 2_592_000, $tb: 5 })
  const written = await ask(app, `PUT ${url}`, {}, { ...read, maxCount: 7 })
  t.equal(written.statusCode, 200, written.body)
  const kept = { ...rules, maxCount: 7 }
  t.same((await ask(app, `GET ${url}`)).json(), kept, 'unchanged members keep their values')
  const refused: [call: string, body: object, says: RegExp][] = [
    ['PUT', { ...read, $maxAge: 60 }, /Use the name "maxAge" instead/],
    ['PUT', { ...read, maxAge: 'PT1M' }, /"\$maxAge" and "maxAge" are the same/],
    ['PUT', { ...read, acl: { read: 'bob' } }, /"\$acl" and "acl" are the same/],
    ['PATCH', { $maxAge: 60 }, /Use the name "maxAge" instead/]
  ]
  for (const [method, body, says] of refused) {
    const answer = await ask(app, `${method} ${url}`, {}, body)
    t.match(
      answer.json(),
      { status: 400, detail: says },
      'a changed member of the dialect is refused with its native name'
    )
  }
  t.same((await ask(app, `GET ${url}`)).json(), kept)
})

interface Listing {
  content?: object
}
