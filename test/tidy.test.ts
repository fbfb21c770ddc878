/** The rules of the source tree: which folder may import which, sizes of files and functions, and unique names. */
import { existsSync, readdirSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import t from 'tap'
import { root } from './helpers/project.js'
import { COMPUTED, files, importsOf, parseSource, readSource, type Site, specifiersOf } from './helpers/source.js'

/**
 * The layers, from the lowest up; a line lists the folders of one layer. A folder imports itself and folders of lower
 * layers, but no other folder of its own layer. A file belongs to the folder with the longest matching prefix.
 */
const layers: readonly (readonly string[])[] = [
  [
    'src/errors.ts',
    'src/limits.ts',
    'src/json-bytes.ts',
    'src/latin1.ts',
    'src/network.ts',
    'src/metrics.ts',
    'src/spelling.ts',
    'src/work-counter.ts'
  ],
  ['src/json.ts', 'src/ndjson.ts', 'src/time'],
  ['src/config', 'src/memory', 'schemas'],
  ['src/log'],
  ['src/streams'],
  ['src/index'],
  ['src/access', 'src/verify', 'src/recover', 'src/dispatch'],
  ['src/reading', 'src/writing/plan'],
  ['src/writing'],
  ['src/subscriptions', 'src/users'],
  ['src/consumers'],
  ['src/store'],
  ['routes/wire'],
  ['routes/eventstore/wire'],
  ['routes/http'],
  ['routes/auth'],
  ['routes/writing', 'routes/reading'],
  ['routes/live'],
  ['routes/eventstore'],
  ['routes/resources', 'routes/app'],
  ['routes/index.ts'],
  ['src/commands'],
  ['src/main.ts']
]

const FOLDER_FILES_MAX = 12
const FILE_LINES_MAX = 300
const FUNCTION_LINES_MAX = 60
const ARGUMENTS_MAX = 5

/** Files that may be longer: the on-disk format, and the table of all problems. */
const longFiles = new Set(['src/log/format.ts', 'routes/wire/problems/problem.ts'])

/** Files of resources. The same name may occur in `routes/resources`, `schemas` and `src`. */
const resources = new Set([
  'consumers.ts',
  'events.ts',
  'listings.ts',
  'metadata.ts',
  'server.ts',
  'tickets.ts',
  'tokens.ts',
  'users.ts'
])

const knownFolders = layers.flat().sort((a, b) => b.length - a.length)

t.test('the parser of this test finds imports in every form of the syntax', async (t) => {
  const forms: Record<string, readonly string[]> = {
    "import x from './x.js'": ['./x.js'],
    'import x, { y } from "./x.js"': ['./x.js'],
    "import x, {\n  y,\n  type z\n} from './x.js'": ['./x.js'],
    "import * as x from './x.js'": ['./x.js'],
    "import type { X } from './x.js'": ['./x.js'],
    "import './x.js'": ['./x.js'],
    "import './x.js'; import './y.js'": ['./x.js', './y.js'],
    "  import './x.js'": ['./x.js'],
    "import x from './x.json' with { type: 'json' }": ['./x.json'],
    "export * from './x.js'": ['./x.js'],
    "export * as x from './x.js'": ['./x.js'],
    "export { x } from './x.js'": ['./x.js'],
    "export type { X } from './x.js'": ['./x.js'],
    "const x = await import('./x.js')": ['./x.js'],
    'const x = () => import(`./x.js`)': ['./x.js'],
    "app.register(import('x'), { y: 1 })": ['x'],
    "type X = import('./x.js').X": ['./x.js'],
    "import x = require('./x.js')": ['./x.js'],
    "const x = require('./x.js')": ['./x.js'],
    "require.resolve('x')": ['x'],
    "import.meta.resolve('x')": ['x'],
    'await import(name)': [COMPUTED],
    'require(name)': [COMPUTED],
    [`const text = "import x from './x.js'" // import './x.js'`]: [],
    'export { x }\nexport const y = 1': []
  }
  for (const [text, specifiers] of Object.entries(forms)) t.same(parseSource('x.ts', text).specifiers, specifiers, text)
})

t.test('a folder imports only folders of lower layers', async (t) => {
  let imports = 0
  for (const file of files) {
    const folder = folderOf(file)
    for (const target of importsOf(file)) {
      imports++
      const other = folderOf(target)
      if (other !== folder && layerOf(other) >= layerOf(folder))
        t.fail(`${file} (${folder}) imports ${target} (${other})`)
    }
  }
  t.ok(files.length > 300 && imports > 1500, `${imports} imports in ${files.length} files`)
})

t.test('every folder in the list of layers exists', async (t) => {
  for (const folder of knownFolders) t.ok(existsSync(join(root, folder)), folder)
})

t.test('there are no import cycles', async (t) => {
  const done = new Set<string>()
  const walk = (file: string, path: string[]) => {
    if (path.includes(file)) return t.fail([...path.slice(path.indexOf(file)), file].join(' → '))
    if (done.has(file)) return
    for (const next of importsOf(file)) walk(next, [...path, file])
    done.add(file)
  }
  for (const file of files) walk(file, [])
  t.ok(done.size === files.length)
})

t.test('the plan of a write is a pure function', async (t) => {
  const pure =
    /^src\/(writing\/plan|streams)\/|^src\/access\/(audit|permissions|sign-in-validity)\.ts$|^src\/log\/format\.ts$|^src\/(errors|limits|work-counter)\.ts$/
  const plan = files.filter((name) => folderOf(name) === 'src/writing/plan')
  t.ok(plan.length > 5, 'the plan was found')
  for (const file of plan) {
    for (const target of importsOf(file)) t.match(target, pure, `${file} imports ${target}`)
    for (const name of specifiersOf(file)) if (!name.startsWith('.')) t.fail(`${file} imports ${name}`)
    t.notMatch(readSource(file).text, /\b(Date\.now|new Date\(\)|Math\.random|performance\.)/, file)
  }
})

t.test('each external package, process.env and the clock are used in one place only', async (t) => {
  const only: Record<string, RegExp> = {
    levelup: /^src\/log\/level\.ts$/,
    leveldown: /^src\/log\/level\.ts$/,
    koffi: /^src\/memory\/allocator\.ts$/,
    jose: /^src\/users\/web-tokens\.ts$/,
    fastify: /^routes\/|^src\/commands\/serve\//
  }
  const met = new Set<string>()
  for (const file of files) {
    for (const name of specifiersOf(file)) {
      if (name === COMPUTED && file !== 'src/commands/version.ts') t.fail(`${file} computes the name of an import`)
      if (name in only) met.add(name)
      const place = only[name]
      if (place !== undefined && !place.test(file)) t.fail(`${file} imports ${name}`)
    }
    const { text } = readSource(file)
    if (/process\.env\b/.test(text) && file !== 'src/config/config.ts') t.fail(`${file} reads process.env`)
    const readsTime = /\b(setTimeout|Date\.now)\(/.test(text)
    if (readsTime && file !== 'src/time/clock.ts') t.fail(`${file} reads the time, but not through src/time/clock.ts`)
  }
  t.same([...met].sort(), Object.keys(only).sort(), 'each of these packages is imported')
})

t.test('routes do not import the whole store', async (t) => {
  const routes = files.filter((name) => name.startsWith('routes/') && name !== 'routes/index.ts')
  t.ok(routes.length > 100, 'the routes were found')
  for (const file of routes) {
    for (const target of importsOf(file)) {
      if (target.startsWith('src/store/')) t.fail(`${file} imports ${target}`)
    }
  }
})

t.test('a folder has at most a dozen files', async (t) => {
  const folders = new Set(files.map((file) => dirname(file)))
  t.ok(folders.size > 30, 'the folders were found')
  for (const folder of folders) {
    const inside = readdirSync(join(root, folder)).filter((name) => name.endsWith('.ts'))
    if (inside.length > FOLDER_FILES_MAX) t.fail(`${folder} has ${inside.length} files`)
  }
})

t.test(
  'a file has at most 300 lines, a function at most 60, and no function or call has more than five arguments',
  async (t) => {
    const says = (site: Site) => `${site.name} at ${site.place}`
    let sites = 0
    for (const file of files) {
      const { lines, functions, calls } = readSource(file)
      sites += functions.length + calls.length
      if (lines > FILE_LINES_MAX && !longFiles.has(file)) t.fail(`${file} has ${lines} lines`)
      for (const site of functions) {
        if (site.lines > FUNCTION_LINES_MAX) t.fail(`${says(site)} has ${site.lines} lines`)
        if (site.arity > ARGUMENTS_MAX) t.fail(`${says(site)} takes ${site.arity} parameters`)
      }
      for (const site of calls) {
        if (site.arity > ARGUMENTS_MAX && !/^Math\./.test(site.name)) {
          t.fail(`${says(site)} is called with ${site.arity} arguments`)
        }
      }
    }
    t.ok(sites > 5000, `${sites} functions and calls were found`)
  }
)

t.test('every file name and top-level name is used once', async (t) => {
  const nouns = new Map<string, string[]>()
  const names = new Map<string, string[]>()
  for (const file of files) {
    const noun = basename(file)
    if (noun !== 'index.ts') nouns.set(noun, [...(nouns.get(noun) ?? []), file])
    for (const name of readSource(file).names) names.set(name, [...(names.get(name) ?? []), file])
  }
  for (const [noun, places] of nouns) {
    const topFolders = new Set(places.map((place) => place.split('/')[0]))
    // A resource has the same file name in routes, schemas and src.
    if (places.length > 1 && (!resources.has(noun) || topFolders.size < places.length)) {
      t.fail(`${noun} is the name of ${places.join(' and ')}`)
    }
  }
  for (const [name, places] of names) {
    if (places.length > 1) t.fail(`${name} is declared in ${places.join(' and ')}`)
  }
  t.ok(names.size > 300, 'the names were found')
})

function layerOf(folder: string): number {
  return layers.findIndex((layer) => layer.includes(folder))
}

function folderOf(file: string): string {
  const folder = knownFolders.find((name) => file === name || file.startsWith(`${name}/`))
  if (folder === undefined) throw new Error(`${file} is in no known folder`)
  return folder
}
