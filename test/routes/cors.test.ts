/** What pages of other origins may read and send: nothing with credentials, unless their origin was named. */
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { append, openApp } from '../helpers/app.js'
import { asJson } from '../helpers/people.js'

const PAGE = 'https://app.example'
const _STRANGER = 'https://evil.example'

async function ask(app: FastifyInstance, origin: string | undefined, who: object = {}, url = '/events') {
  const { statusCode, headers, body } = await app.inject({
    url,
    headers: { ...asJson(who), ...(origin && { origin }) }
  })
  const { 'access-control-allow-origin': shared, 'access-control-allow-credentials': withCredentials } = headers
  return { status: statusCode, shared, withCredentials, body, headers }
}

t.test('every answer varies by Origin, in addition to its other Vary values', async (t) => {
  const directories = t.testdir({ 0: {}, 1: {} })
  for (const [i, corsOrigins] of ([[PAGE], 'local'] as const).entries()) {
    const directory = `${directories}/${i}`
    const { app } = await openApp(t, { insecure: false, anonymous: true, corsOrigins, directory })
    await append(app, 's', { type: 'T' })
    for (const url of ['/events', '/streams/s', '/streams/s/0', '/streams', '/ping', '/info', '/nowhere', '/users']) {
      const vary = String((await ask(app, PAGE, {}, url)).headers.vary)
      t.equal(vary.match(/\borigin\b/gi)?.length, 1, `${url}: ${vary}`)
      if (/events|streams\/s/.test(url)) t.match(vary, /\bAuthorization\b/, url)
    }
    const atom = await app.inject({ url: '/streams/s', headers: { accept: 'application/atom+xml', origin: PAGE } })
    t.match(atom.headers.vary, /Accept.*Origin/)
  }
})

t.test('a preflight request returns the methods and headers that a page may send', async (t) => {
  const { app } = await openApp(t, { insecure: false, corsOrigins: [PAGE] })
  const { statusCode, headers } = await app.inject({
    method: 'OPTIONS',
    url: '/streams/s',
    headers: {
      origin: PAGE,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization'
    }
  })
  t.equal(statusCode, 200)
  t.equal(headers['access-control-allow-origin'], PAGE)
  t.match(headers['access-control-allow-methods'], /GET.*POST/)
  t.match(headers['access-control-allow-headers'], /Authorization/i)
  t.match(headers['access-control-allow-headers'], /Daybook-Log/)
})
