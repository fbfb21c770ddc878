/** How an export ends: with a complete file, quietly when its reader leaves, or with no file. */
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import { command, daybook, ends, until } from './helpers/cli.js'
import { ReturningServer } from './helpers/returning-server.js'

t.test('an export whose pipe is closed by its reader ends without a message and with exit code 141', async (t) => {
  const folder = t.testdir({})
  const server = new ReturningServer(join(folder, 'db'))
  await server.start()
  t.teardown(() => server.kill())
  const input = Array.from(
    { length: 4000 },
    (_, i) => `{"stream":"s","type":"T","data":"${'x'.repeat(1000)}${i}"}\n`
  ).join('')
  t.match(await daybook(['import', '-', '--url', server.url], { input }), { code: 0 })
  for (const from of [
    ['--url', server.url],
    ['--db', join(folder, 'db')]
  ]) {
    if (from[0] === '--db') await server.kill()
    const child = command(['export', ...from])
    const ended = ends(child)
    await once(child.stdout as NonNullable<typeof child.stdout>, 'data')
    child.stdout?.destroy()
    t.same(await ended, { code: 141, stderr: '' }, `${from[0]}`)
  }
})

t.test('an export leaves a complete file or none, and replaces an existing file only with --force', async (t) => {
  const folder = t.testdir({ there: 'precious' })
  let answer: (response: ServerResponse) => unknown = () => {}
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'daybook-head': '1' })
    response.write('{"id":"1"}\n', () => answer(response))
  }).listen(0, '127.0.0.1')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server, 'listening')
  const from = ['export', '--url', `http://127.0.0.1:${(server.address() as { port: number }).port}`, '--output']

  const refused = await daybook([...from, join(folder, 'there')])
  t.match(refused, { code: 1, stderr: /^daybook: cannot write \S+there: the file exists; --force replaces it\n$/ })
  answer = (response) => response.destroy()
  const broken = await daybook([...from, join(folder, 'there'), '--force'])
  t.match(broken, { code: 1, stderr: /^daybook: the transfer broke off .*; run the export again\n$/ })
  t.equal(readFileSync(join(folder, 'there'), 'utf8'), 'precious')
  t.same(readdirSync(folder), ['there'], 'the partial file is removed')

  const begun = new Promise<void>((resolve) => (answer = () => resolve()))
  const child = command([...from, join(folder, 'new.gz')])
  const ended = ends(child)
  await begun
  await until(async () => existsSync(join(folder, 'new.gz.partial')))
  child.kill('SIGINT')
  t.same(await ended, { code: 130, stderr: 'Interrupted after 0 events; no file was written.\n' })
  t.same(readdirSync(folder), ['there'])

  answer = (response) => response.end('{"end":{"cursor":"0","events":1}}\n')
  t.match(await daybook([...from, join(folder, 'there'), '--force']), { code: 0 })
  t.equal(readFileSync(join(folder, 'there'), 'utf8'), '{"id":"1"}\n')
  t.match(await daybook([...from, '/dev/null']), { code: 0 }, 'a device is written to directly, not replaced')
  t.ok(statSync('/dev/null').isCharacterDevice())
})
