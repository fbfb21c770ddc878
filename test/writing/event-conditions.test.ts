/**
 * Conditions on events of the whole log (native contract §4): exact in every combination, also for concurrent appends.
 */
import t, { type Test } from 'tap'
import { isDaybookError } from '../../src/errors.js'
import { Store, type StoreOptions } from '../../src/store/store.js'
import type { MatchItem } from '../../src/writing/plan/event-condition.js'
import type { AppendResult } from '../../src/writing/plan/plan-append.js'
import { append, openApp } from '../helpers/app.js'
import { encodeEvent } from '../helpers/events.js'
import { type Random, seeded } from '../helpers/random.js'

async function openStore(t: Test, options: Partial<StoreOptions> = {}): Promise<Store> {
  const store = await new Store({ directory: t.testdir({}), ...options }).open()
  t.teardown(() => store.close())
  return store
}

/** `POST /events` with one event and conditions on the log. */
async function decide(
  app: Awaited<ReturnType<typeof openApp>>['app'],
  conditions: unknown[],
  event: Record<string, unknown> = { stream: 'new', type: 'Decided' }
) {
  const payload = JSON.stringify({ events: [event], conditions })
  const headers = { 'content-type': 'application/json' }
  const answer = await app.inject({ method: 'POST', url: '/events', headers, payload })
  return { status: answer.statusCode, ...answer.json() }
}

const match = (items: Partial<MatchItem>[], after?: number) => ({
  failIfEventsMatch: { items },
  ...(after !== undefined && { after })
})

t.test('a refusal names each failed condition, with the position and type of the first matching event', async (t) => {
  const { app, store } = await openApp(t)
  await append(app, 'a', [{ type: 'Opened', tags: ['x'] }, { type: 'Closed', tags: ['x', 'y'] }, { type: 'Closed' }])
  t.match(
    await decide(app, [match([{ types: ['Never'] }]), match([{ tags: ['y'] }]), match([{ types: ['Closed'] }], 1)]),
    {
      status: 412,
      code: 'events-match',
      written: false,
      failed: [
        { condition: 1, failIfEventsMatch: { items: [{ tags: ['y'] }] }, position: 1, type: 'Closed' },
        { condition: 2, failIfEventsMatch: { items: [{ types: ['Closed'] }] }, after: 1, position: 2, type: 'Closed' }
      ]
    }
  )
  t.match(
    await decide(app, [{ stream: 'a', head: 0 }, { stream: 'b', head: 'none' }, match([{ types: ['Opened'] }])]),
    {
      status: 412,
      code: 'wrong-expected-version',
      failed: [
        { stream: 'a', expected: 0, head: 2 },
        { condition: 2, position: 0, type: 'Opened' }
      ]
    },
    'failed conditions on streams and on events are named together'
  )
  t.equal(store.log.head, 2, 'nothing was written')
})

const HELD = [{ type: 'A', tags: ['x', 'y'] }, { type: 'B', tags: ['x'] }, { type: 'A', tags: ['z'] }, { type: 'C' }]

const rows: [string, ReturnType<typeof match>, number | undefined][] = [
  ['a type alone', match([{ types: ['B'] }]), 1],
  ['one of several types', match([{ types: ['C', 'B'] }]), 1],
  ['a tag alone', match([{ tags: ['z'] }]), 2],
  ['all of several tags', match([{ tags: ['y', 'x'] }]), 0],
  ['tags that no one event has together', match([{ tags: ['x', 'z'] }]), undefined],
  ['a type and a tag of the same event', match([{ types: ['B'], tags: ['x'] }]), 1],
  ['a type and a tag of different events', match([{ types: ['B'], tags: ['z'] }]), undefined],
  ['one of several items', match([{ types: ['Never'] }, { tags: ['z'] }, { types: ['C'] }]), 2],
  ['only events after the position count', match([{ tags: ['x'] }], 0), 1],
  ['the event at the position does not count', match([{ tags: ['x'] }], 1), undefined],
  ['after the last event no event counts', match([{ types: ['A', 'B', 'C'] }], 3), undefined],
  ['-1 counts from the beginning', match([{ types: ['A'] }], -1), 0],
  ['a tag that no event has', match([{ tags: ['never'] }]), undefined]
]

