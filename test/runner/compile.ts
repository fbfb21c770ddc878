/** Compiles sources, tests and benchmarks to build/, file by file, so that no test process compiles anything itself. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { build } from 'esbuild'
import { root } from '../helpers/project.js'

const FOLDERS = ['src', 'routes', 'schemas', 'test', 'bench']

/**
 * Brings build/ in step with the sources. Leaves unchanged files alone, so that a second run in the same folder does not
 * disturb the first; removes files whose source is gone.
 */
export async function compile(): Promise<void> {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: FOLDERS.flatMap(sourcesIn),
    outdir: 'build',
    outbase: '.',
    format: 'esm',
    platform: 'node',
    target: 'node20',
    sourcemap: true,
    logLevel: 'error',
    write: false
  })
  const current = new Set(outputFiles.map(({ path }) => path))
  for (const path of builtFiles()) if (!current.has(path)) rmSync(path)
  for (const { path, contents } of outputFiles) {
    if (isSame(path, contents)) continue
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, contents)
  }
}

/** Returns the paths of all test files, from the project's folder. */
export function testFiles(): string[] {
  return sourcesIn('test').filter((file) => file.endsWith('.test.ts'))
}

function sourcesIn(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => `${folder}/${name.replaceAll('\\', '/')}`)
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts') && !file.startsWith('test/fixtures/'))
    .sort()
}

function builtFiles(): string[] {
  const folder = join(root, 'build')
  mkdirSync(folder, { recursive: true })
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}

function isSame(path: string, contents: Uint8Array): boolean {
  try {
    return readFileSync(path).equals(contents)
  } catch {
    return false
  }
}
