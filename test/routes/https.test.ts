/** The server with its own TLS certificate. */
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { type Agent, request } from 'node:https'
import { connect as connectPlain } from 'node:net'
import { join } from 'node:path'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { makeCertificate } from '../../src/commands/serve/certificate.js'
import { limits } from '../../src/limits.js'
import { serve } from '../helpers/cli.js'
import { admin } from '../helpers/people.js'

interface Https {
  url: string
  port: number
  cert: string
  key: string
  /** The certificate in PEM, for clients to trust. */
  ca: string
  signal: (name: NodeJS.Signals) => void
  untilLogged: (pattern: RegExp) => Promise<void>
}

async function start(t: Test): Promise<Https> {
  const directory = t.testdir({})
  const [cert, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')]
  const ca = await writeCertificate({ cert, key })
  const argv = ['--db', join(directory, 'data'), '--port', '0', '--tls-cert', cert, '--tls-key', key]
  const { child, banner, url } = await serve(argv)
  t.teardown(() => child.kill('SIGKILL'))
  let output = banner
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (output += chunk))
  const untilLogged = async (pattern: RegExp) => {
    while (!pattern.test(output)) await new Promise((resolve) => setImmediate(resolve))
  }
  const port = Number(new URL(url).port)
  return { url, port, cert, key, ca, signal: (name) => void child.kill(name), untilLogged }
}

async function writeCertificate({ cert, key }: Pick<Https, 'cert' | 'key'>): Promise<string> {
  const made = await makeCertificate(Date.now())
  writeFileSync(key, made.key)
  writeFileSync(cert, made.cert)
  return made.cert
}

interface Answer {
  status: number
  headers: Record<string, unknown>
  text: string
}

function ask(
  url: string,
  ca: string,
  options: { method?: string; body?: string; agent?: Agent } = {}
): Promise<Answer> {
  const { method = 'GET', body, agent } = options
  return new Promise((resolve, reject) => {
    const headers = { ...admin, accept: '*/*', ...(body !== undefined && { 'content-type': 'application/json' }) }
    const sent = request(url, { ca, method, headers, agent: agent ?? false }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk) => (text += chunk))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }))
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

/** Opens a connection. Returns it with the fingerprint of the certificate that the server presented. */
async function presented({ port }: Https): Promise<{ fingerprint: string; socket: TLSSocket }> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  return { fingerprint: socket.getPeerCertificate().fingerprint, socket }
}

/** Requests a reload as an administrator who accepts any certificate. @returns the status */
function reload({ url }: Https): Promise<number> {
  return new Promise((resolve, reject) => {
    const options = { method: 'POST', headers: admin, rejectUnauthorized: false }
    const sent = request(`${url}/admin/reloadconfig`, options, ({ statusCode = 0 }) => resolve(statusCode))
    sent.on('error', reject)
    sent.end()
  })
}

