/** A bare Fastify server: `bare.js STATUS FILE` parses a body if there is one and answers with the file's bytes. */
import { readFileSync } from 'node:fs'
import Fastify from 'fastify'

const [, , status, file] = process.argv as [string, string, string, string]
const bytes = readFileSync(file)
const app = Fastify()
for (const url of ['/streams/:stream', '/streams/:stream/:number']) {
  app.route({
    method: ['GET', 'POST'],
    url,
    handler: (_request, reply) =>
      reply.code(Number(status)).header('content-type', 'application/json; charset=utf-8').send(bytes)
  })
}
console.log(await app.listen({ host: '127.0.0.1', port: 0 }))
