/** The command line: help, wrong arguments, settings, signals and the texts that commands print. */
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { TObject } from 'typebox'
import { ExportConfig, ImportConfig, ServeConfig, VerifyConfig } from '../schemas/settings.js'
import { readConfig, strayVariables } from '../src/config/config.js'
import { Store } from '../src/store/store.js'
import { daybook, serve } from './helpers/cli.js'
import { StillClock } from './helpers/clock.js'
import { encodeEvent } from './helpers/events.js'
import { eventually } from './helpers/live-events.js'

t.test('--help lists every command, and COMMAND --help lists its flags', async (t) => {
  const { code, stdout } = await daybook(['--help'])
  t.equal(code, 0)
  for (const command of ['serve', 'import', 'export', 'verify', 'recover']) {
    t.match(stdout, command)
    const help = await daybook([command, '--help'])
    t.equal(help.code, 0, `${command} --help`)
    t.match(help.stdout, /--config FILE/, `${command} --help lists its flags`)
    t.equal(help.stderr, '')
  }
})

t.test('a wrong command, argument or flag gives one line that names it, and exit code 2', async (t) => {
  const cases: [string[], RegExp][] = [
    [['--prot', '1'], /unknown flag --prot; did you mean --port\? --help/],
    [['impotr', 'x'], /unknown command "impotr"; did you mean "import"\?/],
    [['help', 'frobnicate'], /unknown command "frobnicate"; the commands are serve/],
    [['serve', 'extra'], /"extra"/],
    [['import'], /FILE/],
    [['import', '-', '--as-log'], /--db/],
    [
      ['export', '--url', 'ftp://here'],
      /--url ftp:\/\/here is not the address of a server; an address looks like http:/
    ],
    [['export', 'file'], /--output/]
  ]
  for (const [argv, line] of cases) {
    const result = await daybook(argv)
    t.equal(result.code, 2, `daybook ${argv.join(' ')}`)
    t.match(result.stderr, line)
    t.equal(result.stderr.trimEnd().split('\n').length, 1, `one line: ${result.stderr}`)
  }
})

t.test('a flag with a wrong, missing, repeated or empty value is named, with the valid values', async (t) => {
  const cases: [schema: TObject, argv: string[], says: RegExp][] = [
    [ServeConfig, ['--port', 'many'], /^--port must be a whole number from 0 to 65535, not "many"$/],
    [ServeConfig, ['--port', '1e3'], /not "1e3"$/],
    [ServeConfig, ['--port=-1'], /from 0 to 65535, not "-1"$/],
    [ServeConfig, ['--port', '70000'], /from 0 to 65535, not "70000"$/],
    [ServeConfig, ['--port', '99999999999999999999'], /from 0 to 65535/],
    [ServeConfig, ['--requests-per-second=-1'], /must be a whole number, 0 or more/],
    [ServeConfig, ['--port'], /^--port needs a value$/],
    [ServeConfig, ['--host', '--dev'], /^--host needs a value; if the value begins with "-", write --host=--dev$/],
    [ServeConfig, ['--port', '1', '--port', '2'], /^--port is given twice, as "1" and "2"/],
    [ServeConfig, ['--dev', '--no-dev'], /^--dev is given twice/],
    [ServeConfig, ['--dev=maybe'], /^--dev must be true or false, not "maybe"$/],
    [ServeConfig, ['--no-port'], /unknown flag --no-port/],
    [ServeConfig, ['-p'], /unknown flag -p; --help/],
    [ServeConfig, ['--db='], /^--db is empty: give it a value, or remove it$/],
    [ServeConfig, ['--config='], /^--config is empty/],
    [ServeConfig, ['--allow-origin', 'https://a', '--allow-origin='], /^--allow-origin is empty/],
    [
      ServeConfig,
      ['--category-separator', '-'],
      /--category-separator must be of a form such as first:- or last:_, not "-"/
    ],
    [ServeConfig, ['--run-projections', 'some'], /--run-projections must be one of none, system, all, not "some"/],
    [
      ServeConfig,
      ['--admin-password', 'x'],
      /set DAYBOOK_ADMIN_PASSWORD, or name a file in DAYBOOK_ADMIN_PASSWORD_FILE/
    ],
    [ImportConfig, ['--batch', '0'], /^--batch must be a whole number from 1 to 4096, not "0"$/],
    [ExportConfig, ['--output='], /^--output is empty/],
    [VerifyConfig, ['--jsn'], /unknown flag --jsn; did you mean --json\?/]
  ]
  for (const [schema, argv, says] of cases) {
    t.throws(() => readConfig(schema, argv, {}), { code: 'bad-configuration', message: says }, argv.join(' '))
  }
  t.match(readConfig(ServeConfig, ['--port', '0', '--port', '0', '--no-dev', '--trust-proxy=true'], {}).config, {
    port: 0,
    dev: false,
    'trust-proxy': true
  })
  t.equal(
    readConfig(ServeConfig, ['--port', '--help', '--prot'], { DAYBOOK_PORT: 'x' }).help,
    true,
    '--help wins over wrong flags'
  )
})

