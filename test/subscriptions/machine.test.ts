import t from 'tap'
import { limits } from '../../src/limits.js'
import type { ReadResult } from '../../src/reading/event-read.js'
import { Machine, type MachineOptions, type Status } from '../../src/subscriptions/machine.js'
import { type Light, lightEvent, lightSpan } from '../helpers/live-events.js'
import { Story } from '../helpers/live-story.js'
import { seeded } from '../helpers/random.js'
import { scaled } from '../helpers/scale.js'

// --------------------------------------------------------------------------------------------------- the table

type Step = (machine: Machine) => void

const begin: Step = (machine) => machine.begin()
const caughtUp: Step = (machine) => machine.caughtUp()
const blocked: Step = (machine) => machine.blocked()
const drained: Step = (machine) => machine.drained()
const sendCheckpoint: Step = (machine) => machine.sendCheckpoint()
const untilReached: Step = (machine) => machine.untilReached()
const onPage =
  (from: number, to: number, cursors: number[], light?: Light): Step =>
  (machine) =>
    machine.onPage(lightSpan(from, to, cursors, light))
const offered =
  (from: number, to: number, cursors: number[], light?: Light): Step =>
  (machine) =>
    machine.offered(lightSpan(from, to, cursors, light))
const grant =
  (events: number): Step =>
  (machine) =>
    machine.grant(events)
const acknowledged =
  (cursor: number): Step =>
  (machine) =>
    machine.acknowledged(cursor)
const rewind =
  (cursor: number): Step =>
  (machine) =>
    machine.rewind(cursor)

/** A page whose events from cursor 4 on were committed after 100. */
const inTimeUntil100 = (from: number, to: number): Step => {
  const events = Array.from({ length: to - from + 1 }, (_, i) =>
    lightEvent(from + i, { created: from + i < 4 ? 100 : 101 })
  )
  return (machine) => (machine.status === 'live' ? machine.offered : machine.onPage).call(machine, { from, to, events })
}

interface Row {
  /** The promise. */
  readonly name: string
  readonly options?: Partial<MachineOptions>
  /** The connection is blocked after this cursor was sent. */
  readonly blocksAt?: number
  /** Inputs of the machine, each with the expected effects. `send … +`: the array is shared. */
  readonly steps: readonly (readonly [Step, ...string[]])[]
  readonly end: { readonly status: Status; readonly next: number; readonly done: number; readonly settled?: number }
}

const live = (head: number): Row['steps'] => [
  [begin, 'read'],
  [onPage(0, head, [0]), 'send 0', 'read'],
  [caughtUp, `caughtUp ${head}`]
]

/** Live, with the only event that the credit allows already sent. */
const spent: Row['steps'] = [
  [begin, 'read'],
  [caughtUp, 'caughtUp -1'],
  [offered(0, 0, [0]), 'send 0 +']
]

