/** What stands in README.md is what happens. */
import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { EventSource } from 'eventsource'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { ExportConfig, ImportConfig, ServeConfig, VerifyConfig } from '../schemas/settings.js'
import { append, listen } from './helpers/app.js'
import { serve } from './helpers/cli.js'
import { basic } from './helpers/people.js'
import { root } from './helpers/project.js'

const readme = readFileSync(join(root, 'README.md'), 'utf8')

/** As `daybook` starts without flags. */
const AS_STARTED = { insecure: false, anonymous: true }

for (const document of ['README.md', 'docs/security.md']) {
  t.test(`the tour of ${document} gives what it shows`, (t) => tour(t, readFileSync(join(root, document), 'utf8')))
}

async function tour(t: Test, document: string): Promise<void> {
  const { url } = await listen(t, AS_STARTED)
  await runTour(t, document, 'tour', (command) => {
    // An older curl, as the README says to use it.
    const typed = document === readme ? command : command.replaceAll('--json', "-H 'Content-Type: application/json' -d")
    return shell(typed.replaceAll('localhost:2113', new URL(url).host))
  })
}

/** Runs the commands of all blocks of a kind, and compares what they say. @param norm what is left out of both sides */
async function runTour(
  t: Test,
  document: string,
  kind: string,
  run: (command: string) => Promise<string>,
  norm = (text: string) => text
): Promise<void> {
  const blocks = [...document.matchAll(new RegExp(`\`\`\`console ${kind}\\n([\\s\\S]*?)\`\`\``, 'g'))]
  t.ok(blocks.length >= (kind === 'tour' ? 5 : 1), `${kind} was found`)
  for (const [, block = ''] of blocks) {
    for (const step of block.split(/^\$ /m).slice(1)) {
      const [command = '', ...expected] = step.trimEnd().split('\n')
      t.match(norm((await run(command)).trim()), pattern(norm(expected.join('\n'))), `$ ${command}`)
    }
  }
}

t.test(
  'the tour runs in a container with the line that the README adds, as do its commands for passwords',
  async (t) => {
    const passwords = { DAYBOOK_ADMIN_PASSWORD: 'wonder land', DAYBOOK_OPS_PASSWORD: 'looking-glass' }
    const [, line = ''] = /```sh container\n([\s\S]*?)```/.exec(readme) ?? []
    t.match(line, /^curl\(\) /)
    const dockerfile = readFileSync(join(root, 'Dockerfile'), 'utf8')
    t.match(dockerfile, 'DAYBOOK_HOST=0.0.0.0', 'what is started here is what the container starts')
    const env = { DAYBOOK_HOST: '0.0.0.0', DAYBOOK_TRUST_PROXY: 'true', DAYBOOK_PORT: '0', ...passwords }
    const { child, url } = await serve(['--db', t.testdir({})], { env })
    t.teardown(() => child.kill('SIGKILL'))
    const host = `127.0.0.1:${new URL(url).port}`
    const signedIn = (command: string) => shell(`${line}${command.replaceAll('localhost:2113', host)}`, passwords)
    // New passwords are events: positions are higher.
    await runTour(t, readme, 'tour', signedIn, (text) => text.replaceAll(/\d+/g, '#'))

    const { url: local } = await listen(t, AS_STARTED)
    await runTour(t, readme, 'changeit', (command) => shell(command.replaceAll('localhost:2113', new URL(local).host)))
    const statusOf = async (login: string, password: string) =>
      (await fetch(`${local}/users/${login}`, { headers: basic(login, password) })).status
    t.equal(await statusOf('admin', 'changeit'), 401)
    t.equal(await statusOf('ops', 'changeit'), 401)
    t.equal(await statusOf('admin', 'wonderland'), 200)
    t.equal(await statusOf('ops', 'looking-glass'), 403, 'signed in, and no administrator')
  }
)

type Connecting = new (...words: (string | undefined)[]) => { close(): void }

