import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { append, openApp } from '../helpers/app.js'

const JSON_TYPE = { 'content-type': 'application/json' }

async function change(app: FastifyInstance, method: 'PUT' | 'PATCH', body: unknown, headers = {}) {
  const payload = typeof body === 'string' ? body : JSON.stringify(body)
  return app.inject({ method, url: '/streams/s/metadata', headers: { ...JSON_TYPE, ...headers }, payload })
}

async function read(app: FastifyInstance) {
  return (await app.inject('/streams/s/metadata')).body.trim()
}

t.test('of patches at once none is lost, whatever condition they have', async (t) => {
  for (const headers of [{}, { 'if-match': '*' }]) {
    const { app } = await openApp(t, { directory: t.testdir({ [Object.keys(headers).length]: {} }) })
    await change(app, 'PUT', { first: true })
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => change(app, 'PATCH', { [`k${i}`]: 1 }, headers))
    )
    t.same([...new Set(answers.map(({ statusCode }) => statusCode))], [200])
    t.equal(Object.keys(JSON.parse(await read(app))).length, 21, JSON.stringify(headers))
    await app.close()
  }
})

t.test('a patch under a version that is not the one is refused, and changes nothing', async (t) => {
  const { app } = await openApp(t)
  t.match((await change(app, 'PATCH', { a: 1 }, { 'if-match': '*' })).json(), { status: 412, head: null })
  t.equal((await change(app, 'PATCH', { a: 1 }, { 'if-none-match': '*' })).statusCode, 201)
  t.match((await change(app, 'PATCH', { a: 2 }, { 'if-match': '"5"' })).json(), {
    status: 412,
    code: 'wrong-expected-version',
    head: 0
  })
  t.equal((await change(app, 'PATCH', { b: 2 }, { 'if-match': '"0"' })).statusCode, 200)
  t.equal(await read(app), '{"a":1,"b":2}')
})

t.test('a patch leaves what it does not name as it was written, whatever that is', async (t) => {
  const { app } = await openApp(t)
  const headers = { ...JSON_TYPE, 'es-eventid': '5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11' }
  const payload =
    '{"$maxAge":9223372036854775807,"$tb":12345678901234567,"maxCount":"own","$acl":{"$r":"ann","own":[1]},"n":1.50}'
  await app.inject({ method: 'POST', url: '/streams/s/metadata', headers, payload })
  t.equal((await change(app, 'PATCH', { acl: { write: ['bob'] }, cacheControl: 5 })).statusCode, 200)
  const stored = await app.inject({ url: '/streams/s/metadata', headers: { accept: 'application/json' } })
  t.equal(
    stored.body.replaceAll(/\s/g, ''),
    '{"$maxAge":9223372036854775807,"$tb":12345678901234567,"maxCount":"own","$acl":{"$r":"ann","own":[1],"$w":["bob"],"$d":["bob"],"$mw":["bob"]},"n":1.50,"$cacheControl":5}'
  )
  t.match(await read(app), /"maxAge":"P106751991167300DT15H30M7S"/, 'to the second')
  t.equal((await change(app, 'PATCH', { acl: null, maxAge: null, n: null })).statusCode, 200)
  t.equal(await read(app), '{"truncateBefore":12345678901234567,"cacheControl":5}')
})

t.test('what was read can be written back', async (t) => {
  const { app } = await openApp(t)
  await change(app, 'PUT', { maxAge: 'P1000000000D', maxCount: 5, acl: { read: 'ann' }, own: { a: [1.0] } })
  const before = await read(app)
  t.equal((await change(app, 'PUT', before)).statusCode, 200)
  t.equal(await read(app), before)
})

t.test('metadata is small: more is refused, and what is stored stays', async (t) => {
  const { app, store } = await openApp(t)
  await change(app, 'PUT', { own: 1 })
  for (const method of ['PUT', 'PATCH'] as const) {
    const answer = await change(app, method, { own: 'x'.repeat(70_000) })
    t.match(answer.json(), { status: 413, code: 'body-too-large', detail: /65536 bytes/ }, method)
  }
  await change(app, 'PATCH', { a: 'x'.repeat(40_000) })
  t.match((await change(app, 'PATCH', { b: 'x'.repeat(40_000) })).json(), { code: 'invalid-metadata' }, 'also together')
  t.equal(store.log.head, 1)
})

t.test('a head page is kept no longer than a client can count', async (t) => {
  const { app } = await openApp(t)
  await append(app, 's', { type: 'T' })
  await change(app, 'PUT', '{"cacheControl":9223372036854775807}')
  t.equal((await app.inject('/streams/s')).headers['cache-control'], 'public, max-age=2147483647')
})
