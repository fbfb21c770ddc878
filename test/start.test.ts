/** What a started server exposes, and which settings it refuses to start with. */
import { once } from 'node:events'
import { join } from 'node:path'
import { exportPKCS8 } from 'jose'
import t, { type Test } from 'tap'
import { ServeConfig } from '../schemas/settings.js'
import { readPublicKey } from '../src/commands/serve/certificate.js'
import { exposureOf } from '../src/commands/serve/exposure.js'
import { readConfig } from '../src/config/config.js'
import { type CliOptions, daybook, serve } from './helpers/cli.js'
import { send } from './helpers/http.js'
import { admin, basic, bearer } from './helpers/people.js'
import { ISSUER, provider } from './helpers/provider.js'

const configOf = (...argv: string[]) => readConfig(ServeConfig, argv, {}).config
const BOUND = ['--jwt-issuer', 'https://id.example', '--jwt-audience', 'daybook']
const GIVEN = { DAYBOOK_ADMIN_PASSWORD: 'of-admin', DAYBOOK_OPS_PASSWORD: 'of-ops' }

t.test('settings that expose more than they say are refused before the server listens', async (t) => {
  const refused: [argv: string[], why: RegExp][] = [
    [['--host', '0.0.0.0', '--insecure'], /--insecure-anywhere/],
    [['--host', '10.0.0.5', '--anonymous', 'on'], /--anonymous=on is for loopback/],
    [['--host', '0.0.0.0', '--dev'], /--dev is for loopback/],
    [['--tls-cert', 'x.pem'], /--tls-cert and --tls-key/],
    [['--tls-key', 'x.pem'], /--tls-cert and --tls-key/],
    [['--dev', '--tls-cert', 'x', '--tls-key', 'y'], /--dev generates a certificate/],
    [['--cors-origin', '*', '--cors-origin', 'https://app.example'], /"\*" or a list/],
    [['--insecure', '--anonymous', 'off'], /--insecure and --anonymous=off contradict/],
    [['--insecure-anywhere'], /without --insecure/],
    [['--trust-proxy', '--insecure'], /--insecure-anywhere/],
    [['--trust-proxy', '--anonymous', 'on'], /--anonymous=on is for loopback/],
    [['--cors-origin', 'app.example'], /not an origin/],
    [['--allow-origin', 'https://app.example/'], /not an origin/],
    [['--allow-origin', 'null'], /not an origin/],
    [['--jwt-jwks', 'https://id.example/keys', '--jwt-audience', 'daybook'], /--jwt-issuer/],
    [['--jwt-jwks', 'https://id.example/keys', '--jwt-issuer', 'https://id.example'], /--jwt-audience/],
    [['--jwt-public-key', 'key.pem'], /--jwt-issuer and --jwt-audience/],
    [['--jwt-audience', 'daybook'], /--jwt-jwks or --jwt-public-key/],
    [['--jwt-jwks', 'https://id.example/keys', '--jwt-public-key', 'key.pem', ...BOUND], /not both/],
    [['--jwt-jwks', 'http://id.example/keys', ...BOUND], /not https/],
    [['--jwt-jwks', 'keys', ...BOUND], /not a URL/]
  ]
  for (const [argv, why] of refused) {
    t.throws(() => exposureOf(configOf(...argv)), { code: 'bad-configuration', message: why }, argv.join(' '))
  }
})

t.test('the listening address determines what is allowed without credentials', async (t) => {
  const rows: [argv: string[], expected: object][] = [
    [[], { local: true, anonymous: true, insecure: false, plainCredentials: 'taken', tls: false, warnings: [] }],
    [[], { corsOrigins: 'local' }],
    [['--anonymous', 'off'], { anonymous: false }],
    [['--insecure'], { insecure: true, anonymous: true, warnings: [/authentication is off/] }],
    [['--host', '0.0.0.0'], { local: false, anonymous: false, plainCredentials: 'refused', warnings: [/plain HTTP/] }],
    [['--host', '0.0.0.0', '--trust-proxy'], { anonymous: false, plainCredentials: 'by-proxy', warnings: [] }],
    [['--trust-proxy'], { local: false, anonymous: false, plainCredentials: 'by-proxy', corsOrigins: ['*'] }],
    [
      ['--host', '0.0.0.0', '--tls-cert', 'c', '--tls-key', 'k'],
      { tls: true, plainCredentials: 'taken', warnings: [] }
    ],
    [['--host', '0.0.0.0', '--insecure', '--insecure-anywhere'], { insecure: true, anonymous: true }],
    [['--cors-origin', 'https://app.example'], { corsOrigins: ['https://app.example'] }]
  ]
  for (const [argv, expected] of rows) t.match(exposureOf(configOf(...argv)), expected, argv.join(' '))
})

