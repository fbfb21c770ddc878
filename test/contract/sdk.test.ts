import { execFileSync } from 'node:child_process'
import { copyFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createClient } from '@hey-api/openapi-ts'
import t from 'tap'
import { listen } from '../helpers/app.js'
import { OPENAPI_PATH } from '../helpers/openapi.js'

t.test('a client generated from openapi.yaml compiles strictly, appends and reads', async (t) => {
  const directory = t.testdir({ 'package.json': '{"type":"module"}' })
  await createClient({
    input: fileURLToPath(OPENAPI_PATH),
    output: { path: join(directory, 'sdk'), module: { extension: '.js' } },
    plugins: ['@hey-api/client-fetch', '@hey-api/typescript', '@hey-api/sdk'],
    logs: { level: 'silent' }
  })
  copyFileSync(new URL('../fixtures/sdk-tour.ts', import.meta.url), join(directory, 'tour.ts'))
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
    return t.fail(`it does not compile:\n${(error as { stdout: string }).stdout}`)
  }
  const { url } = await listen(t, { directory: join(directory, 'data') })
  const { tour } = (await import(join(directory, 'out', 'tour.js'))) as { tour(url: string): Promise<unknown> }
  t.same(await tour(url), {
    head: 1,
    types: ['CheckedOut', 'ItemAdded'],
    refused: 'wrong-expected-version',
    qty: 2,
    logPositions: [0, 1],
    streams: ['cart 1/ä']
  })
})
