import t from 'tap'
import { Metrics } from '../../src/metrics.js'
import type { Connection } from '../../src/subscriptions/connection.js'
import { Delivery } from '../../src/subscriptions/delivery.js'
import { systemClock } from '../../src/time/clock.js'
import { lightSpan } from '../helpers/live-events.js'

t.test('a closed subscription neither sends nor counts events for credit granted later', async (t) => {
  const frames: number[] = []
  const places: number[] = []
  const metrics = new Metrics()
  const nothing = () => {}
  const connection: Connection = {
    transport: 'websocket',
    client: 'test',
    waiting: 0,
    unsent: 0,
    drained: nothing,
    send: (events) => void frames.push(...events.map(({ cursor }) => cursor)),
    caughtUp: nothing,
    fellBehind: nothing,
    checkpoint: nothing,
    heartbeat: nothing,
    statistics: nothing,
    close: nothing
  }
  const progress = {
    settled: nothing,
    sent: (cursor: number) => void places.push(cursor),
    sendsAgain: nothing,
    redelivery: undefined,
    tick: nothing
  }
  const effects = { read: nothing, complete: nothing }
  const delivery = new Delivery({ connection, progress, clock: systemClock, metrics }, { next: 0, credit: 1 }, effects)

  const { machine } = delivery
  machine.begin()
  machine.onPage(lightSpan(0, 2, [0, 1, 2]))
  t.same([frames, places], [[0], [0]], 'one event was granted')
  delivery.close()
  machine.grant(2)
  t.same([frames, places], [[0], [0]], 'nothing is sent after the end')
  t.match(await metrics.registry.metrics(), /daybook_read_events_total 1\b/, 'no further event is counted')
})
