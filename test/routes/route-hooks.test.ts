/** The hooks of a route run in addition to those that the application adds to every route. */
import { once } from 'node:events'
import { connect } from 'node:net'
import type { HTTPMethods } from 'fastify'
import t from 'tap'
import { systemClock } from '../../src/time/clock.js'
import { openApp } from '../helpers/app.js'

for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] satisfies HTTPMethods[]) {
  for (const [kind, many] of [
    ['one hook of each kind', false],
    ['lists of hooks', true]
  ] as const) {
    t.test(`a ${method} route with ${kind} runs all of them, in order`, async (t) => {
      const { app } = await openApp(t)
      const ran: string[] = []
      const hook = (name: string) => (_request: unknown, _reply: unknown, done: () => void) => {
        ran.push(name)
        done()
      }
      const hooks = (name: string) => (many ? [hook(`${name} 1`), hook(`${name} 2`)] : hook(name))
      app.route({
        method,
        url: '/hooked',
        config: { access: 'anyone' },
        onRequest: hooks('onRequest'),
        preParsing: (_request, _reply, payload, done) => {
          ran.push('preParsing')
          done(null, payload)
        },
        preValidation: hooks('preValidation'),
        preHandler: hooks('preHandler'),
        preSerialization: (_request, _reply, payload, done) => {
          ran.push('preSerialization')
          done(null, payload)
        },
        onSend: (_request, _reply, payload, done) => {
          ran.push('onSend')
          done(null, payload)
        },
        onResponse: hooks('onResponse'),
        handler: async () => {
          ran.push('handler')
          return { hello: 'there' }
        }
      })
      const response = await app.inject({ method, url: '/hooked' })
      t.equal(response.statusCode, 200)
      const named = (name: string) => (many ? [`${name} 1`, `${name} 2`] : [name])
      t.strictSame(ran, [
        ...named('onRequest'),
        'preParsing',
        ...named('preValidation'),
        ...named('preHandler'),
        'handler',
        'preSerialization',
        'onSend',
        ...named('onResponse')
      ])
    })
  }
}

t.test('a hook of a route may refuse the request', async (t) => {
  const { app } = await openApp(t)
  app.post('/refusing', {
    config: { access: 'anyone' },
    preHandler: (_request, reply) => void reply.code(418).send(''),
    handler: async () => 'not called'
  })
  t.equal((await app.inject({ method: 'POST', url: '/refusing' })).statusCode, 418)
})

t.test('the time-out of a body starts before the hooks of its route run', async (t) => {
  let later = 0
  const clock = {
    ...systemClock,
    elapsed: () => performance.now() + later,
    after: (ms: number, callback: () => void) => systemClock.after(Math.min(ms, 10), callback)
  }
  const { app } = await openApp(t, { clock })
  app.post('/waiting', {
    config: { access: 'anyone' },
    onRequest: () => {}, // never done
    handler: async () => 'not called'
  })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const { port, hostname } = new URL(url)
  const socket = connect(Number(port), hostname)
  const closed = once(socket, 'close')
  let text = ''
  socket.on('data', (chunk) => (text += chunk))
  socket.write('POST /waiting HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf')
  while ((await fetch(`${url}/ping`)).ok && text === '') later += 10_000
  await closed
  t.match(text, /^HTTP\/1\.1 408 [\s\S]*"code":"request-timeout"/)
})