t.test('an event matches a condition when it has one of the types and all of the tags', async (t) => {
  for (const [name, condition, position] of rows) {
    const { app } = await openApp(t, { directory: t.testdir({ [name.replace(/\W/g, '-')]: {} }) })
    await append(app, 'held', HELD)
    const answer = await decide(app, [condition])
    if (position === undefined) t.equal(answer.status, 201, name)
    else t.match(answer, { status: 412, failed: [{ position, type: HELD[position]?.type }] }, name)
    await app.close()
  }
})

t.test('events hidden by a delete or truncation match no condition until they are visible again', async (t) => {
  const { app } = await openApp(t)
  const event = { type: 'T', tags: ['x'] }
  await append(app, 'truncated', [event, event])
  await append(app, 'deleted', event)
  await append(app, 'gone', event)
  const put = (truncateBefore: number) =>
    app.inject({
      method: 'PUT',
      url: '/streams/truncated/metadata',
      headers: { 'content-type': 'application/json' },
      payload: JSON.stringify({ truncateBefore })
    })
  await put(1)
  await app.inject({ method: 'DELETE', url: '/streams/deleted' })
  await app.inject({ method: 'DELETE', url: '/streams/gone?permanent=true' })
  t.match(
    await decide(app, [match([{ tags: ['x'] }])]),
    { status: 412, failed: [{ position: 1 }] },
    'the first visible event matches'
  )
  await put(2)
  t.match(await decide(app, [match([{ tags: ['x'] }])]), { status: 201 }, 'no event is visible')
  await put(0)
  t.match(await decide(app, [match([{ tags: ['x'] }])]), { status: 412, failed: [{ position: 0 }] })
  t.match(await decide(app, [match([{ types: ['$metadata'] }])]), { status: 201 }, 'system events never match')
})

t.test('a retry is answered as the first time, even if its condition would fail now', async (t) => {
  const { app, store } = await openApp(t)
  const event = { stream: 's', type: 'Booked', tags: ['seat:1'], id: '5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11' }
  const first = await decide(app, [match([{ tags: ['seat:1'] }])], event)
  t.match(first, { status: 201, replayed: false })
  t.match(await decide(app, [match([{ tags: ['seat:1'] }])], event), {
    status: 201,
    replayed: true,
    events: [{ position: first.events[0].position }]
  })
  const keyed = { 'content-type': 'application/json', 'idempotency-key': 'k-1' }
  const payload = JSON.stringify({
    events: [{ stream: 's', type: 'Booked', tags: ['seat:2'] }],
    conditions: [match([{ tags: ['seat:2'] }])]
  })
  for (const replayed of [false, true]) {
    const answer = await app.inject({ method: 'POST', url: '/events', headers: keyed, payload })
    t.match(answer.json(), { replayed }, `by its key, ${replayed ? 'again' : 'first'}`)
  }
  t.equal(store.log.head, 1)
})

t.test('of 200 concurrent appends with the same condition one succeeds; refusals name its event', async (t) => {
  const { app, store } = await openApp(t)
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, i) =>
      decide(app, [match([{ types: ['Booked'], tags: ['seat:1'] }])], {
        stream: `guest-${i}`,
        type: 'Booked',
        tags: ['seat:1', `guest:${i}`]
      })
    )
  )
  t.equal(answers.filter(({ status }) => status === 201).length, 1)
  t.equal(answers.filter(({ status, failed }) => status === 412 && failed[0].position === 0).length, 199)
  t.equal(store.log.head, 0)
})

t.test('an invalid condition is refused with the reason, and nothing is written', async (t) => {
  const { app, store } = await openApp(t)
  const bad: [unknown, RegExp][] = [
    [match([]), /items/],
    [match([{}]), /at least one of "types", "tags"/],
    [match([{ types: [], tags: [] }]), /type or tag/],
    [{ failIfEventsMatch: {} }, /items/],
    [{ failIfEventsMatch: { items: [{ types: 'T' }] } }, /must be a list, not "T"/],
    [{ failIfEventsMatch: { items: [{ tag: ['x'] }] } }, /tag/],
    [{ ...match([{ types: ['T'] }]), after: -2 }, /after/],
    [{ ...match([{ types: ['T'] }]), after: 1.5 }, /after/],
    [{ ...match([{ types: ['T'] }]), stream: 's' }, /stream/],
    [match(Array.from({ length: 1001 }, () => ({ types: ['T'] }))), /1000/]
  ]
  for (const [condition, detail] of bad) {
    const answer = await decide(app, [condition])
    t.match(answer, { status: 400, code: 'bad-condition', detail }, JSON.stringify(condition).slice(0, 80))
  }
  const clauses = Array.from({ length: 600 }, () => match([{ types: ['T'] }, { tags: ['x'] }]))
  t.match(
    await decide(app, clauses),
    { status: 400, code: 'bad-condition', detail: /1000 items/ },
    'the limit is for all conditions together'
  )
  const types = Array.from({ length: 100 }, (_, i) => `T${i}`)
  const wide = match(Array.from({ length: 101 }, () => ({ types })))
  t.match(await decide(app, [wide]), { status: 400, code: 'bad-condition', detail: /10000 types and tags/ })
  t.match(await decide(app, [match([{ types: ['T'] }], 5)]), { status: 409, code: 'cursor-beyond-head' })
  t.equal(store.log.head, -1)
})

