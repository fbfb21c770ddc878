/**
 * A server that listens at once, and opens its store when a line comes on standard input. It prints its address when it
 * listens, and "asked" with the address of each request.
 * Arguments: directory, port, and how many times faster than the real clock its timers are.
 */
import { createInterface } from 'node:readline'
import { buildApp } from '../../routes/index.js'
import { Store } from '../../src/store/store.js'
import { fastClock } from './live-clients.js'

const [directory = '', port = '0', times = '1'] = process.argv.slice(2)
const store = new Store({ directory, anonymous: true, clock: fastClock(Number(times)) })
const app = await buildApp(store, { logLevel: 'silent', insecure: true })
app.server.on('request', ({ url }) => process.stdout.write(`asked ${url}\n`))
const url = await app.listen({ host: '127.0.0.1', port: Number(port) })
process.stdout.write(`${url}\n`)
for await (const _line of createInterface(process.stdin)) {
  await store.open()
  process.stdout.write('open\n')
}
