/** The HTML page for browsers (native contract §8), tested in a real browser. */
import t, { type Test } from 'tap'
import { append, listen } from '../helpers/app.js'
import { openPage, shownWith, skip, untilLive, untilNewer, untilStatus } from '../helpers/browser.js'
import { admin, basic, makeUser, setRules } from '../helpers/people.js'
import { post, ReturningServer } from '../helpers/returning-server.js'

const promise = (name: string, run: (t: Test) => Promise<void>) => t.test(name, { skip }, run)

promise('the page of a stream shows its events, and new events without a reload', async (t) => {
  const { url } = await listen(t)
  await post(url, 'cart-1', [{ type: 'ItemAdded', data: { sku: 'A-1', price: 1.0 }, tags: ['customer:ann'] }])
  await post(url, 'other', { type: 'Other' })
  const { page } = await openPage(t, `${url}/streams/cart-1`)
  t.same(await shownWith(page, 0), [0])
  t.equal(await page.title(), 'cart-1 · Daybook')
  const row = page.locator('#events > li')
  for (const words of ['ItemAdded', 'cart-1', '"sku": "A-1"', 'customer:ann']) t.match(await row.textContent(), words)
  await untilLive(page)
  await post(url, 'cart-1', [{ type: 'ItemAdded' }, { type: 'CheckedOut' }])
  t.same(await shownWith(page, 2), [2, 1, 0], 'the newest event is first')
  await post(url, 'other', { type: 'Other' })
  await post(url, 'cart-1', { type: 'Paid' })
  t.same(await shownWith(page, 3), [3, 2, 1, 0])
})

promise('the page of a stream that does not exist yet shows the first events when they are appended', async (t) => {
  const { url } = await listen(t)
  const { page } = await openPage(t, `${url}/streams/later`)
  await page.getByText('Nothing here yet.').waitFor()
  await untilLive(page)
  await post(url, 'later', [{ type: 'First' }, { type: 'Second' }])
  t.same(await shownWith(page, 1), [1, 0])
  t.equal(await page.getByText('Nothing here yet.').isVisible(), false)
})

promise(
  'the browser asks for credentials for a protected stream, and the page uses them for live events',
  async (t) => {
    const { app, store, url } = await listen(t, { insecure: false })
    await makeUser(store, 'ann')
    await append(app, 'secret', { type: 'Whispered' }, admin)
    await setRules(app, 'secret', { read: 'ann' })
    const { page: refused } = await openPage(t, 'about:blank')
    const answer = await refused.goto(`${url}/streams/secret`).catch(() => undefined)
    t.not(answer?.status(), 200)
    const { page } = await openPage(t, `${url}/streams/secret`, { username: 'ann', password: 'ann' })
    t.same(await shownWith(page, 0), [0])
    await untilLive(page)
    await append(app, 'secret', { type: 'Whispered' }, admin)
    t.same(await shownWith(page, 1), [1, 0], 'live events use the credentials, too')
  }
)

promise('a page whose read right is revoked says so and stops requesting', async (t) => {
  const { app, store, url } = await listen(t, { insecure: false })
  await makeUser(store, 'ann')
  await append(app, 'shared', { type: 'T' }, admin)
  const { page } = await openPage(t, 'about:blank', { username: 'ann', password: 'ann' })
  await page.goto(`${url}/streams/shared`)
  await untilLive(page)
  await setRules(app, 'shared', { read: [] })
  await untilStatus(page, 'ended: Not permitted')
  t.equal(store.subscriptions.size, 0)
})

promise('scripts in events do not run in any form that a browser displays', async (t) => {
  const { app, store, url } = await listen(t, { insecure: false })
  await makeUser(store, 'bob')
  const script = `fetch('/users/', { method: 'POST', headers: { 'content-type': 'application/json' },
    body: '{"loginName":"pwned","password":"p","groups":["$admins"]}' })`
  const data = { html: { '@xmlns': 'http://www.w3.org/1999/xhtml', script } }
  await append(app, 'note', { type: 'T', data }, basic('bob', 'bob'))
  const { page, complaints } = await openPage(t, 'about:blank', { username: 'admin', password: 'changeit' })
  // After the first challenge, the browser sends its credentials with every request.
  for (const path of ['', '/0?format=xml', '/head/backward/5?format=xml&embed=content', '/0?format=json']) {
    await page.goto(`${url}/streams/note${path}`)
    await page.evaluate('1')
  }
  t.match(complaints.join('\n'), /Content Security Policy/, 'the browser reported a blocked script')
  t.equal(store.accounts.get('pwned'), undefined)
})

