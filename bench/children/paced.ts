/**
 * Sends at a fixed rate and records when each message comes back over a WebSocket: as an appended event, or from an
 * echo.
 */
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { WebSocket } from 'ws'
import { doJobs, type Jobs } from '../support/jobs.js'
import { caughtUp, openLive } from '../support/live.js'
import { percentile } from '../support/rounds.js'

/** Milliseconds. */
export interface Percentiles {
  readonly p50: number
  readonly p99: number
}

interface Pace {
  readonly url: string
  /** Messages per second. */
  readonly rate: number
  readonly seconds: number
  /** The message. Contains `"seq":0` once, which is replaced with the sequence number. */
  readonly text: string
}

const jobs = {
  /** Each message is POSTed to the stream, and comes back over one subscription to it. */
  append: async ({ stream, ...pace }: Pace & { stream: string }) => {
    const agent = new Agent({ keepAlive: true })
    const options = { agent, method: 'POST', headers: { 'content-type': 'application/json' } }
    const ws = openLive(pace.url, `/streams/${stream}?from=end`)
    await caughtUp(ws)
    const answered: number[] = []
    let unanswered = pace.rate * pace.seconds
    const { sent, came } = await send(ws, pace, (text, seq, fail) => {
      const post = request(`${pace.url}/streams/${stream}`, options, (response) => {
        answered[seq] = performance.now()
        unanswered--
        if (response.statusCode !== 201) fail(new Error(`an append was answered ${response.statusCode}`))
        response.resume()
      })
      post.once('error', fail)
      post.end(text)
    })
    while (unanswered > 0) await sleep(1)
    agent.destroy()
    return {
      /**
       * Time from the POST to its event, from the POST to its response, and from the response to the event (negative if
       * the event came first).
       */
      toEvent: percentiles(differences(sent, came)),
      toAnswer: percentiles(differences(sent, answered)),
      afterAnswer: percentiles(differences(answered, came))
    }
  },

  echo: async (pace: Pace): Promise<Percentiles> => {
    const ws = openLive(pace.url, '/echo')
    await new Promise((resolve, reject) => ws.once('open', resolve).once('error', reject))
    const { sent, came } = await send(ws, pace, (text) => ws.send(text))
    return percentiles(differences(sent, came))
  }
} satisfies Jobs

export type PacedJobs = typeof jobs

/** Returns when each message was sent and when it came back. */
async function send(
  ws: WebSocket,
  { rate, seconds, text }: Pace,
  one: (text: string, seq: number, fail: (error: Error) => void) => void
): Promise<{ sent: number[]; came: number[] }> {
  const texts = Array.from({ length: rate * seconds }, (_, seq) => text.replace('"seq":0', `"seq":${seq}`))
  const sent: number[] = []
  const came: number[] = []
  let left = texts.length
  const all = new Promise<void>((resolve, reject) => {
    ws.on('message', (data) => {
      const frame = JSON.parse(String(data)) as { frame: string; event: { data: { seq: number } } }
      if (frame.frame !== 'event') return
      came[frame.event.data.seq] = performance.now()
      if (--left === 0) resolve()
    })
    ws.once('close', (code) => reject(new Error(`${ws.url} was closed with ${left} on their way: ${code}`)))
    const started = performance.now()
    const tick = () => {
      const due = Math.min(((performance.now() - started) * rate) / 1000, texts.length)
      while (sent.length < due) {
        const seq = sent.length
        sent.push(performance.now())
        one(texts[seq] as string, seq, reject)
      }
      if (sent.length < texts.length) setTimeout(tick, 1)
    }
    tick()
  })
  await all
  ws.terminate()
  return { sent, came }
}

function differences(from: readonly number[], to: readonly number[]): number[] {
  return from.map((time, i) => (to[i] as number) - time)
}

function percentiles(values: readonly number[]): Percentiles {
  const sorted = values.toSorted((one, other) => one - other)
  return { p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99) }
}

doJobs(jobs)