const rows: Row[] = [
  {
    name: 'a subscription reads the backlog first, then follows the tail',
    steps: [
      [begin, 'read'],
      [onPage(0, 1, [0, 1]), 'send 0 1', 'read'],
      [onPage(2, 2, [2]), 'send 2', 'read'],
      [caughtUp, 'caughtUp 2'],
      [offered(3, 4, [3, 4]), 'send 3 4 +']
    ],
    end: { status: 'live', next: 5, done: 4 }
  },
  {
    name: 'a subscription without a backlog is live at once',
    steps: [
      [begin, 'read'],
      [caughtUp, 'caughtUp -1'],
      [offered(0, 0, [0]), 'send 0 +']
    ],
    end: { status: 'live', next: 1, done: 0 }
  },
  {
    name: 'a subscription starts at its first cursor and ignores earlier events',
    options: { next: 10 },
    steps: [
      [begin, 'read'],
      [caughtUp, 'caughtUp 9'],
      [offered(8, 11, [8, 9, 10, 11]), 'send 10 11 +']
    ],
    end: { status: 'live', next: 12, done: 11 }
  },
  // ------------------------------------------------------------------------------- from the last page to going live
  {
    name: 'an event offered before the subscription is live and again in the first live page is sent once',
    steps: [
      [begin, 'read'],
      [onPage(0, 3, [0, 1, 2, 3]), 'send 0 1 2 3', 'read'],
      [offered(3, 4, [3, 4])],
      [onPage(4, 4, [4]), 'send 4', 'read'],
      [caughtUp, 'caughtUp 4'],
      [offered(3, 5, [3, 4, 5]), 'send 5 +']
    ],
    end: { status: 'live', next: 6, done: 5 }
  },
  {
    name: 'an event offered between the last page and going live is read before later events are sent',
    steps: [
      [begin, 'read'],
      [onPage(0, 3, [0, 1, 2, 3]), 'send 0 1 2 3', 'read'],
      [offered(4, 4, [4])],
      [caughtUp, 'caughtUp 3'],
      [offered(5, 5, [5]), 'read'],
      [onPage(4, 5, [4, 5]), 'send 4 5', 'read'],
      [caughtUp, 'caughtUp 5'],
      [offered(6, 6, [6]), 'send 6 +']
    ],
    end: { status: 'live', next: 7, done: 6 }
  },
  {
    name: 'pages already examined are ignored',
    steps: [...live(5), [offered(0, 5, [0, 1, 5])], [offered(2, 3, [2])], [offered(6, 6, [6]), 'send 6 +']],
    end: { status: 'live', next: 7, done: 6 }
  },
  {
    name: 'an empty page after a gap starts catching up: the missing events are read',
    steps: [
      ...live(5),
      [offered(8, 7, []), 'read'],
      [offered(8, 8, [8])],
      [onPage(6, 8, [6, 8]), 'send 6 8', 'read'],
      [caughtUp, 'caughtUp 8']
    ],
    end: { status: 'live', next: 9, done: 8 }
  },
  {
    name: 'a gap after waiting events is read when those are sent',
    options: { credit: 1 },
    steps: [
      ...spent,
      [offered(1, 2, [1, 2])],
      [offered(4, 4, [4])],
      [caughtUp],
      [grant(1), 'send 1 +'],
      [grant(2), 'send 2 +', 'read'],
      [onPage(3, 4, [4]), 'send 4']
    ],
    end: { status: 'catching-up', next: 5, done: 4 }
  },
  {
    name: 'a page read at another cursor is ignored',
    steps: [
      [begin, 'read'],
      [onPage(5, 6, [5, 6])],
      [onPage(0, 6, [1, 6]), 'send 1 6', 'read'],
      [onPage(0, 6, [1, 6])]
    ],
    end: { status: 'catching-up', next: 7, done: 6 }
  },
  {
    name: 'a page read before going live is ignored afterwards',
    steps: [...live(0), [onPage(1, 1, [1])]],
    end: { status: 'live', next: 1, done: 0 }
  },
  // ---------------------------------------------------------------------------------------------------- checkpoints
  {
    name: 'a checkpoint while catching up does not change the read position',
    steps: [
      [begin, 'read'],
      [onPage(0, 99, []), 'read'],
      [sendCheckpoint, 'checkpoint 99'],
      [sendCheckpoint],
      [onPage(100, 199, [100]), 'send 100', 'read'],
      [sendCheckpoint, 'checkpoint 199'],
      [onPage(200, 201, [200, 201]), 'send 200 201', 'read']
    ],
    end: { status: 'catching-up', next: 202, done: 201 }
  },
  {
    name: 'a checkpoint with waiting events is before the first of them',
    options: { credit: 0 },
    steps: [
      [begin],
      [grant(1), 'read'],
      [onPage(0, 50, [10, 20, 30]), 'send 10'],
      [sendCheckpoint, 'checkpoint 19'],
      [sendCheckpoint],
      [grant(1), 'send 20'],
      [sendCheckpoint, 'checkpoint 29'],
      [grant(5), 'send 30', 'read'],
      [sendCheckpoint, 'checkpoint 50']
    ],
    end: { status: 'catching-up', next: 51, done: 50 }
  },
  {
    name: 'a checkpoint is sent after every `checkpointEvery` excluded events',
    options: { checkpointEvery: 10 },
    steps: [
      [begin, 'read'],
      [onPage(0, 8, []), 'read'],
      [onPage(9, 9, []), 'read', 'checkpoint 9'],
      [onPage(10, 18, []), 'read'],
      [onPage(19, 30, [25]), 'send 25', 'read'],
      [caughtUp, 'caughtUp 30'],
      [offered(31, 39, [])],
      [offered(40, 40, []), 'checkpoint 40']
    ],
    end: { status: 'live', next: 41, done: 40 }
  },
  {
    name: 'a checkpoint is not sent for a cursor that an event or `caughtUp` has already reported',
    steps: [
      [begin, 'read'],
      [onPage(0, 3, [3]), 'send 3', 'read'],
      [sendCheckpoint],
      [onPage(4, 5, []), 'read'],
      [caughtUp, 'caughtUp 5'],
      [sendCheckpoint]
    ],
    end: { status: 'live', next: 6, done: 5 }
  },
  {
    name: 'excluded live events advance the checkpoint',
    steps: [...live(0), [offered(1, 7, [])], [sendCheckpoint, 'checkpoint 7']],
    end: { status: 'live', next: 8, done: 7 }
  },
  // --------------------------------------------------------------------- credit, window, and a full connection
  {
    name: 'without credit nothing is read, and no more events than granted are sent',
    options: { credit: 0 },
    steps: [
      [begin],
      [grant(2), 'read'],
      [onPage(0, 4, [0, 1, 2, 3, 4]), 'send 0 1'],
      [grant(1), 'send 2'],
      [grant(2), 'send 3 4'],
      [grant(1), 'read'],
      [caughtUp, 'caughtUp 4'],
      [offered(5, 6, [5, 6]), 'send 5 +'],
      [grant(3), 'send 6 +']
    ],
    end: { status: 'live', next: 7, done: 6 }
  },
  {
    name: 'at most a window of events is in flight, and acknowledgements make room',
    options: { window: 2 },
    steps: [
      [begin, 'read'],
      [onPage(0, 9, [0, 3, 6, 9]), 'send 0 3'],
      [acknowledged(0), 'send 6'],
      [acknowledged(0)],
      [acknowledged(6), 'send 9', 'read'],
      [caughtUp, 'caughtUp 9']
    ],
    end: { status: 'live', next: 10, done: 9, settled: 8 }
  },
  {
    name: 'an acknowledgement covers all earlier events and the excluded events after it',
    options: { window: 5 },
    steps: [
      [begin, 'read'],
      [onPage(0, 20, [0, 3, 6]), 'send 0 3 6', 'read'],
      [acknowledged(4), 'read'],
      [acknowledged(6), 'read'],
      [onPage(21, 30, []), 'read']
    ],
    end: { status: 'catching-up', next: 31, done: 30, settled: 30 }
  },
  {
    name: 'events in flight hold back the settled cursor, but not the checkpoint',
    options: { window: 5 },
    steps: [
      [begin, 'read'],
      [onPage(0, 20, [5, 6]), 'send 5 6', 'read'],
      [sendCheckpoint, 'checkpoint 20']
    ],
    end: { status: 'catching-up', next: 21, done: 20, settled: 4 }
  },
  {
    name: 'a blocked connection gets nothing until it has drained',
    blocksAt: 1,
    steps: [
      [begin, 'read'],
      [onPage(0, 1, [0, 1]), 'send 0 1'],
      [grant(1)],
      [drained, 'read'],
      [onPage(2, 3, [2, 3]), 'send 2 3', 'read'],
      [caughtUp, 'caughtUp 3'],
      [blocked],
      [offered(4, 4, [4])],
      [offered(5, 6, [6])],
      [drained, 'send 4 6 +']
    ],
    end: { status: 'live', next: 7, done: 6 }
  },
  {
    name: 'a drained connection with a full window gets nothing',
    options: { window: 1 },
    blocksAt: 0,
    steps: [
      [begin, 'read'],
      [onPage(0, 1, [0, 1]), 'send 0'],
      [drained],
      [acknowledged(0), 'send 1'],
      [acknowledged(1), 'read']
    ],
    end: { status: 'catching-up', next: 2, done: 1 }
  },
  // ------------------------------------------------------------------------------------------- falling behind
  {
    name: 'a subscription with too many live events falls behind and reads them again, once each',
    options: { credit: 1, liveBuffer: 2 },
    steps: [
      ...spent,
      [offered(1, 2, [1, 2])],
      [offered(3, 5, [4]), 'fellBehind 0'],
      [offered(6, 6, [6])],
      [grant(9), 'read'],
      [offered(7, 7, [7])],
      [onPage(1, 7, [1, 2, 4, 6, 7]), 'send 1 2 4 6 7', 'read'],
      [caughtUp, 'caughtUp 7'],
      [offered(8, 8, [8]), 'send 8 +']
    ],
    end: { status: 'live', next: 9, done: 8 }
  },
  {
    name: 'a few large live events also exceed the buffer',
    options: { liveBuffer: 500 },
    steps: [
      ...live(0),
      [blocked],
      [offered(1, 1, [1], { bytes: limits.live_buffer_bytes_max })],
      [offered(2, 3, [3], { bytes: 1 }), 'fellBehind 0'],
      [drained, 'read'],
      [onPage(1, 3, [1, 3]), 'send 1 3', 'read']
    ],
    end: { status: 'catching-up', next: 4, done: 3 }
  },
  {
    name: 'a subscription falls behind at the first event that was not sent',
    options: { credit: 2, liveBuffer: 2 },
    steps: [
      ...live(0),
      [offered(1, 4, [1, 3, 4]), 'send 1 +'],
      [offered(5, 5, [5]), 'fellBehind 2'],
      [grant(4), 'read'],
      [onPage(3, 5, [3, 4, 5]), 'send 3 4 5', 'read']
    ],
    end: { status: 'catching-up', next: 6, done: 5 }
  },
  {
    name: 'a tail page may exceed the live buffer if all of it can be sent',
    options: { liveBuffer: 2 },
    steps: [...live(0), [offered(1, 4, [1, 2, 3, 4]), 'send 1 2 3 4 +']],
    end: { status: 'live', next: 5, done: 4 }
  },
  {
    name: 'a page read while catching up may exceed the live buffer',
    options: { credit: 1, liveBuffer: 2 },
    steps: [
      [begin, 'read'],
      [onPage(0, 5, [0, 1, 2, 3, 4, 5]), 'send 0'],
      [grant(5), 'send 1 2 3 4 5']
    ],
    end: { status: 'catching-up', next: 6, done: 5 }
  },
  // ------------------------------------------------------------------------------------------- where it ends
  {
    name: 'a subscription completes at its last cursor, even if the log has more events',
    options: { last: 3 },
    steps: [
      [begin, 'read'],
      [onPage(0, 9, [0, 3, 4, 9]), 'send 0 3', 'complete 3'],
      [onPage(10, 10, [10])],
      [rewind(0)],
      [grant(1)],
      [untilReached]
    ],
    end: { status: 'complete', next: 4, done: 3 }
  },
  {
    name: 'the last cursor completes a live subscription even if the event there does not match',
    options: { last: 7 },
    steps: [...live(5), [offered(6, 6, [6]), 'send 6 +'], [offered(7, 8, [8]), 'complete 7'], [offered(9, 9, [9])]],
    end: { status: 'complete', next: 8, done: 7 }
  },
  {
    name: 'a last cursor before the first completes the subscription before any read',
    options: { next: 5, last: 4 },
    steps: [[begin, 'complete 4']],
    end: { status: 'complete', next: 5, done: 4 }
  },
  {
    name: 'a subscription completes when the last event is sent, not when it is read',
    options: { last: 2, credit: 1 },
    steps: [
      [begin, 'read'],
      [onPage(0, 2, [0, 1, 2]), 'send 0'],
      [grant(1), 'send 1'],
      [grant(1), 'send 2', 'complete 2']
    ],
    end: { status: 'complete', next: 3, done: 2 }
  },
  {
    name: 'no checkpoint follows completion',
    options: { last: 9, checkpointEvery: 5 },
    steps: [[begin, 'read'], [onPage(0, 20, []), 'complete 9'], [sendCheckpoint]],
    end: { status: 'complete', next: 10, done: 9 }
  },
  {
    name: 'a subscription completes at the event that reaches its limit, and later events are not done',
    options: { limit: 2, checkpointEvery: 5 },
    steps: [[begin, 'read'], [onPage(0, 9, [0, 4, 8]), 'send 0 4', 'complete 4'], [sendCheckpoint]],
    end: { status: 'complete', next: 5, done: 4 }
  },
  {
    name: 'a limit counts events of the backlog and of the tail together',
    options: { limit: 3 },
    steps: [...live(5), [offered(6, 9, [6, 7, 8, 9]), 'send 6 7 +', 'complete 7']],
    end: { status: 'complete', next: 8, done: 7 }
  },
  {
    name: 'a limit of 0 completes before any read',
    options: { limit: 0 },
    steps: [[begin, 'complete -1']],
    end: { status: 'complete', next: 0, done: -1 }
  },
  {
    name: 'the first event committed after `until` completes the subscription before that event',
    options: { until: 100 },
    steps: [
      [begin, 'read'],
      [inTimeUntil100(0, 1), 'send 0 1', 'read'],
      [inTimeUntil100(2, 6), 'send 2 3', 'complete 3']
    ],
    end: { status: 'complete', next: 4, done: 3 }
  },
  {
    name: 'when `until` has passed, the subscription completes after the waiting events are sent',
    options: { until: 100, credit: 1 },
    steps: [...spent, [offered(1, 2, [2], { created: 100 })], [untilReached], [grant(1), 'send 2 +', 'complete 2']],
    end: { status: 'complete', next: 3, done: 2 }
  },
  {
    name: 'after falling behind, events before `until` are read again, even though a later one was seen',
    options: { until: 100, credit: 1, liveBuffer: 2 },
    steps: [
      ...spent,
      [inTimeUntil100(1, 4), 'fellBehind 0'],
      [grant(9), 'read'],
      [inTimeUntil100(1, 4), 'send 1 2 3', 'complete 3']
    ],
    end: { status: 'complete', next: 4, done: 3 }
  },
  {
    name: 'after a rewind, events before `until` are sent again, even though a later one was seen',
    options: { until: 100, window: 2 },
    steps: [
      [begin, 'read'],
      [inTimeUntil100(0, 6), 'send 0 1'],
      [rewind(-1), 'read'],
      [inTimeUntil100(0, 6), 'send 0 1'],
      [acknowledged(1), 'send 2 3', 'complete 3']
    ],
    end: { status: 'complete', next: 4, done: 3, settled: 1 }
  },
  // -------------------------------------------------------------------------------------------------- once more
  {
    name: 'a rewind sends all events after the cursor again, and none before',
    options: { window: 9 },
    steps: [
      [begin, 'read'],
      [onPage(0, 4, [0, 1, 2, 3, 4]), 'send 0 1 2 3 4', 'read'],
      [acknowledged(1), 'read'],
      [caughtUp, 'caughtUp 4'],
      [rewind(1), 'read'],
      [onPage(5, 5, [5])],
      [offered(5, 5, [5])],
      [onPage(2, 5, [2, 3, 4, 5]), 'send 2 3 4 5', 'read'],
      [caughtUp, 'caughtUp 5'],
      [offered(6, 6, [6]), 'send 6 +']
    ],
    end: { status: 'live', next: 7, done: 6, settled: 1 }
  },
  {
    name: 'a rewind empties the window, and waiting events follow in order',
    options: { window: 2 },
    steps: [
      [begin, 'read'],
      [onPage(0, 3, [0, 1, 2, 3]), 'send 0 1'],
      [rewind(-1), 'read'],
      [onPage(0, 3, [0, 1, 2, 3]), 'send 0 1'],
      [acknowledged(1), 'send 2 3']
    ],
    end: { status: 'catching-up', next: 4, done: 3, settled: 1 }
  },
  {
    name: 'a rewind of a blocked connection reads after it has drained',
    options: { window: 9 },
    blocksAt: 1,
    steps: [
      [begin, 'read'],
      [onPage(0, 1, [0, 1]), 'send 0 1'],
      [rewind(-1)],
      [drained, 'read'],
      [onPage(0, 0, [0]), 'send 0', 'read']
    ],
    end: { status: 'catching-up', next: 1, done: 0, settled: -1 }
  }
]

