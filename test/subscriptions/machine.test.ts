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
const tellCheckpoint: Step = (machine) => machine.tellCheckpoint()
const timeIsOver: Step = (machine) => machine.timeIsOver()
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

/** Events of which those from the fourth on came late. */
const inTimeUntil100 = (from: number, to: number): Step => {
  const events = Array.from({ length: to - from + 1 }, (_, i) =>
    lightEvent(from + i, { created: from + i < 4 ? 100 : 101 })
  )
  return (machine) => (machine.status === 'live' ? machine.offered : machine.onPage).call(machine, { from, to, events })
}

interface Row {
  /** What holds. */
  readonly name: string
  readonly options?: Partial<MachineOptions>
  /** The connection takes nothing more once this cursor was sent. */
  readonly blocksAt?: number
  /** What is told to the machine, and what it asks for then. `send … +` is what others get too. */
  readonly steps: readonly (readonly [Step, ...string[]])[]
  readonly end: { readonly status: Status; readonly next: number; readonly done: number; readonly settled?: number }
}

const live = (head: number): Row['steps'] => [
  [begin, 'read'],
  [onPage(0, head, [0]), 'send 0', 'read'],
  [caughtUp, `caughtUp ${head}`]
]

/** It follows, and the one event that it may send was sent. */
const spent: Row['steps'] = [
  [begin, 'read'],
  [caughtUp, 'caughtUp -1'],
  [offered(0, 0, [0]), 'send 0 +']
]

