/** Many subscriptions at once. Counts their events without parsing them. */
import type { WebSocket } from 'ws'
import { doJobs, type Jobs } from '../support/jobs.js'
import { caughtUp, openLive } from '../support/live.js'

/** Number of connections opened at a time, because a server's queue for new connections is short. */
const AT_ONCE = 50
/** Position of the byte that distinguishes an `event` frame from all others: `{"frame":"event",`. */
const EVENT = Buffer.from('event",')
const EVENT_AT = '{"frame":"'.length

const sockets = new Set<WebSocket>()
let came = 0
let expected = 0
let enough = () => {}
/** The server closed one of the subscriptions. */
let lose: (error: Error) => void = () => {}
const lost = new Promise<never>((_, reject) => {
  lose = reject
})
lost.catch(() => {}) // whoever waits for events is told

const jobs = {
  /** Opens one subscription per path, and waits until all are caught up. @param paths with their queries */
  subscribe: async ({ url, paths }: { url: string; paths: readonly string[] }): Promise<void> => {
    let next = 0
    const open = async () => {
      while (next < paths.length) {
        const ws = openLive(url, paths[next++] as string)
        await caughtUp(ws)
        sockets.add(ws)
        ws.on('message', count)
        ws.once('close', (code, reason) => {
          if (sockets.delete(ws)) lose(new Error(`${ws.url} was closed: ${code} ${reason}`))
        })
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, open))
  },

  /**
   * Waits for a number of events since the last call, over all subscriptions.
   * @throws if one of them is closed
   */
  expect: ({ events }: { events: number }): Promise<void> => {
    expected += events
    const all = new Promise<void>((resolve) => {
      enough = resolve
      if (came >= expected) resolve()
    })
    return Promise.race([all, lost])
  },

  /** Stops reading. */
  pause: async (_: object): Promise<void> => {
    for (const ws of sockets) ws.pause()
  },

  resume: async (_: object): Promise<void> => {
    for (const ws of sockets) ws.resume()
  },

  leave: async (_: object): Promise<void> => {
    const leaving = [...sockets]
    sockets.clear()
    await Promise.all(
      leaving.map((ws) => {
        const closed = new Promise((resolve) => ws.once('close', resolve))
        ws.terminate()
        return closed
      })
    )
  }
} satisfies Jobs

export type SubscriberJobs = typeof jobs

function count(data: unknown): void {
  const bytes = data as Buffer
  if (bytes.compare(EVENT, 0, EVENT.length, EVENT_AT, EVENT_AT + EVENT.length) !== 0) return
  if (++came === expected) enough()
}

doJobs(jobs)