t.test(
  'an empty or misspelled DAYBOOK_ variable is refused by name; variables that a container platform sets are ignored',
  async (t) => {
    const all = [ServeConfig, ImportConfig, ExportConfig, VerifyConfig]
    for (const [name, value] of [
      ['DAYBOOK_DB', ''],
      ['DAYBOOK_ALLOW_HOST', ''],
      ['DAYBOOK_ADMIN_PASSWORD', ''],
      ['DAYBOOK_OPS_PASSWORD_FILE', ''],
      ['DAYBOOK_CONFIG', '']
    ] as const) {
      const says = new RegExp(`^${name} is empty`)
      t.throws(() => readConfig(ServeConfig, [], { [name]: value }), { code: 'bad-configuration', message: says })
    }
    const wrong = { message: /^DAYBOOK_INSECURE must be true or false, not "yes"$/ }
    t.throws(() => readConfig(ServeConfig, [], { DAYBOOK_INSECURE: 'yes' }), wrong)
    for (const [slip, meant] of [
      ['DAYBOOK_PROT', 'DAYBOOK_PORT'],
      ['DAYBOOK_ANONYMUS', 'DAYBOOK_ANONYMOUS'],
      ['DAYBOOK_ADMIN_PASWORD', 'DAYBOOK_ADMIN_PASSWORD'],
      ['DAYBOOK_OPS_PASSWORD_FIEL', 'DAYBOOK_OPS_PASSWORD_FILE']
    ] as const) {
      const says = new RegExp(`^unknown variable ${slip}; did you mean ${meant}\\?`)
      t.throws(() => strayVariables(ServeConfig, all, { [slip]: '' }), { code: 'bad-configuration', message: says })
    }
    t.same(strayVariables(ServeConfig, all, { DAYBOOK_URL: 'x', DAYBOOK_USERS: 'x', HOME: '/', DAYBOOK_ENV: 'test' }), [
      'DAYBOOK_USERS',
      'DAYBOOK_ENV'
    ])
    const ofService = {
      DAYBOOK_PORT: 'tcp://10.0.0.1:2113',
      DAYBOOK_SERVICE_HOST: '10.0.0.1',
      DAYBOOK_SERVICE_PORT: '2113',
      DAYBOOK_SERVICE_PORT_HTTP: '2113',
      DAYBOOK_PORT_2113_TCP: 'tcp://10.0.0.1:2113',
      DAYBOOK_PORT_2113_TCP_PROTO: 'tcp',
      DAYBOOK_PORT_2113_TCP_PORT: '2113',
      DAYBOOK_PORT_2113_TCP_ADDR: '10.0.0.1',
      DAYBOOK_DB_PORT: 'tcp://10.0.0.2:5432'
    }
    t.same(strayVariables(ServeConfig, all, ofService), [])
    t.equal(readConfig(ServeConfig, [], ofService).config.port, 2113)
    const result = await daybook(['export', '--db', '/nowhere'], { env: { DAYBOOK_COLOUR: 'red' } })
    t.match(
      result.stderr,
      /^WARNING: the variable DAYBOOK_COLOUR is not a setting of Daybook and is ignored\.\ndaybook: /
    )
    t.match(await daybook(['serve'], { env: { DAYBOOK_PROT: '1' } }), { code: 2, stderr: /DAYBOOK_PORT/ })
  }
)

t.test('a flag overrides the environment variable, which overrides the config file', async (t) => {
  const directory = t.testdir({})
  const config = join(directory, 'daybook.json')
  writeFileSync(config, JSON.stringify({ db: join(directory, 'from-file'), port: 0, 'run-projections': 'none' }))
  const { child, banner, url } = await serve(['--config', config, `--db=${join(directory, 'from-flag')}`], {
    env: { DAYBOOK_DB: join(directory, 'from-env'), DAYBOOK_RUN_PROJECTIONS: 'all' }
  })
  t.match(banner, /data in \S+from-flag · 0 events/)
  t.equal((await fetch(`${url}/types`)).status, 200, 'the environment variable overrides the file')
  child.kill('SIGTERM')
  t.same(await once(child, 'exit'), [0, null])
  const wrong = await daybook(['--config', config], { env: { DAYBOOK_PORT: 'x' } })
  t.match(wrong, { code: 2, stderr: /DAYBOOK_PORT must be a whole number from 0 to 65535, not "x"/ })
  writeFileSync(config, '{"prot": 1}')
  t.match(await daybook(['--config', config]), { code: 2, stderr: /unknown key "prot"; did you mean "port"\?/ })
  writeFileSync(config, '{"port": 1.5}')
  t.match(await daybook(['--config', config]), { code: 2, stderr: /"port" in \S+daybook.json must be a whole number/ })
  writeFileSync(config, '{port}')
  t.match(await daybook(['--config', config]), { code: 2, stderr: /daybook.json is not JSON/ })
})

