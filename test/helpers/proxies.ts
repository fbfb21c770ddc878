/** Real proxies in front of a server: nginx and HAProxy, as Debian packages them. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { findExecutable, skipWithout } from './executables.js'

const nginx = findExecutable('nginx')
const haproxy = findExecutable('haproxy')

/** The reason to skip a test because there is no such proxy. With CI set nothing is skipped: the test fails instead. */
export const skipNginx = skipWithout('nginx')
export const skipHaproxy = skipWithout('haproxy')

/** @param http returns the content of the `http` block for a port @returns the address of the proxy */
export function startNginx(t: Test, http: (port: number) => string): Promise<string> {
  return start(t, nginx, (port, folder) => {
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => {
      return `${kind}_temp_path ${folder}/${kind};`
    })
    const root = process.getuid?.() === 0 ? 'user root;' : ''
    const text = `${root} worker_processes 1; pid ${folder}/pid; error_log stderr; events {}
      http { access_log off; ${temporary.join(' ')}\n${http(port)}\n}`
    return { text, argv: (file) => ['-p', folder, '-c', file, '-g', 'daemon off;'] }
  })
}

/** @param text returns the configuration for a port @returns the address of the proxy */
export function startHaproxy(t: Test, text: (port: number) => string): Promise<string> {
  return start(t, haproxy, (port) => ({ text: text(port), argv: (file) => ['-db', '-f', file] }))
}

interface Configured {
  readonly text: string
  readonly argv: (file: string) => string[]
}

async function start(
  t: Test,
  command: string | undefined,
  configured: (port: number, folder: string) => Configured
): Promise<string> {
  if (command === undefined) throw new Error('the proxy is not installed')
  const folder = mkdtempSync(join(tmpdir(), 'daybook-proxy-'))
  const port = await freePort()
  const { text, argv } = configured(port, folder)
  const file = join(folder, 'configuration')
  writeFileSync(file, `${text}\n`)
  const child = spawn(command, argv(file), { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  t.teardown(async () => {
    child.kill('SIGTERM')
    await ended
    rmSync(folder, { recursive: true, force: true })
  })
  const end = Date.now() + 30_000
  while (!(await accepts(port))) {
    if (child.exitCode !== null || Date.now() > end) throw new Error(`${command} does not listen: ${output}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  return `http://127.0.0.1:${port}`
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}
