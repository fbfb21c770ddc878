/** Responses with information about the server and its health. */
import { Type } from './type.js'

const MemoryUse = Type.Object({
  used: Type.Integer(),
  limit: Type.Integer({ description: 'Bytes that all requests together may use.' }),
  waiting: Type.Integer({ description: 'Number of requests that wait for memory.' })
})

export const Info = Type.Object(
  {
    name: Type.String(),
    version: Type.String(),
    log: Type.Union([Type.String(), Type.Null()], {
      description: 'Identity of the log; null while the server opens it.'
    }),
    ancestors: Type.Array(
      Type.Object({
        log: Type.String(),
        upTo: Type.Integer({ description: 'The last position that this ancestor shares with the log; -1: none.' })
      }),
      {
        description:
          'Earlier identities of the log, oldest first. The log gets a new identity when it loses its last events. Visible to callers that may read events.'
      }
    ),
    head: Type.Union([Type.Integer(), Type.Null()], {
      description: 'Position of the last event. Null for callers that may not read events.'
    }),
    esVersion: Type.String({ description: 'The version of EventStoreDB whose HTTP API this server implements.' }),
    state: Type.String({ description: 'Always leader: the server is a single node.' }),
    features: Type.Record(Type.String(), Type.Boolean()),
    authentication: Type.Object({ type: Type.String(), properties: Type.Null() }),
    limits: Type.Record(Type.String(), Type.Integer()),
    memory: Type.Object(
      {
        budget: Type.Integer({ description: 'The memory budget of the server (--memory).' }),
        bodies: MemoryUse,
        appends: MemoryUse,
        reads: MemoryUse,
        largeReads: MemoryUse
      },
      { description: 'Memory that requests use now, in bytes, on top of the idle process.' }
    ),
    links: Type.Record(Type.String(), Type.String())
  },
  { $id: 'Info' }
)

export const Health = Type.Object(
  {
    status: Type.String(),
    reason: Type.Optional(Type.String()),
    clock: Type.Optional(
      Type.Object(
        {
          behindSeconds: Type.Optional(
            Type.Number({
              description:
                'Seconds by which the clock is behind the last event. New events get the time of that event until the clock has passed it.'
            })
          ),
          jumpSeconds: Type.Optional(
            Type.Number({
              description:
                "Seconds by which the machine's clock jumped, as long as the server does not accept the jump. Negative: back in time."
            })
          ),
          detail: Type.String()
        },
        { description: 'What is wrong with the clock; absent when the clock is right.' }
      )
    )
  },
  { $id: 'Health' }
)
