/** Named consumers of a server that is killed and restarted. */
import t from 'tap'
import { type Connection, ConsumerReader } from '../helpers/consuming.js'
import { transports } from '../helpers/followers.js'
import { eventually } from '../helpers/live-events.js'
import { seeded } from '../helpers/random.js'
import { post, ReturningServer } from '../helpers/returning-server.js'
import { scaled } from '../helpers/scale.js'

/**
 * Returns the fault in the event numbers that a connection received; undefined when they are right: consecutive, and
 * beginning after the acknowledged number.
 */
function faultOf({ confirmed, claimed, numbers }: Connection): string | undefined {
  const [first = 0] = numbers
  if (numbers.length === 0) return undefined
  if (first <= confirmed) return `event ${first} was sent again, though the acknowledgement of ${confirmed} succeeded`
  if (first > claimed + 1) return `the first event was ${first}, but only ${claimed} was acknowledged`
  const gap = numbers.findIndex((number, i) => number !== first + i)
  return gap < 0 ? undefined : `event ${numbers[gap]} was sent after event ${numbers[gap - 1]}`
}

t.test(
  'after a SIGKILL of the server under load, every consumer resumes without a lost or reordered event',
  async (t) => {
    const random = seeded(t)
    const server = new ReturningServer(t.testdir({}))
    t.teardown(() => server.kill())
    await server.start()
    const consumers = transports.map((transport) => new ConsumerReader(transport, server.url))
    for (const { name } of consumers) {
      const headers = { 'content-type': 'application/json' }
      const body = JSON.stringify({ source: '/streams/s', bufferSize: 200 })
      const { status } = await fetch(`${server.url}/consumers/${name}`, { method: 'PUT', headers, body })
      t.equal(status, 201)
    }
    const consuming = consumers.map((consumer) => consumer.consume())
    let appended = 0
    let killing = false
    const load = async () => {
      while (!killing) {
        const count = random.int(1, 30)
        await post(
          server.url,
          's',
          Array.from({ length: count }, () => ({ type: 'T' }))
        )
        appended += count
      }
    }
    for (let round = 0; round < scaled(4); round++) {
      const before = appended
      killing = false
      const loads = [load(), load(), load()].map((one) => one.catch(() => {})) // the kill aborts the last request
      await eventually('1000 events were appended', () => appended > before + 1000)
      await server.kill()
      killing = true
      await Promise.all(loads)
      await server.start()
    }
    await post(server.url, 's', { type: 'Last' })
    const { head } = (await (await fetch(`${server.url}/streams/s?order=desc&limit=1`)).json()) as { head: number }
    t.ok(head + 1 >= appended, 'no acknowledged event is lost')
    for (const consumer of consumers) {
      await eventually(`${consumer.name} has all events`, () => consumer.seen.size === head + 1)
      const faults = consumer.connections.flatMap((connection) => faultOf(connection) ?? [])
      t.same(faults, [], `${consumer.name}: ${consumer.connections.length} connections`)
      t.ok(consumer.confirmed > 0, 'some events were acknowledged')
    }
    for (const consumer of consumers) consumer.end()
    await Promise.all(consuming)
  }
)
