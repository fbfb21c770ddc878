/** Guessed, forged, replayed or garbled credentials grant nothing, reveal nothing and break nothing. */
import { randomUUID } from 'node:crypto'
import { Writable } from 'node:stream'
import t from 'tap'
import { openApp } from '../helpers/app.js'
import { admin, basic, makeUser } from '../helpers/people.js'
import { listenRaw } from '../helpers/raw.js'

t.test(
  'an unknown login or disabled account is answered like a wrong password; an unknown login costs as much work',
  async (t) => {
    const { app, store } = await openApp(t, { insecure: false })
    await makeUser(store, 'ann')
    const ask = (who: Record<string, string>) => app.inject({ url: '/events', headers: { accept: '*/*', ...who } })
    const [unknown, wrong] = [await ask(basic('nobody', 'x')), await ask(basic('ann', 'x'))]
    await app.inject({ method: 'POST', url: '/users/ann/command/disable', headers: admin })
    const disabled = await ask(basic('ann', 'ann'))
    const comparable = (answer: typeof wrong) => {
      const { 'request-id': _, date: __, ...headers } = answer.headers
      return [answer.statusCode, headers, { ...answer.json(), requestId: '' }]
    }
    t.same(comparable(unknown), comparable(wrong))
    t.same(comparable(disabled), comparable(wrong))
    t.equal(unknown.statusCode, 401)
    const cpuOf = async (login: string) => {
      const before = process.cpuUsage()
      for (let i = 0; i < 3; i++) await store.accounts.verify(login, randomUUID())
      const { user, system } = process.cpuUsage(before)
      return user + system
    }
    await cpuOf('warm')
    const ratio = (await cpuOf('nobody')) / (await cpuOf('admin'))
    t.ok(ratio > 0.5 && ratio < 2, `the ratio of the work is ${ratio.toFixed(2)}`)
  }
)

t.test('garbled credentials are answered with 401', async (t) => {
  const { app } = await openApp(t, { insecure: false })
  const values = [
    'Basic', 'Basic ', 'Basic ???', 'Basic YWRtaW4=', 'Basic OmNoYW5nZWl0', `Basic ${Buffer.from('admin:').toString('base64')}`,
    `Basic ${Buffer.from('ADMIN:changeit').toString('base64')}`, `Basic ${Buffer.from('admin:changeit\0').toString('base64')}`,
    `Basic ${Buffer.from('admin\u200b:changeit').toString('base64')}`, `Basic ${'A'.repeat(8000)}`,
    `Basic ${Buffer.from(`admin:${'x'.repeat(2000)}`).toString('base64')}`, 'basic YWRtaW46Y2hhbmdlaXQ=', 'Bearer', 'Bearer ',
    'Bearer dbk_', 'Bearer dbk_x.y', 'Bearer dbk_.', 'Bearer a.b.c', `Bearer ${'.'.repeat(5000)}`, 'Bearer __proto__', 'Digest username="admin"',
    '=', ','
  ] // biome-ignore format: a list
  for (const authorization of values) {
    const { statusCode } = await app.inject({ url: '/users', headers: { accept: '*/*', authorization } })
    t.equal(statusCode, 401, authorization.slice(0, 60))
  }
  for (const ticket of ['', '.', 'x.y', `${Buffer.from('{}').toString('base64url')}.`, 'a'.repeat(3000)]) {
    t.equal((await app.inject(`/events?ticket=${ticket}`)).statusCode, 401, `ticket ${ticket.slice(0, 20)}`)
  }
})

t.test('a header of one mebibyte is answered with 431, and other requests are served', async (t) => {
  const { raw, app } = await listenRaw(t, { insecure: false })
  const large = `Authorization: Basic ${'A'.repeat(1 << 20)}`
  const { status } = await raw(`GET /users HTTP/1.1\r\nHost: localhost\r\n${large}\r\n\r\n`)
  t.equal(status, 431)
  t.equal((await app.inject({ url: '/users', headers: admin })).statusCode, 200)
})

t.test('secrets appear in no answer (except that to a new token), no event and no log line', async (t) => {
  const logged: string[] = []
  const log = new Writable({
    write(chunk, _encoding, done) {
      logged.push(String(chunk))
      done()
    }
  })
  const { app, store } = await openApp(t, { insecure: false, logLevel: 'trace', logTo: log })
  const json = { ...admin, 'content-type': 'application/json', accept: '*/*' }
  const post = (url: string, payload: object) => app.inject({ method: 'POST', url, headers: json, payload })
  const answers = [
    await post('/users', { loginName: 'eve', groups: [], password: 'hunter2-one' }),
    await post('/users', { loginName: 'eve', groups: [], password: 'hunter2-two' }),
    await post('/users/eve/command/reset-password', { newPassword: 'hunter2-three' }),
    await post('/users', { loginName: 7, password: 'hunter2-four' }),
    await app.inject({ url: '/users', headers: { ...json, ...basic('eve', 'hunter2-five') } }),
    await app.inject({ url: '/users', headers: { ...json, ...basic('hunter2-six', 'x') } }),
    await app.inject({ url: '/users', headers: json }),
    await app.inject({ url: '/users/eve', headers: json })
  ]
  const made = await post('/tokens', { name: 'ci', read: ['*'] })
  const secret: string = made.json().token.split('.')[1]
  answers.push(await app.inject({ url: '/tokens', headers: json }))
  await store.failures.flush()
  answers.push(await app.inject({ url: '/events?system=true&truncated=true&format=ndjson', headers: json }))
  const everything = [...answers.map(({ body, headers }) => body + JSON.stringify(headers)), ...logged].join('\n')
  t.match(everything, 'SignInFailed')
  t.notMatch(everything, /hunter2/)
  t.notMatch(everything, secret)
  t.notMatch(everything, Buffer.from('eve:hunter2-five').toString('base64'))
})
