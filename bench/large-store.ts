/** A large store: pages at random, and durable batches while LevelDB compacts, against the same on an empty store. */
import { batchRequests } from './batches.js'
import { benchRandomPages } from './pages.js'
import { fill } from './support/fill.js'
import { count, median, type Report } from './support/report.js'
import { removeFolder, startDaybook, temporaryFolder } from './support/servers.js'
import { load } from './support/wrk.js'

export async function benchLargeStore(
  report: Report,
  { rounds, seconds, events }: { rounds: number; seconds: number; events: number }
): Promise<void> {
  const directory = temporaryFolder()
  const streams = events / 20
  await fill(directory, { events, streams })
  await benchRandomPages(report, directory, streams, { rounds, seconds })
  const empty = temporaryFolder()
  const large = await startDaybook(directory)
  const small = await startDaybook(empty)
  const requests = batchRequests(streams)
  const request = { method: 'POST', connections: 4, seconds, requests } as const
  const onLarge: number[] = []
  const onEmpty: number[] = []
  for (const { url } of [large, small]) await load(url, { ...request, seconds: 2 })
  for (let round = 0; round < rounds; round++) {
    onLarge.push((await load(large.url, request)).rate * 500)
    onEmpty.push((await load(small.url, request)).rate * 500)
  }
  const worst = await worstCommit(large.url)
  await large.stop()
  await small.stop()
  const what = `batches of 500 on ${count(events)} events in ${count(streams)} streams`
  report.rate(what, median(onLarge), { name: 'on an empty store', rate: median(onEmpty) }, 'events/s', 0.7)
  report.note('worst commit there', worst)
  removeFolder(directory)
}

/** The bound of the highest bucket that holds a commit. */
async function worstCommit(url: string): Promise<string> {
  const metrics = await (await fetch(`${url}/metrics`)).text()
  const buckets = [...metrics.matchAll(/^daybook_commit_seconds_bucket\{le="(.+?)"\} (\d+)$/gm)]
  const all = Number(buckets.at(-1)?.[2])
  const bound = buckets.find(([, , within]) => Number(within) === all)?.[1]
  return bound === '+Inf' ? 'more than 2.5 s' : `at most ${Number(bound) * 1000} ms`
}
