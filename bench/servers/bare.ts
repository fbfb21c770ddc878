/** The least that Fastify can do: parse a JSON body or not, and answer the same bytes every time. */
import Fastify from 'fastify'

const bytes = Buffer.from(process.env.BENCH_ANSWER ?? '{}')
const status = Number(process.env.BENCH_STATUS ?? 200)
const app = Fastify()
app.get('/streams/:stream', (_request, reply) =>
  reply.header('content-type', 'application/json; charset=utf-8').send(bytes)
)
app.get('/streams/:stream/:number', (_request, reply) =>
  reply.header('content-type', 'application/json; charset=utf-8').send(bytes)
)
app.post('/streams/:stream', (_request, reply) =>
  reply.code(status).header('content-type', 'application/json; charset=utf-8').send(bytes)
)
console.log(await app.listen({ host: '127.0.0.1', port: 0 }))
