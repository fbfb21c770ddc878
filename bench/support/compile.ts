/**
 * Compiles bench/ to dist/bench/: the child processes must run as Daybook runs, as plain JavaScript, or the comparison
 * would measure the loader. `../../src` of a file in bench/children is then what `tsc -b` has built.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { goneAtEnd } from './processes.js'

const source = fileURLToPath(new URL('..', import.meta.url))
const target = fileURLToPath(new URL('../../dist/bench', import.meta.url))

export function compileChildren(): void {
  goneAtEnd(target)
  for (const folder of ['children', 'hostile', 'support']) {
    for (const name of readdirSync(join(source, folder))) {
      const { outputText } = ts.transpileModule(readFileSync(join(source, folder, name), 'utf8'), {
        compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 }
      })
      const path = join(target, folder, name.replace(/\.ts$/, '.js'))
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, outputText)
    }
  }
}

/** Path of a compiled child script. */
export function childScript(name: string): string {
  return join(target, 'children', `${name}.js`)
}
