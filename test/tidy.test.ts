/** The plan of the house: which room may know which. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import t from 'tap'

/** A file belongs to the first room whose path it begins with. A room may import itself and those named here. */
const rooms: Record<string, readonly string[]> = {
  'src/main.ts': ['src/commands', 'vocabulary'],
  'src/commands': [
    'routes',
    'routes/wire',
    'schemas',
    'src/store.ts',
    'src/users',
    'src/config.ts',
    'src/streams',
    'src/log',
    'vocabulary'
  ],
  'routes/wire': ['schemas', 'src/subscriptions', 'src/streams', 'src/log', 'vocabulary'],
  routes: [
    'routes/wire',
    'schemas',
    'src/store.ts',
    'src/subscriptions',
    'src/users',
    'src/streams',
    'src/log',
    'vocabulary'
  ],
  'src/store.ts': [
    'src/subscriptions',
    'src/users',
    'src/dispatch',
    'src/streams',
    'src/log',
    'src/metrics.ts',
    'vocabulary'
  ],
  'src/users': ['src/streams', 'src/log', 'src/metrics.ts', 'vocabulary'],
  'src/streams': ['src/log', 'src/metrics.ts', 'vocabulary'],
  'src/subscriptions': ['src/streams', 'src/dispatch', 'src/log', 'src/metrics.ts', 'vocabulary'],
  'src/dispatch': ['src/log', 'vocabulary'],
  'src/log': ['vocabulary'],
  'src/metrics.ts': [],
  'src/config.ts': ['vocabulary'],
  schemas: ['vocabulary'],
  vocabulary: []
}
const vocabulary = [
  'src/errors.ts',
  'src/clock.ts',
  'src/clock-watch.ts',
  'src/steady-time.ts',
  'src/limits.ts',
  'src/duration.ts',
  'src/json.ts',
  'src/latin1.ts',
  'src/network.ts'
]

const root = join(import.meta.dirname, '..')
const files = ['src', 'routes', 'schemas'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))
    .map((name) => join(folder, name))
)

t.test('imports go one way', async (t) => {
  for (const file of files) {
    const room = roomOf(file)
    for (const target of importsOf(file).filter((name) => name.startsWith('.'))) {
      const other = roomOf(relative(root, join(root, dirname(file), target)).replace(/\.js$/, '.ts'))
      const allowed = other === room || rooms[room]?.includes(other)
      if (!allowed) t.fail(`${file} (${room}) imports ${target} (${other})`)
    }
  }
  t.ok(files.length > 30, 'the source was found')
})

t.test('nothing imports in a circle', async (t) => {
  const graph = new Map(
    files.map((file) => [
      file,
      importsOf(file)
        .filter((name) => name.startsWith('.'))
        .map((name) => join(dirname(file), name).replace(/\.js$/, '.ts'))
    ])
  )
  const done = new Set<string>()
  const walk = (file: string, path: string[]) => {
    if (path.includes(file)) return t.fail([...path.slice(path.indexOf(file)), file].join(' → '))
    if (done.has(file)) return
    for (const next of graph.get(file) ?? []) walk(next, [...path, file])
    done.add(file)
  }
  for (const file of files) walk(file, [])
  t.ok(done.size === files.length)
})

t.test('what stands outside is imported in one place', async (t) => {
  const only: Record<string, RegExp> = {
    levelup: /^src\/log\/level\.ts$/,
    leveldown: /^src\/log\/level\.ts$/,
    jose: /^src\/users\/web-tokens\.ts$/,
    fastify: /^routes\/|^src\/commands\/serve\.ts$/
  }
  for (const file of files) {
    for (const name of importsOf(file)) {
      const place = only[name]
      if (place !== undefined && !place.test(file)) t.fail(`${file} imports ${name}`)
    }
    const text = readFileSync(join(root, file), 'utf8')
    if (/process\.env\b/.test(text) && file !== 'src/config.ts') t.fail(`${file} reads process.env`)
    if (/\b(setTimeout|Date\.now)\(/.test(text) && file !== 'src/clock.ts') t.fail(`${file} reads the time by itself`)
  }
  t.pass('looked at every file')
})

function roomOf(file: string): string {
  if (vocabulary.includes(file)) return 'vocabulary'
  const room = Object.keys(rooms).find((name) => file === name || file.startsWith(`${name}/`))
  if (room === undefined) throw new Error(`${file} stands in no known room`)
  return room
}

function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8')
  return [...text.matchAll(/^(?:import|export)\s[^'"]*?from '([^']+)'|^import '([^']+)'/gm)].map(
    (found) => found[1] ?? found[2] ?? ''
  )
}
