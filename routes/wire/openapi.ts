/** The frame of the contract; operations and shapes come from the routes and their schemas. */
import type { SwaggerOptions } from '@fastify/swagger'

export function openApi(version: string): SwaggerOptions {
  return {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Daybook',
        version,
        description: 'An event store you can curl: streams of events over plain HTTP/JSON.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' }
      },
      servers: [{ url: 'http://127.0.0.1:2113' }],
      tags: [
        { name: 'streams', description: 'One stream: read and append.' },
        { name: 'events', description: 'The whole log, in order.' },
        { name: 'listings', description: 'What is in here.' },
        { name: 'server', description: 'What the server says of itself.' }
      ]
    },
    refResolver: {
      buildLocalReference: (json, _base, _fragment, i) => (typeof json.$id === 'string' ? json.$id : `def-${i}`)
    }
  }
}