t.test('without the index of types a condition on types is refused, and a condition on tags works', async (t) => {
  const { app } = await openApp(t, { runProjections: 'none' })
  await append(app, 's', { type: 'T', tags: ['x'] })
  t.match(await decide(app, [match([{ types: ['T'] }])]), { status: 409, code: 'index-switched-off' })
  t.match(await decide(app, [match([{ types: ['T'], tags: ['x'] }])]), { status: 412, failed: [{ position: 0 }] })
})

t.test('concurrent appends with and without conditions give the same result as one after the other', async (t) => {
  const random = seeded(t)
  const store = await openStore(t)
  /** A simple model of the log. */
  const log: { type: string; tags: string[] }[] = []
  let refused = 0
  for (let round = 0; round < 150; round++) {
    const before = log.length
    const asked = Array.from({ length: random.int(1, 12) }, () => randomDecision(random, before - 1))
    const answers = await Promise.all(
      asked.map(({ type, tags, items, after }) =>
        store.writer
          .append({
            events: [encodeEvent(`s-${random.int(0, 5)}`, { type, tags })],
            conditions: [],
            matches: items.length > 0 ? [{ items, after, index: 0 }] : undefined,
            kind: 'append'
          })
          .catch((error: unknown) => error)
      )
    )
    // An append that searches the log first may be queued later: the positions give the order of the appends.
    const placed = answers
      .map((answer, i) => ({ i, position: (answer as AppendResult).events?.[0]?.position }))
      .filter((one): one is { i: number; position: number } => one.position !== undefined)
      .sort((one, two) => one.position - two.position)
    for (const { i, position } of placed) {
      const { type, tags, items, after } = asked[i] as Decision
      const inTheWay = firstMatch(log, items, after)
      if (inTheWay !== undefined)
        t.fail(`round ${round}: accepted at ${position}, although the event at ${inTheWay} matches`)
      log.push({ type, tags })
    }
    for (const [i, error] of answers.entries()) {
      if (!(error instanceof Error)) continue
      refused++
      const { items, after } = asked[i] as Decision
      const [first] = ((isDaybookError(error) ? error.details.failed : undefined) ?? []) as { position: number }[]
      const wanted = firstMatch(log, items, after)
      if (first === undefined || first.position !== wanted) {
        t.fail(`round ${round}: refused for ${first?.position}, but the first matching event is ${wanted}`)
      }
    }
  }
  t.equal(store.log.head, log.length - 1)
  t.ok(refused > 100 && log.length > 200, `${log.length} accepted, ${refused} refused`)
})

interface Decision {
  type: string
  tags: string[]
  items: MatchItem[]
  after: number
}

function randomDecision(random: Random, head: number): Decision {
  const some = (names: string[], most: number) => [
    ...new Set(Array.from({ length: random.int(0, most) }, () => random.pick(names)))
  ]
  const items = random.chance(0.7)
    ? Array.from({ length: random.int(1, 3) }, () => ({ types: some(TYPES, 2), tags: some(TAGS, 2) }))
    : []
  return {
    type: random.pick(TYPES),
    tags: some(TAGS, 3),
    items: items.filter(({ types, tags }) => types.length + tags.length > 0),
    after: random.chance(0.3) ? -1 : Math.max(-1, head - random.int(0, 12))
  }
}

const TYPES = ['A', 'B', 'C', 'D', 'E', 'F']
const TAGS = ['p', 'q', 'r', 's', 't', 'u', 'v', 'w']

function firstMatch(log: readonly { type: string; tags: string[] }[], items: readonly MatchItem[], after: number) {
  const at = log.findIndex(
    ({ type, tags }, position) =>
      position > after &&
      items.some(
        (item) => (item.types.length === 0 || item.types.includes(type)) && item.tags.every((tag) => tags.includes(tag))
      )
  )
  return at < 0 ? undefined : at
}