t.test(
  'a port in use, a directory in use and an unwritable directory each give one line and exit code 1',
  async (t) => {
    const directory = t.testdir({ file: '' })
    const taken = createServer().listen(0, '127.0.0.1')
    t.teardown(() => taken.close())
    await once(taken, 'listening')
    const { port } = taken.address() as { port: number }
    const db = join(directory, 'db')
    t.match(await daybook(['--port', String(port), '--db', db]), {
      code: 1,
      stderr: /^daybook: port \d+ .* is in use.*--port\n$/
    })
    const store = await new Store({ directory: db }).open()
    t.teardown(() => store.close())
    for (const argv of [['--port', '0'], ['verify'], ['export'], ['import', join(directory, 'file')]]) {
      const result = await daybook([...argv, '--db', db])
      t.match(result, { code: 1, stderr: /held by another process/ }, argv.join(' '))
    }
    t.match(await daybook(['--port', '0', '--db', join(directory, 'file')]), {
      code: 1,
      stderr: /is not a directory; .*--db\n$/
    })
    t.match(await daybook(['--port', '0', '--db', '/proc/none']), {
      code: 1,
      stderr: /^daybook: cannot write to .*\n$/
    })
  }
)

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(
    `${signal} stops the server: acknowledged events are on disk, and accepted requests are answered`,
    async (t) => {
      const db = join(t.testdir({}), 'db')
      const { child, url } = await serve(['--port', '0', '--db', db])
      let acknowledged = 0
      let signalled = false
      const client = async () => {
        for (;;) {
          try {
            const answer = await fetch(`${url}/streams/s`, {
              method: 'POST',
              headers: { 'content-type': 'application/json' },
              body: '{"type":"T"}'
            })
            if (answer.status !== 201) return
            await answer.json()
            acknowledged++
          } catch {
            return
          }
          if (acknowledged >= 200 && !signalled) {
            signalled = true
            child.kill(signal)
          }
        }
      }
      const exited = once(child, 'exit')
      await Promise.all([client(), client(), client(), client()])
      t.same(await exited, [0, null], 'the server exits with 0')
      const store = await new Store({ directory: db }).open()
      t.ok(store.log.head + 1 >= acknowledged, `${acknowledged} acknowledged, ${store.log.head + 1} there`)
      await store.close()
    }
  )
}

t.test('verify prints its findings as text and as JSON', async (t) => {
  const db = join(t.testdir({}), 'db')
  const store = await new Store({ directory: db }).open()
  await store.writer.append({ events: [encodeEvent('s'), encodeEvent('t')], conditions: [], kind: 'append' })
  await store.close()
  t.match(await daybook(['verify', '--db', db]), { code: 0, stderr: /2 events in 2 streams, everything agrees/ })
  const report = await daybook(['verify', '--db', db, '--json', '--rebuild-index'])
  t.same(JSON.parse(report.stdout), { events: 2, streams: 2, disagreements: [], kinds: [], advice: [], warnings: [] })
  t.match(await daybook(['verify', '--db', join(db, 'nothing')]), {
    code: 1,
    stderr: /the directory \S+nothing does not exist; .*--db/
  })
})

/** Creates a directory with events created now, followed by events created ten years in the future. */
async function writtenAhead(t: Test, events: number): Promise<string> {
  const db = join(t.testdir({}), 'db')
  const clock = new StillClock()
  for (const ahead of [0, 10 * 365 * 86_400_000]) {
    clock.ahead = Date.now() - 1e12 + ahead
    const store = await new Store({ directory: db, clock }).open()
    const stream = Array.from({ length: events }, () => encodeEvent('s'))
    await store.writer.append({ events: stream, conditions: [], kind: 'append' })
    await store.close()
  }
  return db
}

