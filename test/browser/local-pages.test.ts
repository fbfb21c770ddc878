/** Web pages served from another port of the same machine, as by a development server. */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import t, { type Test } from 'tap'
import { append, listen } from '../helpers/app.js'
import { openPage, skip } from '../helpers/browser.js'
import { admin } from '../helpers/people.js'
import { projectFile } from '../helpers/project.js'

const readme = readFileSync(projectFile('README.md'), 'utf8')
const [, script = ''] = /```js browser\n([\s\S]*?)```/.exec(readme) ?? []

/** The options of `daybook` started without flags. */
const AS_STARTED = { insecure: false, anonymous: true, corsOrigins: 'local', hosts: [] } as const

/** Serves an empty page on another port. Returns its address. */
async function otherPort(t: Test): Promise<string> {
  const server = createServer((_request, answer) => {
    answer
      .setHeader('content-type', 'text/html')
      .end('<!doctype html><link rel="icon" href="data:,"><title>shop</title>')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return `http://localhost:${(server.address() as { port: number }).port}/`
}

t.test('the script of the README runs on a page of another local port', { skip }, async (t) => {
  const { app, url } = await listen(t, AS_STARTED)
  await append(app, 'cart-1', { type: 'ItemAdded' })
  const { page, complaints } = await openPage(t, await otherPort(t))
  const printed = new Set<string>()
  page.on('console', (message) => printed.add(message.text()))
  await page.evaluate(`(async () => { ${script.replaceAll('localhost:2113', new URL(url).host)} })()`)
  const wanted = ['sse 0 ItemAdded', 'websocket 0 ItemAdded', 'sse 1 Seen', 'websocket 1 Seen', 'written 201']
  while (!wanted.every((line) => printed.has(line))) {
    t.same(complaints, [])
    await page.waitForEvent('console')
  }
  t.pass('the script reads, follows and writes')
})

t.test(
  'a page of another local port cannot use credentials that the browser stores, and the refusal names the flag',
  { skip },
  async (t) => {
    const { app, store, url } = await listen(t, AS_STARTED)
    await append(app, 's', { type: 'T' }, admin)
    const { page } = await openPage(t, `${url}/users`, { username: 'admin', password: 'changeit' })
    t.match(await page.textContent('body'), /"loginName":"ops"/, 'the browser is signed in')
    await page.goto(await otherPort(t))
    const { head } = store.log
    const answer = (await page.evaluate(async (address) => {
      const kept = await fetch(address, {
        method: 'POST',
        mode: 'no-cors',
        credentials: 'include',
        body: '{"type":"T"}'
      })
      const known = await fetch(address, { headers: { authorization: `Basic ${btoa('admin:changeit')}` } })
      return { type: kept.type, status: known.status, said: await known.text() }
    }, `${url}/streams/s`)) as { status: number; said: string }
    t.equal(answer.status, 403)
    t.match(answer.said, /"origin-refused".*--allow-origin http:\/\/localhost:\d+/)
    t.equal(store.log.head, head, 'nothing is written')
  }
)