t.test('the transitions of the state machine', (t) => {
  for (const { name, options, blocksAt, steps, end } of rows) {
    t.test(name, (t) => {
      const effects: string[] = []
      const machine = new Machine(
        {
          send(events, shared) {
            effects.push(`send ${cursorsOf(events).join(' ')}${shared ? ' +' : ''}`)
            if (events.at(-1)?.cursor === blocksAt) machine.blocked()
          },
          caughtUp: (cursor) => effects.push(`caughtUp ${cursor}`),
          fellBehind: (cursor) => effects.push(`fellBehind ${cursor}`),
          checkpoint: (cursor) => effects.push(`checkpoint ${cursor}`),
          read: () => effects.push('read'),
          complete: (cursor) => effects.push(`complete ${cursor}`)
        },
        { next: 0, ...options }
      )
      for (const [i, [step, ...wanted]] of steps.entries()) {
        step(machine)
        t.same(effects.splice(0), wanted, `step ${i + 1}`)
      }
      const { status, next, done, settled } = machine
      t.same({ status, next, done, settled }, { settled: end.done, ...end }, 'the state at the end')
      t.end()
    })
  }
  t.end()
})

t.test('under random inputs, every matching event is sent once and in order', async (t) => {
  const random = seeded(t)
  for (let run = 0; run < scaled(300); run++) {
    const story = new Story(random)
    for (let step = 0; step < 200; step++) story.step()
    story.finish()
    if (story.wrong !== undefined) return t.fail(`run ${run}: ${story.wrong}`)
    t.same(story.sent, story.matching, `run ${run}`)
  }
})

function cursorsOf(events: readonly ReadResult[]): number[] {
  return events.map(({ cursor }) => cursor)
}