promise('the page continues after the server is killed and restarted, without loss or repetition', async (t) => {
  const server = new ReturningServer(t.testdir({}))
  t.teardown(() => server.kill())
  await server.start()
  await post(server.url, 's', [{ type: 'T' }, { type: 'T' }])
  const { page } = await openPage(t, `${server.url}/streams/s`)
  await untilLive(page)
  let last = 1
  // Kill the server during continuous appends, so that it is unknown which events were sent.
  for (const signal of ['SIGKILL', 'SIGKILL', 'SIGTERM'] as const) {
    const appending = appendUntilGone(server.url)
    await untilNewer(page, last)
    await server.kill(signal)
    await appending
    await untilStatus(page, 'reconnecting')
    await server.start()
    await post(server.url, 's', { type: 'After' })
    last = await headOf(server.url)
    const numbers = await shownWith(page, last)
    t.same(
      numbers,
      numbers.map((_, i) => last - i),
      `${signal}: each event once, in order`
    )
    t.ok(numbers.length === Math.min(last + 1, 500), 'all events, or the maximum of 500 rows')
    await untilLive(page)
  }
})

promise('the page reconnects after the server was stopped, and continues', async (t) => {
  const server = new ReturningServer(t.testdir({}))
  t.teardown(() => server.kill())
  await server.start()
  const { page } = await openPage(t, `${server.url}/events?type=Wanted`)
  await untilLive(page)
  await post(server.url, 's', { type: 'Wanted' })
  t.same(await shownWith(page, 0), [0])
  await server.kill('SIGTERM')
  await untilStatus(page, 'reconnecting')
  await server.start()
  await post(server.url, 's', [{ type: 'Unwanted' }, { type: 'Wanted' }])
  t.same(await shownWith(page, 2), [2, 0])
})

promise('the page of a permanently deleted stream says that it ended', async (t) => {
  const { url } = await listen(t)
  await post(url, 's', { type: 'T' })
  const { page } = await openPage(t, `${url}/streams/s`)
  await untilLive(page)
  await fetch(`${url}/streams/s?permanent=true`, { method: 'DELETE' })
  await untilStatus(page, 'ended')
  t.pass('the page says that it ended')
})

promise('the page causes no content security policy violation and no console error', async (t) => {
  const { url } = await listen(t)
  await post(url, 's', [{ type: 'T', data: { a: 1 } }])
  for (const path of ['/', '/events', '/streams/s', '/streams/s/0', '/events/0']) {
    const { page, complaints } = await openPage(t, url + path)
    await shownWith(page, 0)
    if (!/0$/.test(path)) await untilLive(page)
    t.same(complaints, [], path)
  }
})

promise('hostile text in events is displayed as text, not executed', async (t) => {
  const { url } = await listen(t)
  const text = '</script><script>window.hurt = 1</script><img src=x onerror="window.hurt = 1">'
  const stream = `${text} ' " & javascript:hurt=1`
  const event = { type: text, data: { [text]: text }, metadata: { m: text }, tags: [text] }
  await post(url, stream, [event, { ...event, data: text.repeat(20) }])
  await post(url, stream, { type: text, data: Object.fromEntries([['__proto__', text]]) })
  for (const path of ['/', '/events', `/streams/${encodeURIComponent(stream)}`, '/events/0']) {
    const { page, complaints } = await openPage(t, url + path)
    await shownWith(page, 0)
    if (!/\d$/.test(path)) {
      await untilLive(page)
      await post(url, stream, event)
      await page.locator('#events > li.new').waitFor()
      for (const one of await page.locator('#events summary').all()) await one.click()
    }
    t.equal(await page.locator('#events .type').first().textContent(), text)
    t.equal(
      await page.locator('#events img, #events script, #streams img').count(),
      0,
      'the text is not parsed as markup'
    )
    t.equal(await page.evaluate('window.hurt'), undefined)
    t.same(complaints, [])
    await page.locator('#events .stream').first().click()
    await shownWith(page, 0)
    t.equal(new URL(page.url()).pathname, `/streams/${encodeURIComponent(stream)}`)
    t.equal(await page.locator('#place').textContent(), stream)
  }
})

promise('the page of a single event shows the event, with links to the previous and the next event', async (t) => {
  const { url } = await listen(t)
  const data = '{"big":12345678901234567890,"one":1.0}'
  const headers = { 'content-type': 'application/json', 'event-type': 'Exact' }
  await post(url, 's', { type: 'Before' })
  await fetch(`${url}/streams/s`, { method: 'POST', headers, body: data })
  await post(url, 's', { type: 'After', metadata: { by: 'ann' } })
  const { page } = await openPage(t, `${url}/streams/s/1`)
  t.same(await shownWith(page, 1), [1])
  const text = await page.locator('#events').textContent()
  t.match(text, '"big": 12345678901234567890', 'no number is rounded')
  t.match(text, '"one": 1.0')
  await page.locator('a.next').click()
  t.same(await shownWith(page, 2), [2])
  t.match(await page.locator('#events').textContent(), '"by": "ann"')
  t.equal(await page.locator('a.next').count(), 0)
  await page.locator('a.previous').click()
  await page.locator('a.previous').click()
  t.same(await shownWith(page, 0), [0])
  t.equal(await page.locator('a.previous').count(), 0)
  await page.locator('a.parent').click()
  t.same(await shownWith(page, 2), [2, 1, 0])
})