async function started(t: Test, argv: string[], options: CliOptions = {}) {
  const { child, banner, url } = await serve(['--port', '0', ...argv], options)
  let output = banner
  child.stderr?.on('data', (chunk) => (output += chunk))
  child.stdout?.on('data', (chunk) => (output += chunk))
  t.teardown(() => child.kill('SIGKILL'))
  const stop = async () => {
    child.kill('SIGTERM')
    await once(child, 'exit')
  }
  return { stop, url: url.replace('0.0.0.0', '127.0.0.1'), output: () => output }
}

const statusOf = async (url: string, headers: Record<string, string> = {}) => (await fetch(url, { headers })).status

t.test('on loopback the default passwords work with a warning, and streams need no account', async (t) => {
  const { url, output } = await started(t, ['--db', t.testdir({})])
  t.equal(await statusOf(`${url}/users`, admin), 200)
  t.equal(await statusOf(`${url}/events`), 200)
  t.equal(await statusOf(`${url}/users`), 401)
  t.match(output(), /WARNING: admin and ops have the password "changeit"/)
})

t.test('on other addresses the server does not start until both default passwords are replaced', async (t) => {
  const directory = t.testdir({})
  const db = join(directory, 'data')
  const host = ['--db', db, '--host', '0.0.0.0', '--port', '0']
  const incomplete: Record<string, string>[] = [
    {},
    { DAYBOOK_ADMIN_PASSWORD: 'x' },
    { ...GIVEN, DAYBOOK_OPS_PASSWORD: 'changeit' }
  ]
  for (const env of incomplete) {
    const { code, stderr, stdout } = await daybook(host, { env })
    t.equal(code, 2)
    t.match(stderr, /DAYBOOK_OPS_PASSWORD/)
    t.notMatch(stderr + stdout, /\n\s+at /, 'no stack')
    t.notMatch(stdout, /Daybook 0/, 'no start line was printed')
  }
  const first = await started(t, [...host, '--trust-proxy'], { env: GIVEN })
  t.equal(await statusOf(`${first.url}/users`, admin), 401, 'the default password does not work')
  t.equal(await statusOf(`${first.url}/events`), 401, 'reading needs an account')
  const given = basic('admin', 'of-admin')
  t.equal(await statusOf(`${first.url}/users`, given), 200)
  const options = await (await fetch(`${first.url}/info/options`, { headers: given })).text()
  t.match(options, /"name":"admin-password".*"value":"\*\*\*\*"/)
  t.notMatch(options, /of-admin|of-ops/)
  t.notMatch(first.output(), /of-admin|of-ops/)
  await first.stop()
  const again = await started(t, [...host, '--trust-proxy'])
  t.equal(await statusOf(`${again.url}/users`, given), 200, 'the password is kept over a restart')
  await again.stop()
  const loopback = await started(t, ['--db', db], { env: { DAYBOOK_ADMIN_PASSWORD: 'another' } })
  t.equal(
    await statusOf(`${loopback.url}/users`, basic('admin', 'another')),
    401,
    'the variable sets the initial password only'
  )
  t.equal(await statusOf(`${loopback.url}/users`, admin), 401)
})

t.test('credentials over plain HTTP on a public address are refused without being checked', async (t) => {
  const { url } = await started(t, ['--db', t.testdir({}), '--host', '0.0.0.0'], { env: GIVEN })
  for (const headers of [basic('admin', 'of-admin'), basic('admin', 'wrong'), { authorization: 'Bearer dbk_x.y' }]) {
    const answer = await fetch(`${url}/events`, { headers })
    t.match(await answer.json(), { status: 403, code: 'tls-required' })
  }
  t.equal(await statusOf(`${url}/events?ticket=x`), 403)
  t.equal(await statusOf(`${url}/ping`), 200)
})

