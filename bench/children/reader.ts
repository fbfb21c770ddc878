/** Reads a long subscription over one WebSocket and parses every frame. */
import { createWriteStream } from 'node:fs'
import { doJobs, type Jobs } from '../support/jobs.js'
import { openLive } from '../support/live.js'

interface Read {
  readonly url: string
  readonly path: string
  /** Number of events to read. */
  readonly events: number
  /** File that gets the frames, one per line. */
  readonly file?: string
}

const jobs = {
  /** Returns the number of events received. */
  read: ({ url, path, events, file }: Read): Promise<number> => {
    const keep = file === undefined ? undefined : createWriteStream(file, { highWaterMark: 2 ** 20 })
    const ws = openLive(url, path)
    let came = 0
    return new Promise((resolve, reject) => {
      ws.on('message', (data) => {
        if (came >= events) return
        const text = String(data)
        keep?.write(`${text}\n`)
        const frame = JSON.parse(text) as { frame: string; events: unknown[] }
        if (frame.frame === 'event') came++
        else if (frame.frame === 'events') came += frame.events.length
        if (came < events) return
        ws.terminate()
        if (keep === undefined) resolve(came)
        else keep.end(() => resolve(came))
      })
      ws.once('error', reject)
      ws.once('close', (code, reason) => {
        if (came < events) reject(new Error(`${ws.url} ended after ${came} events: ${code} ${reason}`))
      })
    })
  }
} satisfies Jobs

export type ReaderJobs = typeof jobs

doJobs(jobs)
