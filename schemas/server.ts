/** Information about the server, and its health. */
import { Type } from 'typebox'

const MemoryUse = Type.Object({
  used: Type.Integer(),
  limit: Type.Integer({ description: 'Bytes that all requests may hold together.' }),
  waiting: Type.Integer({ description: 'Requests that wait for room.' })
})

export const Info = Type.Object(
  {
    name: Type.String(),
    version: Type.String(),
    log: Type.Union([Type.String(), Type.Null()], {
      description: "The log's identity; null while it is being opened."
    }),
    ancestors: Type.Array(
      Type.Object({
        log: Type.String(),
        upTo: Type.Integer({ description: 'The last position that it shares with this log; -1: none.' })
      }),
      {
        description:
          'The identities that the log had before it lost its end, oldest first. Told to those who may read events.'
      }
    ),
    head: Type.Union([Type.Integer(), Type.Null()], {
      description: 'Position of the last event. Told to those who may read events; null to others.'
    }),
    esVersion: Type.String({ description: 'The version of EventStoreDB whose HTTP API is spoken here.' }),
    state: Type.String({ description: 'A single node is always the leader.' }),
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
      { description: 'Bytes of the memory budget that requests hold now, above the idle process.' }
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
                'Seconds by which the clock is behind the last event. Until it has passed that event, new events get its time.'
            })
          ),
          jumpSeconds: Type.Optional(
            Type.Number({
              description: "Seconds of a jump of the machine's clock that is not believed yet; negative: back in time."
            })
          ),
          detail: Type.String()
        },
        { description: 'What is wrong with the clock; absent when nothing is.' }
      )
    )
  },
  { $id: 'Health' }
)