promise('the page at / shows version, head, streams and the newest events of the log', async (t) => {
  const { url } = await listen(t, { version: '9.8.7' })
  await post(url, 'a', [{ type: 'T' }, { type: 'T' }])
  await post(url, 'b', { type: 'T' })
  const { page } = await openPage(t, url)
  await untilLive(page)
  await page.locator('#about').waitFor()
  t.match(await page.locator('#about').textContent(), /daybook 9\.8\.7 · head 2/)
  await post(url, 'a', { type: 'T' })
  await shownWith(page, 2)
  const positions = page.locator('#events > li')
  t.same(
    await positions.evaluateAll((rows) => rows.map((row) => row.getAttribute('data-position'))),
    [3, 2, 1, 0].map(String)
  )
  await page.locator('#streams a', { hasText: 'a' }).click()
  t.same(await shownWith(page, 2), [2, 1, 0])
})

promise(
  'a page with bounds shows the requested events, links to the next page, and is live only at the end',
  async (t) => {
    const { url } = await listen(t)
    const many = Array.from({ length: 120 }, () => ({ type: 'T' }))
    await post(url, 's', many)
    const { page } = await openPage(t, `${url}/streams/s?from=2&limit=3`)
    t.same(await shownWith(page, 4), [2, 3, 4], 'in the requested order')
    await untilStatus(page, 'not live')
    await page.locator('a.newer').click()
    t.same(await shownWith(page, 7), [5, 6, 7])
    await page.goBack()
    t.same(await shownWith(page, 4), [2, 3, 4], 'going back shows the page, not its JSON')
    await page.goto(`${url}/streams/s`)
    const newest = await shownWith(page, 119)
    t.same([newest.length, newest[49]], [50, 70])
    await page.locator('a.older').click()
    const older = await shownWith(page, 20)
    t.same([older.length, older[0]], [50, 69])
    await page.goto(`${url}/streams/s?after=117`)
    t.same(await shownWith(page, 119), [118, 119])
    await untilLive(page)
    await post(url, 's', { type: 'T' })
    t.same(await shownWith(page, 120), [118, 119, 120], 'new events are added at the end')
  }
)

promise('the page shows the problem of a failed request with its reason', async (t) => {
  const { url } = await listen(t)
  const { page } = await openPage(t, `${url}/events?typ=ItemAdded`)
  const problem = page.locator('#problem')
  await problem.waitFor()
  t.match(await problem.textContent(), /Unknown parameter[\s\S]*did you mean "type"/)
  await page.goto(`${url}/streams/never/3`)
  await problem.waitFor()
  t.match(await problem.textContent(), /not found/i)
})

promise('the filter shows the events of a type, and follows only these', async (t) => {
  const { url } = await listen(t)
  await post(url, 's', [{ type: 'Added' }, { type: 'Removed' }])
  const { page } = await openPage(t, `${url}/events`)
  await shownWith(page, 1)
  await page.getByLabel('type begins with').fill('Add')
  await page.keyboard.press('Enter')
  await page.waitForURL(`${url}/events?type.prefix=Add`)
  t.same(await shownWith(page, 0), [0])
  await untilLive(page)
  await post(url, 's', [{ type: 'Removed' }, { type: 'Added' }])
  t.same(await shownWith(page, 3), [3, 0])
})

promise('with very many events, the page keeps the last 500 and links to older ones', async (t) => {
  const { url } = await listen(t)
  const { page } = await openPage(t, `${url}/streams/s`)
  await untilLive(page)
  const many = Array.from({ length: 130 }, () => ({ type: 'T' }))
  for (let i = 0; i < 10; i++) await post(url, 's', many)
  const numbers = await shownWith(page, 1299)
  t.same([numbers.length, numbers[0], numbers[499]], [500, 1299, 800])
  await page.locator('a.older').click()
  t.same((await shownWith(page, 799))[0], 799)
})

/** Appends events one by one until the server is unreachable. */
async function appendUntilGone(url: string): Promise<void> {
  try {
    for (;;) await post(url, 's', { type: 'T' })
  } catch {
    // the server was killed
  }
}

async function headOf(url: string): Promise<number> {
  return Number((await fetch(`${url}/streams/s`, { method: 'HEAD' })).headers.get('daybook-head'))
}
