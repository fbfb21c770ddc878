/** The plan of the house: which room may know which. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import t from 'tap'

/**
 * The floors of the house, from the ground up; a line holds the rooms of one floor. A room imports itself and the rooms of
 * the floors below, and no other room of its own floor. A file belongs to the longest name that its path begins with.
 */
const floors: readonly (readonly string[])[] = [
  ['src/errors.ts', 'src/limits.ts', 'src/latin1.ts', 'src/network.ts', 'src/metrics.ts'],
  ['src/json.ts', 'src/ndjson.ts', 'src/time'],
  ['src/config.ts', 'schemas'],
  ['src/log'],
  ['src/streams'],
  ['src/index'],
  ['src/access', 'src/verify', 'src/dispatch'],
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

const root = join(import.meta.dirname, '..')
const files = ['src', 'routes', 'schemas'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))
    .map((name) => join(folder, name))
)
const rooms = floors.flat().sort((a, b) => b.length - a.length)

t.test('a room imports only rooms of the floors below it', async (t) => {
  for (const file of files) {
    const room = roomOf(file)
    for (const target of importsOf(file)) {
      const other = roomOf(target)
      if (other !== room && floorOf(other) >= floorOf(room)) t.fail(`${file} (${room}) imports ${target} (${other})`)
    }
  }
  t.ok(files.length > 30, 'the source was found')
})

t.test('every room of the plan exists', async (t) => {
  for (const room of rooms) t.ok(existsSync(join(root, room)), room)
})

t.test('nothing imports in a circle', async (t) => {
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
    /^src\/(writing\/plan|streams)\/|^src\/access\/(audit|permissions|sign-in-validity)\.ts$|^src\/log\/format\.ts$|^src\/(errors|limits)\.ts$/
  for (const file of files.filter((name) => roomOf(name) === 'src/writing/plan')) {
    for (const target of importsOf(file)) t.match(target, pure, `${file} imports ${target}`)
    for (const name of specifiersOf(file)) if (!name.startsWith('.')) t.fail(`${file} imports ${name}`)
    t.notMatch(readFileSync(join(root, file), 'utf8'), /\b(Date\.now|new Date\(\)|Math\.random|performance\.)/, file)
  }
})

t.test('what stands outside is imported in one place', async (t) => {
  const only: Record<string, RegExp> = {
    levelup: /^src\/log\/level\.ts$/,
    leveldown: /^src\/log\/level\.ts$/,
    jose: /^src\/users\/web-tokens\.ts$/,
    fastify: /^routes\/|^src\/commands\/serve\//
  }
  for (const file of files) {
    for (const name of specifiersOf(file)) {
      const place = only[name]
      if (place !== undefined && !place.test(file)) t.fail(`${file} imports ${name}`)
    }
    const text = readFileSync(join(root, file), 'utf8')
    if (/process\.env\b/.test(text) && file !== 'src/config.ts') t.fail(`${file} reads process.env`)
    const readsTime = /\b(setTimeout|Date\.now)\(/.test(text)
    if (readsTime && file !== 'src/time/clock.ts') t.fail(`${file} reads the time by itself`)
  }
  t.pass('looked at every file')
})

function floorOf(room: string): number {
  return floors.findIndex((floor) => floor.includes(room))
}

function roomOf(file: string): string {
  const room = rooms.find((name) => file === name || file.startsWith(`${name}/`))
  if (room === undefined) throw new Error(`${file} stands in no known room`)
  return room
}

/** The files of this project that a file imports. */
function importsOf(file: string): string[] {
  return specifiersOf(file)
    .filter((name) => name.startsWith('.'))
    .map((name) => relative(root, join(root, dirname(file), name)).replace(/\.js$/, '.ts'))
}

function specifiersOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8')
  return [...text.matchAll(/^(?:import|export)\s[^'"]*?from '([^']+)'|^import '([^']+)'/gm)].map(
    (found) => found[1] ?? found[2] ?? ''
  )
}
