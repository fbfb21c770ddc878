/**
 * Conditions on events are decided by the events visible in the append's turn, even if visibility changed after the
 * search.
 */
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import type { Store } from '../../src/store/store.js'
import type { NewEvent } from '../../src/streams/new-event.js'
import { EventSearch } from '../../src/writing/event-search.js'
import { append, ask, openApp } from '../helpers/app.js'
import { encodeEvent } from '../helpers/events.js'
import { admin, type Credentials, makeUser, setRules } from '../helpers/people.js'
import { seeded } from '../helpers/random.js'

/** Holds every early search after it has its result, while `between` has work to do. */
class Looks {
  made = 0
  /** Run after each search, before its append is queued. */
  between: () => Promise<unknown> | undefined = () => undefined

  constructor(t: Test) {
    const { ahead } = EventSearch.prototype
    t.teardown(() => Object.assign(EventSearch.prototype, { ahead }))
    const looks = this
    EventSearch.prototype.ahead = async function (...asked) {
      const found = await ahead.call(this, ...asked)
      looks.made++
      await looks.between()
      return found
    }
  }

  /** Runs the work after the first search only. */
  afterTheFirst(work: () => Promise<unknown> | undefined): void {
    this.made = 0
    this.between = () => (this.made === 1 ? work() : undefined)
  }
}

async function decide(app: FastifyInstance, who: Credentials | Record<string, never> = {}) {
  const conditions = [{ failIfEventsMatch: { items: [{ tags: ['x'] }] } }]
  const answer = await ask(app, 'POST /events', who, { events: [{ stream: 'new', type: 'Decided' }], conditions })
  return { status: answer.statusCode, ...answer.json() }
}

const metadataOf = (stream: string, document: object): NewEvent =>
  encodeEvent(`$$${stream}`, { type: '$metadata', data: document })
const write = (store: Store, ...events: NewEvent[]) => store.writer.append({ events, conditions: [], kind: 'append' })

/** Metadata that hides the event of a stream, and metadata that shows it again. */
const SHOWN: [what: string, hide: object, show: object][] = [
  ['a removed truncation', { $tb: 1 }, {}],
  ['a lower truncation', { $tb: 2, $maxCount: 9 }, { $tb: 0, $maxCount: 9 }],
  ['an undone delete', { $tb: 9223372036854775000 }, { own: 1 }],
  ['a removed maximum age', { $maxAge: 1 }, { $tb: 0 }],
  ['a longer maximum age', { $maxAge: 1 }, { $maxAge: 1_000_000_000 }],
  ['a higher maximum count', { $maxCount: 1 }, { $maxCount: 2 }]
]

for (const [what, hide, show] of SHOWN) {
  for (const together of [false, true]) {
    const when = together ? 'in the same commit' : 'between search and turn'
    t.test(`an event that ${what} shows again ${when} refuses the append`, async (t) => {
      let now = Date.now()
      const clock = { now: () => now, elapsed: () => performance.now(), after: () => () => {} }
      const { app, store } = await openApp(t, { clock })
      const looks = new Looks(t)
      await append(app, 'a', [{ type: 'T', tags: ['x'] }, { type: 'Other' }])
      now += 10_000
      await write(store, metadataOf('a', hide))
      t.match(await decide(app), { status: 201 }, 'the event is hidden')
      const { head } = store.log
      // Without waiting, the metadata is planned in the same commit, before the append.
      looks.afterTheFirst(() => {
        const written = write(store, metadataOf('a', show))
        return together ? undefined : written
      })
      t.match(await decide(app), { status: 412, code: 'events-match', failed: [{ position: 0, type: 'T' }] })
      t.equal(looks.made, 2, 'the log was searched once more')
      t.equal(store.log.head, head + 1, 'the append wrote nothing')
    })
  }
}

t.test('a change that shows no hidden events causes no second search', async (t) => {
  const { app, store } = await openApp(t)
  const looks = new Looks(t)
  await append(app, 'a', [{ type: 'T' }, { type: 'T' }, { type: 'T' }])
  await append(app, 'gone', { type: 'T' })
  await write(store, metadataOf('a', { $tb: 1 }))
  const changes: [string, () => Promise<unknown>][] = [
    ['a higher truncation', () => write(store, metadataOf('a', { $tb: 2 }))],
    ['an additional maximum count', () => write(store, metadataOf('a', { $tb: 2, $maxCount: 5 }))],
    ['a lower maximum count', () => write(store, metadataOf('a', { $tb: 2, $maxCount: 1 }))],
    ['an additional maximum age', () => write(store, metadataOf('a', { $tb: 2, $maxCount: 1, $maxAge: 1000 }))],
    ['metadata of another stream', () => write(store, metadataOf('b', { own: 1 }))],
    ['a delete', () => store.writer.delete({ kind: 'delete', stream: 'a', expected: 'any', permanent: false })],
    ['a tombstone', () => store.writer.delete({ kind: 'delete', stream: 'gone', expected: 'any', permanent: true })],
    ['a rule, where the author reads everything', () => setRules(app, 'b', { read: 'ann' })],
    ['an event', () => append(app, 'c', { type: 'T' })]
  ]
  for (const [what, change] of changes) {
    looks.afterTheFirst(change)
    t.match(await decide(app), { status: 201 }, what)
    t.equal(looks.made, 1, what)
  }
})

