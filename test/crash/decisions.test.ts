/** Conditional appends (native contract §4) stay exact when many clients compete and the server is killed. */
import { join } from 'node:path'
import t from 'tap'
import { checkDirectory } from '../../src/verify/check-directory.js'
import { KilledServer } from '../helpers/killed-server.js'
import { Random, seeded } from '../helpers/random.js'
import { scaled } from '../helpers/scale.js'

const CLIENTS = 16
const SEATS = 5
const KILLS = scaled(4)
const ACCEPTED_BETWEEN_KILLS = 60

interface Seat {
  position: number
  type: string
  data: { seat: string; saw: number }
}

t.test(
  'two appends whose conditions exclude each other are never both accepted, even if the server is killed',
  async (t) => {
    const random = seeded(t)
    const directory = join(t.testdir({}), 'db')
    const server = new KilledServer(directory)
    await server.start()
    t.teardown(() => server.kill())
    const accepted = new Map<string, string>()
    let refused = 0
    let unsure = 0
    let done = false

    /** Books a free seat or frees a booked one, on the condition that the seat has not changed since it was read. */
    const decide = async (client: Random) => {
      const seat = `seat:${client.int(1, SEATS)}`
      const last = (await server.ask(`/events?tag=${seat}&order=desc&limit=1`)).body.events[0] as Seat | undefined
      const type = last?.type === 'Booked' ? 'Freed' : 'Booked'
      const id = client.uuid()
      const body = {
        events: [
          { stream: `guest-${client.int(1, 200)}`, type, id, tags: [seat], data: { seat, saw: last?.position ?? -1 } }
        ],
        conditions: [{ failIfEventsMatch: { items: [{ tags: [seat] }] }, after: last?.position ?? -1 }]
      }
      const { status, tries, body: answer } = await server.ask('/events', JSON.stringify(body))
      if (tries > 1) unsure++
      if (status === 201) accepted.set(id, seat)
      else if (status === 412 && answer.failed?.[0].type !== undefined) refused++
      else t.fail(`a conditional append was answered with ${status}: ${JSON.stringify(answer)}`)
    }

    const clients = Array.from({ length: CLIENTS }, async () => {
      const client = new Random(random.int(0, 2 ** 31))
      while (!done) await decide(client)
    })
    for (let kill = 1; kill <= KILLS; kill++) {
      const enough = accepted.size + ACCEPTED_BETWEEN_KILLS + random.int(0, 20)
      while (accepted.size < enough) await new Promise((resolve) => setTimeout(resolve, 5))
      await server.kill()
      await server.start()
    }
    const enough = accepted.size + ACCEPTED_BETWEEN_KILLS
    while (accepted.size < enough) await new Promise((resolve) => setTimeout(resolve, 5))
    done = true
    await Promise.all(clients)

    t.comment(`${accepted.size} accepted, ${refused} refused, ${unsure} sent more than once`)
    t.ok(refused > 20, 'the clients competed for seats')
    t.ok(unsure > 0, 'the kills interrupted requests')
    const inLog = new Set<string>()
    for (let seat = 1; seat <= SEATS; seat++) {
      const { events } = (await server.ask(`/events?tag=seat:${seat}&limit=4096`)).body as {
        events: (Seat & { id: string })[]
      }
      let previous: Seat | undefined
      for (const event of events) {
        inLog.add(event.id)
        if (event.data.saw !== (previous?.position ?? -1) || event.type === previous?.type) {
          const expected = previous?.position
          t.fail(`${event.type} of seat ${seat} at ${event.position} has read ${event.data.saw}, not ${expected}`)
        }
        previous = event
      }
      t.ok(events.length > 10, `seat ${seat} changed hands`)
    }
    t.same(
      [...accepted.keys()].filter((id) => !inLog.has(id)),
      [],
      'every accepted event is in the log'
    )
    t.equal(inLog.size, accepted.size, 'no other event is in the log')
    await server.kill()
    t.same((await checkDirectory(directory)).disagreements, [], 'log and index agree')
  }
)