const rows: Row[] = [
  {
    name: 'it reads first, and follows when it has read all there is',
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
    name: 'with nothing to read it is live at once',
    steps: [
      [begin, 'read'],
      [caughtUp, 'caughtUp -1'],
      [offered(0, 0, [0]), 'send 0 +']
    ],
    end: { status: 'live', next: 1, done: 0 }
  },
  {
    name: 'it begins where it was told to, and what comes before is not for it',
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
    name: 'an event offered before it went live and again with the first live page is sent once',
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
    name: 'an event offered between the last page and going live, to nobody yet, is read before what follows it',
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
    name: 'pages of the past are passed over',
    steps: [...live(5), [offered(0, 5, [0, 1, 5])], [offered(2, 3, [2])], [offered(6, 6, [6]), 'send 6 +']],
    end: { status: 'live', next: 7, done: 6 }
  },
  {
    name: 'an empty page after a gap sends it back to reading: what could not be offered is read',
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
    name: 'a gap behind events that wait is read when those were sent',
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
    name: 'what was read of another place is passed over',
    steps: [
      [begin, 'read'],
      [onPage(5, 6, [5, 6])],
      [onPage(0, 6, [1, 6]), 'send 1 6', 'read'],
      [onPage(0, 6, [1, 6])]
    ],
    end: { status: 'catching-up', next: 7, done: 6 }
  },
  {
    name: 'what was read before it went live is not taken after',
    steps: [...live(0), [onPage(1, 1, [1])]],
    end: { status: 'live', next: 1, done: 0 }
  },
  // ---------------------------------------------------------------------------------------------------- checkpoints
  {
    name: 'a checkpoint that comes due while it catches up skips nothing: the next page is read where it was',
    steps: [
      [begin, 'read'],
      [onPage(0, 99, []), 'read'],
      [tellCheckpoint, 'checkpoint 99'],
      [tellCheckpoint],
      [onPage(100, 199, [100]), 'send 100', 'read'],
      [tellCheckpoint, 'checkpoint 199'],
      [onPage(200, 201, [200, 201]), 'send 200 201', 'read']
    ],
    end: { status: 'catching-up', next: 202, done: 201 }
  },
  {
    name: 'a checkpoint that comes due with events waiting stops before the first of them',
    options: { credit: 0 },
    steps: [
      [begin],
      [grant(1), 'read'],
      [onPage(0, 50, [10, 20, 30]), 'send 10'],
      [tellCheckpoint, 'checkpoint 19'],
      [tellCheckpoint],
      [grant(1), 'send 20'],
      [tellCheckpoint, 'checkpoint 29'],
      [grant(5), 'send 30', 'read'],
      [tellCheckpoint, 'checkpoint 50']
    ],
    end: { status: 'catching-up', next: 51, done: 50 }
  },
  {
    name: 'passed over so many events, it says how far it is, and only then',
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
    name: 'what a reader knows from an event it got, or from being caught up, is not told once more',
    steps: [
      [begin, 'read'],
      [onPage(0, 3, [3]), 'send 3', 'read'],
      [tellCheckpoint],
      [onPage(4, 5, []), 'read'],
      [caughtUp, 'caughtUp 5'],
      [tellCheckpoint]
    ],
    end: { status: 'live', next: 6, done: 5 }
  },
  {
    name: 'live, what the filter left out moves the checkpoint',
    steps: [...live(0), [offered(1, 7, [])], [tellCheckpoint, 'checkpoint 7']],
    end: { status: 'live', next: 8, done: 7 }
  },
  // --------------------------------------------------------------------- credit, window, and a full connection
  {
    name: 'without credit it reads nothing; what is granted is sent, and no more',
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
    name: 'as many as the window holds are in flight, and acknowledgements make room',
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
    name: 'an acknowledgement counts for all that was sent before it, and for what was left out after it',
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
    name: 'what is in flight holds back what counts as dealt with, not the checkpoint of what was sent',
    options: { window: 5 },
    steps: [
      [begin, 'read'],
      [onPage(0, 20, [5, 6]), 'send 5 6', 'read'],
      [tellCheckpoint, 'checkpoint 20']
    ],
    end: { status: 'catching-up', next: 21, done: 20, settled: 4 }
  },
  {
    name: 'a connection that takes no more gets no more until it has drained',
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
    name: 'drained, but with its window full, it stands still',
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
    name: 'more live events than it keeps, and it falls behind: they are read again, none lost and none twice',
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
    name: 'few live events that are large are more than it keeps, too',
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
    name: 'having sent some of what waited, it falls behind at the first that was not sent',
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
    name: 'one page of the tail may hold more than it keeps, when all of it can be sent',
    options: { liveBuffer: 2 },
    steps: [...live(0), [offered(1, 4, [1, 2, 3, 4]), 'send 1 2 3 4 +']],
    end: { status: 'live', next: 5, done: 4 }
  },
  {
    name: 'catching up, a page that was read may be larger than what it keeps of live events',
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
    name: 'after the last cursor that is for it, it is complete there, though the log goes on',
    options: { last: 3 },
    steps: [
      [begin, 'read'],
      [onPage(0, 9, [0, 3, 4, 9]), 'send 0 3', 'complete 3'],
      [onPage(10, 10, [10])],
      [rewind(0)],
      [grant(1)],
      [timeIsOver]
    ],
    end: { status: 'complete', next: 4, done: 3 }
  },
  {
    name: 'live, the last cursor completes it also when no event stands there',
    options: { last: 7 },
    steps: [...live(5), [offered(6, 6, [6]), 'send 6 +'], [offered(7, 8, [8]), 'complete 7'], [offered(9, 9, [9])]],
    end: { status: 'complete', next: 8, done: 7 }
  },
  {
    name: 'a last cursor that lies behind it completes it before anything is read',
    options: { next: 5, last: 4 },
    steps: [[begin, 'complete 4']],
    end: { status: 'complete', next: 5, done: 4 }
  },
  {
    name: 'it is complete when the last event was sent, not when it was read',
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
    name: 'completed, it says nothing more: no checkpoint follows',
    options: { last: 9, checkpointEvery: 5 },
    steps: [[begin, 'read'], [onPage(0, 20, []), 'complete 9'], [tellCheckpoint]],
    end: { status: 'complete', next: 10, done: 9 }
  },
  {
    name: 'after as many events as it may send it is complete at the last of them, and what follows was not dealt with',
    options: { limit: 2, checkpointEvery: 5 },
    steps: [[begin, 'read'], [onPage(0, 9, [0, 4, 8]), 'send 0 4', 'complete 4'], [tellCheckpoint]],
    end: { status: 'complete', next: 5, done: 4 }
  },
  {
    name: 'a limit is counted over reading and following',
    options: { limit: 3 },
    steps: [...live(5), [offered(6, 9, [6, 7, 8, 9]), 'send 6 7 +', 'complete 7']],
    end: { status: 'complete', next: 8, done: 7 }
  },
  {
    name: 'a limit of none is complete before anything is read',
    options: { limit: 0 },
    steps: [[begin, 'complete -1']],
    end: { status: 'complete', next: 0, done: -1 }
  },
  {
    name: 'the first event that was committed too late completes it before that event',
    options: { until: 100 },
    steps: [
      [begin, 'read'],
      [inTimeUntil100(0, 1), 'send 0 1', 'read'],
      [inTimeUntil100(2, 6), 'send 2 3', 'complete 3']
    ],
    end: { status: 'complete', next: 4, done: 3 }
  },
  {
    name: 'when its time is over it is complete where it is, once all that waits was sent',
    options: { until: 100, credit: 1 },
    steps: [...spent, [offered(1, 2, [2], { created: 100 })], [timeIsOver], [grant(1), 'send 2 +', 'complete 2']],
    end: { status: 'complete', next: 3, done: 2 }
  },
  {
    name: 'events in time that it could not keep are read again, though one that was late has been seen',
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
    name: 'what is sent once more is sent, though one that was late has been seen',
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
    name: 'after a rewind everything after the cursor is sent once more, and nothing before',
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
    name: 'a rewind empties the window, and what waited comes in its turn',
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
    name: 'a rewind of a connection that takes no more reads when it has drained',
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

t.test("the state machine's transitions", (t) => {
  for (const { name, options, blocksAt, steps, end } of rows) {
    t.test(name, (t) => {
      const asked: string[] = []
      const machine = new Machine(
        {
          send(events, shared) {
            asked.push(`send ${cursorsOf(events).join(' ')}${shared ? ' +' : ''}`)
            if (events.at(-1)?.cursor === blocksAt) machine.blocked()
          },
          caughtUp: (cursor) => asked.push(`caughtUp ${cursor}`),
          fellBehind: (cursor) => asked.push(`fellBehind ${cursor}`),
          checkpoint: (cursor) => asked.push(`checkpoint ${cursor}`),
          read: () => asked.push('read'),
          complete: (cursor) => asked.push(`complete ${cursor}`)
        },
        { next: 0, ...options }
      )
      for (const [i, [step, ...wanted]] of steps.entries()) {
        step(machine)
        t.same(asked.splice(0), wanted, `step ${i + 1}`)
      }
      const { status, next, done, settled } = machine
      t.same({ status, next, done, settled }, { settled: end.done, ...end }, 'where it stands at the end')
      t.end()
    })
  }
  t.end()
})

t.test('whatever comes in whatever order, every event that matches is sent once and in order', async (t) => {
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