t.test('verify warns about events that are ahead of the clock, and does not report them as damage', async (t) => {
  const db = await writtenAhead(t, 3)
  const result = await daybook(['verify', '--db', db])
  t.match(result, {
    code: 0,
    stdout: '',
    stderr: /everything agrees\nWARNING: created-ahead: 3 events from position 3 on .* latest by 3,6(50|49) days \(20/
  })
  const { code, stdout } = await daybook(['verify', '--db', db, '--json'])
  t.equal(code, 0)
  const { disagreements, warnings } = JSON.parse(stdout)
  t.same(disagreements, [])
  t.match(warnings, [{ code: 'created-ahead', position: 3, events: 3, seconds: Number, detail: String }])
  t.ok(warnings[0].seconds > 9 * 365 * 86_400)
})

t.test('a start with a clock behind the last event warns on standard error and in the log', async (t) => {
  const db = await writtenAhead(t, 1)
  const { child, banner } = await serve(['--db', db, '--port', '0'])
  t.teardown(() => child.kill('SIGKILL'))
  let output = banner
  child.stderr?.on('data', (chunk) => (output += chunk))
  child.stdout?.on('data', (chunk) => (output += chunk))
  await eventually('both warnings', () => /^WARNING: The clock.*\n/m.test(output) && /^\{.*\n/m.test(output))
  t.match(output, /^WARNING: The clock is 3,6(50|49) days behind the last event \(position 1, created 20.*\.$/m)
  const logged = output.split('\n').find((line) => line.startsWith('{'))
  t.match(JSON.parse(logged ?? '{}'), { level: 40, msg: /^The clock is/ })
})

t.test('import reads standard input and names an invalid line', async (t) => {
  const db = join(t.testdir({}), 'db')
  mkdirSync(db)
  const good = '{"stream":"s","type":"A"}\n{"stream":"s","type":"B"}\n'
  t.match(await daybook(['import', '-', '--db', db], { input: good }), { code: 0, stderr: /2 events imported/ })
  const result = await daybook(['import', '-', '--db', db], { input: `${good}{"stream":"s"}\n${good}` })
  t.match(result, {
    code: 1,
    stderr: /^0 events imported, 2 were there already, up to line 2 .*\ndaybook: Line 3: "type" is missing\n$/
  })
  const cut = await daybook(['import', '-', '--db', db], { input: '{"stream":"s","type":\n' })
  t.match(
    cut,
    { code: 1, stderr: /^daybook: Line 1, column 22: expected a value/ },
    'the first invalid line is named, without a progress line'
  )
  const { stdout } = await daybook(['export', '--db', db])
  t.equal(stdout.trimEnd().split('\n').length, 2, 'nothing after the invalid line was written')
  t.match(await daybook(['import', '-', '--url', 'http://127.0.0.1:9'], { input: good }), {
    code: 1,
    stderr: /^daybook: no server answers at \S+ \(.+\); .*--url\n$/
  })
})

t.test('import and export sign in, and export reports the events that are hidden from the account', async (t) => {
  const { child, url } = await serve(['--db', t.testdir({}), '--port', '0', '--anonymous', 'off'])
  t.teardown(() => child.kill('SIGKILL'))
  const input = '{"stream":"cart-1","type":"ItemAdded"}\n{"stream":"$notes","type":"Noted"}\n'
  t.match(await daybook(['import', '-', '--url', url], { input }), { code: 1, stderr: /sign/i })
  const admin = { env: { DAYBOOK_PASSWORD: 'changeit' } }
  t.match(await daybook(['import', '-', '--url', url, '--user', 'admin'], { ...admin, input }), {
    code: 0,
    stderr: /2 events imported/
  })
  const whole = await daybook(['export', '--url', url, '--user', 'admin'], admin)
  t.match(whole, { code: 0, stdout: /\$notes/ })
  const ops = await daybook(['export', '--url', url, '--user', 'ops'], admin)
  t.match(ops, { code: 0, stderr: /^1 event exported.*; 1 event of the log is hidden from this account/ })
  t.notMatch(ops.stdout, 'Noted')
  t.match(await daybook(['export', '--url', url]), { code: 1, stderr: /refused.*sign/i })
  t.match(await daybook(['export', '--url', url, '--user', 'admin']), { code: 2, stderr: /DAYBOOK_PASSWORD/ })
  const wrong = await daybook(['export', '--url', url, '--user', 'admin'], { env: { DAYBOOK_PASSWORD: 'guess' } })
  t.match(wrong, { code: 1, stderr: /^daybook: the server refused: .*wrong.*\. Check --user and DAYBOOK_PASSWORD\n$/ })
  const guess = { env: { DAYBOOK_PASSWORD: 'guess' }, input }
  t.same(await daybook(['import', '-', '--url', url, '--user', 'admin'], guess), wrong, 'import prints the same error')
  t.match(await daybook(['export', '--token', 'x']), { code: 2, stderr: /--token/ })
})
