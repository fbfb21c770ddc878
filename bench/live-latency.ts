/** Latency from an append to its subscriber at 1,000 appends a second, against an echo of frames of the same size. */
import type { PacedJobs, Percentiles } from './children/paced.js'
import { event } from './support/events.js'
import { appendAll } from './support/http.js'
import { Worker } from './support/jobs.js'
import { firstFrame } from './support/live.js'
import { removeFolder, temporaryFolder } from './support/processes.js'
import { count, type Report } from './support/report.js'
import { inTurn, median } from './support/rounds.js'
import { halfTheRounds, type Scale } from './support/scale.js'
import { type Server, startBareLive, startDaybook } from './support/servers.js'
import { rateOf } from './support/usage.js'
import type { Work } from './support/work.js'

const RATE = 1000
const STREAM = 'paced'
const BODY = JSON.stringify({ type: 'ItemAdded', data: { seq: 0, ...event(0).data } })

/** The processor time of an append and its delivery at a fixed rate, far below the server's maximum. */
export function liveLatencyWork(): Work {
  return {
    what: `${count(RATE)} appends a second, to one subscriber`,
    unit: '/s',
    client(server) {
      const client = new Worker<PacedJobs>('paced')
      const load = async (seconds: number) => {
        await client.do('append', paceOf(server, seconds))
        return RATE * seconds
      }
      return { load: (seconds) => rateOf(server.pid, () => load(seconds)), leave: () => client.stop() }
    }
  }
}

export async function benchLiveLatency(report: Report, scale: Scale): Promise<void> {
  const { seconds } = scale
  const directory = temporaryFolder()
  const daybook = await startDaybook(directory)
  const bare = await startBareLive()
  await appendAll(`${daybook.url}/streams/${STREAM}`, [BODY])
  const frame = await firstFrame(daybook.url, STREAM)

  // One client per server, so that the garbage of one does not slow the other.
  const clients = [new Worker<PacedJobs>('paced'), new Worker<PacedJobs>('paced')] as const
  const live = (duration: number) => clients[0].do('append', paceOf(daybook, duration))
  const echo = (duration: number) =>
    clients[1].do('echo', { url: bare.url, rate: RATE, seconds: duration, text: frame })
  await live(2)
  await echo(2)
  const rounds = await inTurn(halfTheRounds(scale), { live: () => live(seconds), echo: () => echo(seconds) })
  for (const one of [...clients, daybook, bare]) await one.stop()
  removeFolder(directory)

  const beside = `${inWords(rounds.echo)} bare ws echo`
  const of = (name: 'afterAnswer' | 'toEvent' | 'toAnswer') => rounds.live.map((round) => round[name])
  report.below('live-latency', {
    what: `p50 from an append's 201 to its event, beyond that of the echo`,
    value: median(of('afterAnswer').map(({ p50 }, round) => p50 - (rounds.echo[round] as Percentiles).p50)),
    bound: 2,
    unit: 'ms'
  })
  report.note('live-latency', 'p50 · p99 from the 201 to the event', inWords(of('afterAnswer')), beside)
  const answer = `${inWords(of('toAnswer'))} to its 201`
  report.note('live-latency', 'p50 · p99 from sending the POST to the event', inWords(of('toEvent')), answer)
}

function paceOf({ url }: Server, seconds: number): Parameters<PacedJobs['append']>[0] {
  return { url, stream: STREAM, rate: RATE, seconds, text: BODY }
}

/** Medians of the rounds. */
function inWords(rounds: readonly Percentiles[]): string {
  const middle = (of: (round: Percentiles) => number) => median(rounds.map(of)).toFixed(2)
  return `${middle(({ p50 }) => p50)} · ${middle(({ p99 }) => p99)} ms`
}