t.test('a matching event that is hidden before the append’s turn does not refuse the append', async (t) => {
  const { app, store } = await openApp(t)
  const looks = new Looks(t)
  await append(app, 'a', { type: 'T', tags: ['x'] })
  looks.afterTheFirst(() => write(store, metadataOf('a', { $tb: 1 })))
  t.match(await decide(app), { status: 201 })
  t.equal(looks.made, 1)
})

t.test('a matching event that the author may read by the append’s turn refuses the append', async (t) => {
  const settings = (data: object) => encodeEvent('$settings', { type: '$settings', data })
  const closed = { $userStreamAcl: { $r: '$admins' } }
  const rows: [what: string, hide: NewEvent, show: NewEvent][] = [
    ['a rule', metadataOf('a', { $acl: { $r: 'ann' } }), metadataOf('a', { $acl: { $r: ['ann', 'bob'] } })],
    ['a removed rule', metadataOf('a', { $acl: { $r: 'ann' } }), metadataOf('a', {})],
    ['the settings', settings(closed), settings({})],
    ['metadata of the settings', settings(closed), metadataOf('$settings', { $tb: 9 })]
  ]
  for (const [what, hide, show] of rows) {
    for (const together of [false, true]) {
      await t.test(`${what}, ${together ? 'in the same commit' : 'before'}`, async (t) => {
        const { app, store } = await openApp(t, { insecure: false })
        const bob = await makeUser(store, 'bob')
        const looks = new Looks(t)
        await append(app, 'a', { type: 'T', tags: ['x'] }, admin)
        const { head } = store.log
        await write(store, hide)
        t.match(await decide(app, bob), { status: 201 }, 'bob may not read the event')
        looks.afterTheFirst(() => {
          const written = write(store, show)
          return together ? undefined : written
        })
        t.match(await decide(app, bob), { status: 412, failed: [{ position: head }] })
        t.equal(looks.made, 2)
      })
    }
  }
})

t.test('an append is decided correctly, however often the visible events change', async (t) => {
  const { app, store } = await openApp(t)
  const looks = new Looks(t)
  await append(app, 'a', { type: 'T', tags: ['x'] })
  for (const [shown, answer] of [
    [true, { status: 412, failed: [{ position: 0 }] }],
    [false, { status: 201 }]
  ] as const) {
    for (const together of [false, true]) {
      await write(store, metadataOf('a', { $tb: 1 }))
      looks.made = 0
      looks.between = () => {
        // Show the event, and hide it again unless it must be visible at the end.
        const written = [write(store, metadataOf('a', {}))]
        if (!shown) written.push(write(store, metadataOf('a', { $tb: 1 })))
        return together ? undefined : Promise.all(written)
      }
      t.match(await decide(app), answer, `${shown ? 'shown' : 'hidden'}, ${together ? 'together' : 'before'}`)
      t.ok(looks.made <= 5, `${looks.made} searches`)
      looks.between = () => undefined
    }
  }
})

/** One record of the log, as the model knows it. */
interface Told {
  position: number
  stream: string
  number: number
  tag?: string
  /** The condition of the append: no visible event has this tag. */
  unless?: string | undefined
  /** For metadata: the events that it hides. */
  truncateBefore?: number
}

/** Returns the first visible event that should have refused an accepted append; undefined when there is none. */
function inTheWay(log: readonly Told[], { position, unless }: Told): Told | undefined {
  const before = log.filter((one) => one.position < position)
  const hidden = (stream: string) =>
    before.findLast((one) => one.stream === stream && one.truncateBefore !== undefined)?.truncateBefore ?? 0
  return before.find(({ tag, stream, number }) => tag === unless && number >= hidden(stream))
}

t.test('with metadata that hides and shows events, no condition overlooks a visible event', async (t) => {
  const random = seeded(t)
  const { store } = await openApp(t)
  const looks = new Looks(t)
  looks.between = async () => {
    for (let turns = random.int(0, 6); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve))
  }
  const log: Told[] = []
  let decided = 0
  let refused = 0
  const change = async () => {
    const stream = `s-${random.int(0, 2)}`
    const truncateBefore = random.pick([0, 1000, 1000, 1000])
    const [placed] = (await write(store, metadataOf(stream, { $tb: truncateBefore }))).events
    log.push({ position: placed?.position as number, stream, number: -1, truncateBefore })
  }
  const decide = async () => {
    const [stream, tag] = [`s-${random.int(0, 2)}`, random.pick(['p', 'q', 'r'])]
    const unless = random.chance(0.8) ? random.pick(['p', 'q', 'r']) : undefined
    const matches = unless === undefined ? undefined : [{ items: [{ types: [], tags: [unless] }], after: -1, index: 0 }]
    const events = [encodeEvent(stream, { tags: [tag] })]
    const [placed] = (await store.writer.append({ events, conditions: [], matches, kind: 'append' })).events
    const { position, number } = placed as { position: number; number: number }
    log.push({ position, stream, number, tag, unless })
    if (unless !== undefined) decided++
  }
  for (let round = 0; round < 120; round++) {
    const work = Array.from({ length: random.int(1, 10) }, () => (random.chance(0.5) ? change() : decide()))
    for (const one of await Promise.allSettled(work)) {
      if (one.status === 'fulfilled') continue
      if (one.reason.code === 'events-match') refused++
      else t.fail(one.reason)
    }
  }
  for (const one of log) {
    const first = one.unless === undefined ? undefined : inTheWay(log, one)
    if (first !== undefined) t.fail(`accepted at ${one.position}, although the event at ${first.position} matches`)
  }
  t.ok(decided > 30 && refused > 30, `${decided} accepted, ${refused} refused`)
})