t.test('--insecure prints a warning and allows every request', async (t) => {
  const { url, output } = await started(t, ['--db', t.testdir({}), '--insecure'])
  t.match(output(), /WARNING: authentication is off/)
  t.equal(await statusOf(`${url}/users`), 200)
})

t.test('secrets cannot be given as flags', async (t) => {
  for (const flag of ['--admin-password', '--ops-password']) {
    t.match(await daybook([flag, 'x']), { code: 2, stderr: new RegExp(flag) })
  }
  const { stdout } = await daybook(['serve', '--help'])
  for (const shown of [
    'DAYBOOK_ADMIN_PASSWORD',
    '--tls-cert',
    '--dev',
    '--anonymous on\\|off',
    '--insecure',
    '--jwt-jwks'
  ]) {
    t.match(stdout, new RegExp(shown))
  }
})

t.test('an operator can stop the server over HTTP; an anonymous caller cannot', async (t) => {
  const { url, output } = await started(t, ['--db', t.testdir({})])
  const shutdown = (headers: Record<string, string>) => fetch(`${url}/admin/shutdown`, { method: 'POST', headers })
  t.equal((await shutdown({})).status, 401)
  t.equal((await shutdown(basic('ops', 'changeit'))).status, 200)
  while (!output().includes('SIGTERM: stopping')) await new Promise((resolve) => setImmediate(resolve))
  t.pass('the server stops')
})

t.test('the flags for hosts, origins, limits and an identity provider take effect in the running server', async (t) => {
  const { sign, pem } = await provider()
  const directory = t.testdir({ 'key.pem': pem })
  const { url } = await started(t, [
    ...['--db', join(directory, 'data'), '--jwt-public-key', join(directory, 'key.pem')],
    ...['--jwt-issuer', ISSUER, '--jwt-audience', 'daybook', '--jwt-login-claim', 'name'],
    ...['--cors-origin', 'https://app.example', '--allow-origin', 'https://writer.example'],
    ...['--allow-host', 'daybook.example', '--requests-per-second', '30']
  ])
  const ask = (headers: Record<string, string>, method = 'GET') =>
    send(`${url}/events`, { method, headers: { accept: '*/*', ...headers } })
  t.equal((await ask({ host: 'daybook.example' })).status, 200)
  t.equal((await ask({ host: 'evil.example' })).status, 421)
  t.equal((await ask({ 'x-forwarded-for': '1.2.3.4' })).status, 421, 'a proxy header without --trust-proxy')
  t.match((await ask({ origin: 'https://app.example', ...admin })).headers, {
    'access-control-allow-origin': 'https://app.example',
    'access-control-allow-credentials': 'true'
  })
  t.equal((await ask({ origin: 'https://app.example' }, 'POST')).status, 403)
  t.equal((await ask({ origin: 'https://writer.example' }, 'POST')).status, 415, 'allowed, but the request has no body')
  t.equal((await ask(bearer(await sign({ name: 'carol' })))).status, 200)
  t.equal((await ask(bearer(await sign({})))).status, 401, 'without the login claim')
  t.equal((await ask(bearer(await sign({ name: 'carol', aud: 'other' })))).status, 401)
  const many = await Promise.all(Array.from({ length: 100 }, () => ask({})))
  t.ok(
    many.some(({ status }) => status === 429),
    'requests above the limit get 429'
  )
})

t.test('--jwt-public-key rejects a private key', async (t) => {
  const { pem, privateKey } = await provider()
  const directory = t.testdir({
    'public.pem': pem,
    'private.pem': await exportPKCS8(privateKey),
    'none.pem': 'nonsense'
  })
  t.equal(readPublicKey(join(directory, 'public.pem')), pem)
  for (const file of ['private.pem', 'none.pem', 'missing.pem']) {
    t.throws(() => readPublicKey(join(directory, file)), { code: 'resource-unusable' }, file)
  }
})
