/** Live readers receive exactly the events of the log, despite random faults of readers and server. */
import t from 'tap'
import { Follower, transports } from '../helpers/followers.js'
import { eventually } from '../helpers/live-events.js'
import { type Random, seeded } from '../helpers/random.js'
import { ReturningServer } from '../helpers/returning-server.js'
import { scaled } from '../helpers/scale.js'

const SOURCES = ['/events', '/streams/a-1', '/streams/$ce-a', '/events?type=T&stream.prefix=a-', '/streams/b?type=U']

/** Appends events to one or several streams, and retries until the append is answered. */
async function append(url: string, random: Random): Promise<void> {
  const events = Array.from({ length: random.chance(0.2) ? random.int(20, 80) : random.int(1, 5) }, () => ({
    stream: random.pick(['a-1', 'a-2', 'b']),
    type: random.pick(['T', 'U']),
    data: { some: 'x'.repeat(random.int(0, 300)) }
  }))
  const body = JSON.stringify({ events, conditions: [] })
  const headers = { 'content-type': 'application/json', 'idempotency-key': random.uuid() }
  for (;;) {
    try {
      const answer = await fetch(`${url}/events`, { method: 'POST', headers, body })
      await answer.text()
      if (answer.status === 201) return
      if (answer.status !== 503) throw new Error(`an append was answered ${answer.status}`)
    } catch (error) {
      if (!(error instanceof TypeError)) throw error // a TypeError means that the server is down
    }
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

async function read(url: string, source: string): Promise<number[]> {
  const answer = await fetch(`${url}${source}${source.includes('?') ? '&' : '?'}format=ndjson`)
  const lines = (await answer.text()).split('\n').filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line).position)
}

t.test(
  'appends, disconnects, kills and resumes over all four transports leave every reader with exactly the log',
  async (t) => {
    const random = seeded(t)
    const server = new ReturningServer(t.testdir({}))
    t.teardown(() => server.kill())
    await server.start()
    const followers = SOURCES.flatMap((source) => transports.map((transport) => new Follower(transport, source)))
    const following = followers.map((follower) => follower.follow(server.url))
    for (let round = 0; round < scaled(4); round++) {
      const appends = random.int(40, 120)
      const killAt = random.int(5, appends)
      for (let i = 0; i < appends; i++) {
        const appended = append(server.url, random)
        for (const follower of followers) if (random.chance(0.02)) follower.cut()
        if (i === killAt) {
          await server.kill(random.chance(0.7) ? 'SIGKILL' : 'SIGTERM')
          await server.start()
        }
        await appended
      }
    }
    for (const follower of followers) {
      const all = await read(server.url, follower.source)
      const isThere = () => follower.positions.at(-1) === all.at(-1)
      await eventually(`all of ${all.length} events`, isThere).catch(() => t.fail(follower.state))
      t.same(follower.positions, all, `${follower.name}, ${follower.connections} connections`)
    }
    for (const follower of followers) follower.end()
    await Promise.all(following)
  }
)