t.test('writes, pages and live reads work over HTTPS, and browsers get Strict-Transport-Security', async (t) => {
  const { url, ca } = await start(t)
  t.match(url, /^https:/)
  const appended = await ask(`${url}/streams/s`, ca, { method: 'POST', body: '{"type":"T"}' })
  t.equal(appended.status, 201)
  t.match(appended.headers, { 'strict-transport-security': /max-age=\d+/, 'x-content-type-options': 'nosniff' })
  t.match((await ask(`${url}/streams/s`, ca)).text, /"type":"T"/)
  t.match((await ask(`${url}/streams/s?live=true&limit=1`, ca)).text, /"type":"T"/)
  t.match((await ask(`${url}/streams/s?format=sse&limit=1`, ca)).text, /"type":"T"[\s\S]*closing/)
  const feed = await ask(`${url}/streams/s/0/forward/1`, ca)
  t.match(feed.text, /"https:\/\/127\.0\.0\.1/, 'links start with https')
})

t.test('a WebSocket delivers live events over TLS', async (t) => {
  const { url, ca } = await start(t)
  const socket = new WebSocket(`${url.replace('https', 'wss')}/streams/s`, 'daybook.v1', { ca, headers: admin })
  t.teardown(() => socket.terminate())
  const frames: { frame: string; event?: { type: string } }[] = []
  const seen = (isSo: (frame: (typeof frames)[number]) => boolean) =>
    new Promise<void>((resolve, reject) => {
      socket.on('message', () => frames.some(isSo) && resolve())
      socket.on('error', reject)
    })
  socket.on('message', (data) => frames.push(JSON.parse(String(data))))
  await seen(({ frame }) => frame === 'caughtUp')
  const event = seen(({ frame }) => frame === 'event')
  await ask(`${url}/streams/s`, ca, { method: 'POST', body: '{"type":"Live"}' })
  await event
  t.match(frames.at(-1), { frame: 'event', event: { type: 'Live' } })
})

t.test('over TLS, requests are answered in order, including those of a half-closed client', async (t) => {
  const { port, ca } = await start(t)
  const lines = `Host: localhost\r\nAccept: */*\r\nAuthorization: ${admin.authorization}\r\n`
  const post = `POST /streams/s HTTP/1.1\r\n${lines}Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{"type":"T"}`
  const socket = connect({ port, host: '127.0.0.1', ca, servername: 'localhost' })
  t.teardown(() => socket.destroy())
  let text = ''
  socket.on('data', (chunk) => (text += chunk))
  socket.end(
    `${post}GET https://localhost/streams/s HTTP/1.1\r\n${lines}\r\nGET /streams/new?wait=1 HTTP/1.1\r\n${lines}\r\n`
  )
  await once(socket, 'end')
  const statuses = [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => status)
  t.same(statuses, ['201', '200', '200'])
  t.match(text, /"type":"T","stream":"s","number":0[\s\S]*"events":\[\]/)
})

t.test('a client that disconnects before the TLS handshake, as probes do, is closed at once', async (t) => {
  const { port } = await start(t)
  const socket = connectPlain({ port, host: '127.0.0.1' })
  t.teardown(() => socket.destroy())
  const begun = performance.now()
  socket.resume().end()
  await once(socket, 'close')
  t.ok(performance.now() - begun < limits.headers_timeout_ms / 2, 'the server does not wait for its headers')
})

/** Returns the error code of a weak handshake, or the protocol and cipher if the server accepted it. */
async function refusalOf({ port }: Https, weak: ConnectionOptions): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...weak })
  const code = await new Promise<string>((resolve) => {
    socket.once('secureConnect', () => resolve(`spoke ${socket.getProtocol()} ${socket.getCipher().name}`))
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
  })
  socket.destroy()
  return code
}

/** The OpenSSL of the client allows all of these, so only the server can refuse them. */
const WEAK: readonly ConnectionOptions[] = [
  { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
  { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA256' },
  { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES256-SHA' }
]

t.test('old TLS versions and ciphers are refused, also after the certificate was reloaded', async (t) => {
  const server = await start(t)
  for (const when of ['at first', 'after a reload']) {
    for (const weak of WEAK) t.match(await refusalOf(server, weak), /^ERR_SSL_.*_ALERT_/, `${weak.ciphers} ${when}`)
    t.match(await refusalOf(server, { maxVersion: 'TLSv1.2' }), /^spoke TLSv1\.2 ECDHE-ECDSA-.*(GCM|CHACHA20)/, when)
    server.signal('SIGHUP')
    await server.untilLogged(/SIGHUP: the certificate was reloaded/)
  }
})

t.test(
  'SIGHUP and administrators reload the certificate; if the new one is invalid, the old one stays in use',
  async (t) => {
    const server = await start(t)
    const before = await presented(server)
    await writeCertificate(server)
    server.signal('SIGHUP')
    await server.untilLogged(/SIGHUP: the certificate was reloaded/)
    const after = await presented(server)
    t.not(after.fingerprint, before.fingerprint, 'new connections get the new certificate')
    before.socket.write('GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
    t.match(String((await once(before.socket, 'data'))[0]), /^HTTP\/1\.1 200/, 'the old connection continues')

    writeFileSync(server.cert, 'nonsense')
    server.signal('SIGHUP')
    await server.untilLogged(/WARNING: SIGHUP: .* are not a certificate and its private key/)
    t.equal((await presented(server)).fingerprint, after.fingerprint)
    t.equal(await reload(server), 409, 'the caller gets an error')
    const ca = await writeCertificate(server)
    t.equal(await reload(server), 200)
    t.equal((await ask(`${server.url}/ping`, ca)).status, 200)
  }
)

t.test('--dev makes a certificate for this machine, and sends no Strict-Transport-Security', async (t) => {
  const { child, banner, url } = await serve(['--db', t.testdir({}), '--port', '0', '--dev'])
  t.teardown(() => child.kill('SIGKILL'))
  t.match(banner, /fingerprint is [0-9a-f:]{59}/)
  const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  t.match(socket.getPeerCertificate().subjectaltname, /DNS:localhost, IP Address:127\.0\.0\.1/)
  socket.write('GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
  const [answer] = await once(socket, 'data')
  t.match(String(answer), /^HTTP\/1\.1 200/)
  t.notMatch(String(answer), /strict-transport-security/i)
})
