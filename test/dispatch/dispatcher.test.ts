/** The dispatcher passes committed records in order to its followers. */
import t from 'tap'
import type { LogPage } from '../../src/dispatch/dispatcher.js'
import { Dispatcher } from '../../src/dispatch/dispatcher.js'
import { SCAN_CHUNK } from '../../src/log/records/read-ahead.js'
import type { Store } from '../../src/store/store.js'
import { appendTo, eventually, many, openStore, turns } from '../helpers/live-events.js'

function startedOver(store: Store): Dispatcher {
  const dispatcher = new Dispatcher(store.log)
  dispatcher.start()
  return dispatcher
}

/** Returns the first fault of pages that must have every position from `from` on exactly once. */
function faultOf(pages: readonly LogPage[], from: number): string | undefined {
  let next = from
  for (const page of pages) {
    if (page.from !== next) return `a page begins at ${page.from}, not at ${next}`
    const positions = page.events.map(({ position }) => position)
    if (positions.some((position, i) => position !== page.from + i)) return `a page of ${positions}`
    if (page.to !== page.from + positions.length - 1) return `a page up to ${page.to} has ${positions.length} events`
    next = page.to + 1
  }
  return undefined
}

t.test('a follower gets every position committed after the start once and in order', async (t) => {
  const store = await openStore(t)
  await appendTo(store, 's', ...many(5))
  const dispatcher = startedOver(store)
  const pages: LogPage[] = []
  dispatcher.follow((page) => void pages.push(page))
  for (let i = 0; i < 50; i++) await appendTo(store, `s-${i % 3}`, ...many(1 + (i % 7)))
  await eventually('all events were passed on', () => dispatcher.next > store.log.head)
  t.equal(faultOf(pages, 5), undefined)
  t.equal(pages.at(-1)?.to, store.log.head)
  await dispatcher.close()
})

t.test('a slow follower gets the next page when it has handled the last one, and pages stay small', async (t) => {
  const store = await openStore(t)
  const dispatcher = startedOver(store)
  const pages: LogPage[] = []
  let busy = 0
  dispatcher.follow(async (page) => {
    t.equal(++busy, 1, 'one page at a time')
    await turns(20)
    pages.push(page)
    busy--
  })
  for (let i = 0; i < 4; i++) await appendTo(store, 's', ...many(3000))
  await eventually('all events were passed on', () => pages.at(-1)?.to === store.log.head)
  t.equal(faultOf(pages, 0), undefined)
  t.ok(pages.every(({ events }) => events.length <= SCAN_CHUNK))
  await dispatcher.close()
})

t.test('a removed follower gets no more pages, and a new follower gets later commits', async (t) => {
  const store = await openStore(t)
  const dispatcher = startedOver(store)
  const [early, late]: LogPage[][] = [[], []]
  const leave = dispatcher.follow((page) => void early?.push(page))
  await appendTo(store, 's', {})
  await eventually('the first event was passed on', () => early?.length === 1)
  leave()
  dispatcher.follow((page) => void late?.push(page))
  await appendTo(store, 's', {})
  await eventually('the second event was passed on', () => late?.length === 1)
  t.same([early?.map(({ to }) => to), late?.map(({ to }) => to)], [[0], [1]])
  await dispatcher.close()
})

t.test('unreadable records are skipped as a gap, and delivery continues after it', async (t) => {
  const store = await openStore(t)
  const dispatcher = startedOver(store)
  const pages: LogPage[] = []
  dispatcher.follow((page) => void pages.push(page))
  const { scan } = store.log
  store.log.scan = () => {
    throw new Error('damaged')
  }
  await appendTo(store, 's', ...many(3))
  await eventually('the gap was passed on', () => pages.length === 1)
  store.log.scan = scan
  await appendTo(store, 's', {})
  await eventually('the next event was passed on', () => pages.length === 2)
  t.same(
    pages.map(({ from, to, events }) => [from, to, events.length]),
    [
      [3, 2, 0],
      [3, 3, 1]
    ]
  )
  await dispatcher.close()
})

t.test('close resolves while no commit comes; while a follower is busy, only when the follower is done', async (t) => {
  const store = await openStore(t)
  await startedOver(store).close()
  const busy = startedOver(store)
  const pages: LogPage[] = []
  let release = () => {}
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  busy.follow((page) => {
    pages.push(page)
    return released
  })
  await appendTo(store, 's', {})
  await eventually('the follower is busy', () => pages.length === 1)
  let closed = false
  const closing = busy.close().then(() => {
    closed = true
  })
  await appendTo(store, 's', {})
  await turns(20)
  t.equal(closed, false, 'the follower is busy')
  release()
  await closing
  await appendTo(store, 's', {})
  await turns(20)
  t.equal(pages.length, 1, 'no page is offered after the close')
})