t.test('the script of the README prints what is in the stream', async (t) => {
  const { app, url } = await listen(t, AS_STARTED)
  await append(app, 'cart-1', { type: 'ItemAdded' })
  const [, script = ''] = /```js browser\n([\s\S]*?)```/.exec(readme) ?? []
  const opened: { close(): void }[] = []
  const printed = new Set<string>()
  await new Promise<void>((resolve) => {
    const log = (...words: string[]) => {
      printed.add(words.join(' '))
      if (printed.size === 5) resolve()
    }
    const kept = (Kind: Connecting) =>
      function open(...words: string[]) {
        opened.push(new Kind(...words))
        return opened.at(-1)
      }
    const run = new Function(
      'EventSource',
      'WebSocket',
      'console',
      `return (async () => {${script.replaceAll('localhost:2113', new URL(url).host)}})()`
    )
    run(kept(EventSource as Connecting), kept(WebSocket as Connecting), { log })
  })
  const wanted = ['sse 0 ItemAdded', 'sse 1 Seen', 'websocket 0 ItemAdded', 'websocket 1 Seen', 'written 201']
  t.same([...printed].sort(), wanted)
  for (const connection of opened) connection.close()
})

t.test('every file and folder that the documents link to is there', async (t) => {
  let links = 0
  for (const document of [
    'README.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
    'docs/storage-format.md',
    'docs/benchmarks.md',
    'docs/behind-a-proxy.md',
    'docs/eventstore.md',
    'docs/security.md',
    ...readdirSync(join(root, 'docs/adr')).map((name) => `docs/adr/${name}`)
  ]) {
    const text = readFileSync(join(root, document), 'utf8')
    for (const [, target = ''] of text.matchAll(/\]\((?!https?:)([^)#]+)/g)) {
      links++
      t.ok(existsSync(join(root, document, '..', target)), `${document} links to ${target}`)
    }
  }
  t.ok(links > 30, `${links} links were found`)
})

t.test('every script, command and flag that the documents show is there', async (t) => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const flags = new Set<string>()
  for (const schema of [ServeConfig, ImportConfig, ExportConfig, VerifyConfig]) {
    for (const name of Object.keys(schema.properties)) flags.add(`--${name}`)
  }
  let found = 0
  for (const document of [
    'README.md',
    'CONTRIBUTING.md',
    'docs/storage-format.md',
    'docs/benchmarks.md',
    'docs/behind-a-proxy.md',
    'docs/security.md'
  ]) {
    const text = readFileSync(join(root, document), 'utf8')
    for (const [, script] of text.matchAll(/npm run ([\w-]+)/g)) {
      found++
      t.ok(script && scripts[script], `${document}: npm run ${script}`)
    }
    for (const [, file] of text.matchAll(/npx tsx (\S+?\.ts) ?(?:\S+\.ts)?/g)) {
      found++
      t.ok(existsSync(join(root, file ?? '')), `${document}: ${file}`)
    }
    for (const [, line] of text.matchAll(/npm start -- ([^`\n#]+)/g)) {
      found++
      for (const [flag] of (line ?? '').matchAll(/--[a-z-]+/g))
        t.ok(flag === '--help' || flags.has(flag), `${document}: ${flag}`)
    }
  }
  t.ok(found > 10, `${found} scripts and commands were found`)
})

/** `…` stands for anything on one line, a line of `…` alone for anything. */
function pattern(expected: string): RegExp {
  const escaped = expected.trim().replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
  return new RegExp(`^${escaped.replaceAll(/^…$/gm, '[\\s\\S]*').replaceAll('…', '.*')}$`)
}

function shell(command: string, env: Record<string, string> = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile('sh', ['-c', command], { env: { ...process.env, ...env } }, (error, stdout, stderr) =>
      error ? reject(new Error(stderr)) : resolve(stdout)
    )
  })
}
