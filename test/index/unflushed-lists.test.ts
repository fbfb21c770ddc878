/**
 * Listings include index changes that are not on disk yet: those of the write under way, and those waiting for the
 * next.
 */
import t from 'tap'
import { openApp } from '../helpers/app.js'
import { encodeEvent } from '../helpers/events.js'
import { faultyDisk } from '../helpers/faulty-disk.js'
import { eventually } from '../helpers/live-events.js'

const STREAMS = 100

t.test('/streams, /types and /categories show names and counts that the index has not written yet', async (t) => {
  const disk = faultyDisk(t)
  const { app, store } = await openApp(t)
  const append = async (...events: ReturnType<typeof encodeEvent>[]) => {
    await store.writer.append({ events, conditions: [], kind: 'append' })
  }
  const of = (category: string) => (i: number) => encodeEvent(`${category}-${i}`, { type: `${category}Type` })
  const streams = (category: string, count: number) => Array.from({ length: count }, (_, i) => of(category)(i))
  const names = (category: string, count: number) =>
    Array.from({ length: count }, (_, i) => `${category}-${i}`).toSorted()
  /** Returns the listed names and counts, read page by page. */
  const listed = async (path: string, member: string) => {
    const found: { stream?: string; name?: string; head?: number; events?: number }[] = []
    for (let url: string | undefined = `${path}?limit=7`; url !== undefined; ) {
      const { statusCode, body } = await app.inject(url)
      if (statusCode !== 200) throw new Error(`${url}: ${statusCode} ${body}`)
      const page = JSON.parse(body)
      found.push(...page[member])
      url = page.links.next
    }
    return found.map(({ stream, name, head, events }) => [stream ?? name, head ?? events])
  }
  const check = async (when: string) => {
    const wanted = [
      ...names('disk', 2).map((name) => [name, name === 'disk-0' ? 2 : 0]),
      ...names('waiting', 3).map((name) => [name, 0]),
      ...names('writing', STREAMS).map((name) => [name, name === 'writing-1' ? 1 : 0])
    ]
    t.same(await listed('/streams', 'streams'), wanted, `streams, ${when}`)
    const counts = { disk: 4, waiting: 3, writing: STREAMS + 1 }
    const types = Object.entries(counts).map(([category, count]) => [`${category}Type`, count])
    t.same(await listed('/types', 'types'), types, `types, ${when}`)
    t.same(await listed('/categories', 'categories'), Object.entries(counts), `categories, ${when}`)
  }
  await append(...streams('disk', 2))
  await store.postings.flush()
  let release = () => {}
  let held = 0
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  disk.onCall = (call) => {
    if (call !== 'index write') return undefined
    held++
    return released
  }
  // The index write of these events begins and is held. Later events wait for the next write.
  await append(of('disk')(0), ...streams('writing', STREAMS))
  const written = store.postings.flush()
  await eventually('the index is being written', () => held === 1)
  await append(of('disk')(0), of('writing')(1), ...streams('waiting', 3))
  t.same([store.postings.goodTo, store.log.head], [1, 107], 'the index on disk ends before these events')
  await check('during the write')
  release()
  await written
  await store.postings.flush()
  t.equal(store.postings.goodTo, store.log.head, 'all events are in the index on disk')
  await check('after the write')
})
