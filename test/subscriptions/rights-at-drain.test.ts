/**
 * A live reader whose connection is full while its right is being checked: events that wait are sent only when the
 * connection has drained and the right holds, whichever comes last.
 */
import t, { type Test } from 'tap'
import { DaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import { Filter } from '../../src/reading/filter.js'
import type { Store } from '../../src/store/store.js'
import type { Closing, Connection } from '../../src/subscriptions/connection.js'
import type { LiveQuery } from '../../src/subscriptions/live-query.js'
import { appendTo, eventually, openStore, turns } from '../helpers/live-events.js'

const QUERY: LiveQuery = {
  address: { stream: 's' },
  request: {
    lower: undefined,
    upper: undefined,
    order: 'asc',
    filter: new Filter({ system: false }),
    resolveLinks: false,
    truncated: false,
    viewer: undefined
  },
  source: '/streams/s',
  key: 's'
}

/** A connection that is full after each batch until `drain` is called. */
class FillingConnection implements Connection {
  readonly transport = 'websocket'
  readonly client = 'test'
  waiting = 0
  readonly cursors: number[] = []
  closing: Closing | undefined
  #onDrained = () => {}

  get unsent(): number {
    return this.waiting
  }

  send(events: readonly { readonly cursor: number }[]): void {
    for (const { cursor } of events) this.cursors.push(cursor)
    this.waiting = limits.connection_buffer_bytes_max + 1
  }

  drained(callback: () => void): void {
    this.#onDrained = callback
  }

  drain(): void {
    this.waiting = 0
    this.#onDrained()
  }

  close(closing: Closing): void {
    this.closing = closing
  }

  caughtUp(): void {}
  fellBehind(): void {}
  checkpoint(): void {}
  heartbeat(): void {}
  statistics(): void {}
}

interface WaitingReader {
  readonly store: Store
  readonly connection: FillingConnection
  /** Begins a check of the right. @returns ends the check; undefined: the right holds */
  readonly check: () => (refusal: DaybookError | undefined) => Promise<void>
}

/** A live reader that was sent event 0, has a full connection, and for which event 1 waits. */
async function waitingReader(t: Test): Promise<WaitingReader> {
  const store = await openStore(t)
  await appendTo(store, 's', {})
  const connection = new FillingConnection()
  let verdict: Promise<DaybookError | undefined> | undefined
  const right = { login: 'ann', stream: 's', expires: undefined, refusal: () => verdict }
  const { machine } = store.subscriptions.open({
    query: QUERY,
    options: { next: 0, heartbeat: 0, right },
    connection
  })
  await eventually('event 0 was sent', () => connection.cursors.length === 1)
  connection.drain()
  await eventually('the reader is live', () => machine.status === 'live')
  await appendTo(store, 's', {})
  await eventually('event 1 was sent, and the connection is full', () => connection.cursors.length === 2)
  await appendTo(store, 's', {})
  await eventually('event 2 waits', () => machine.buffered === 1)
  const check = () => {
    let end = (_: DaybookError | undefined) => {}
    verdict = new Promise((resolve) => {
      end = resolve
    })
    store.subscriptions.checkRights('s')
    return async (refusal: DaybookError | undefined) => {
      verdict = undefined
      end(refusal)
      await turns(5)
    }
  }
  return { store, connection, check }
}

const REVOKED = new DaybookError('not-permitted', '"ann" may not read "s".')

t.test('a connection that drains while the right is being checked is sent nothing before the answer', async (t) => {
  const { connection, check } = await waitingReader(t)
  const answer = check()
  connection.drain()
  await turns(5)
  t.same(connection.cursors, [0, 1], 'nothing is sent during the check')
  await answer(undefined)
  t.same(connection.cursors, [0, 1, 2], 'the right holds: the event is sent')
})

t.test('a live reader whose right is gone is closed, and events that waited for the drain are not sent', async (t) => {
  const { connection, check } = await waitingReader(t)
  const answer = check()
  connection.drain()
  await answer(REVOKED)
  t.match(connection.closing, { error: { code: 'not-permitted' }, cursor: 1 })
  connection.drain()
  await turns(5)
  t.same(connection.cursors, [0, 1], 'nothing is sent after the close')
})

t.test('a right that holds while the connection is full sends nothing before the connection has drained', async (t) => {
  const { connection, check } = await waitingReader(t)
  const answer = check()
  await answer(undefined)
  t.same(connection.cursors, [0, 1], 'the connection is full')
  connection.drain()
  t.same(connection.cursors, [0, 1, 2])
})

t.test('two checks of the right at a time hold events until both are answered', async (t) => {
  const { connection, check } = await waitingReader(t)
  const [first, second] = [check(), check()]
  connection.drain()
  await first(undefined)
  t.same(connection.cursors, [0, 1], 'one check is not answered yet')
  await second(undefined)
  t.same(connection.cursors, [0, 1, 2])
})
