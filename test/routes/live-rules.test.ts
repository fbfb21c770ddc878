/**
 * Access rules that change during a live read: only readers that the change may affect read their buffered events
 * again.
 */
import t from 'tap'
import type { Viewer } from '../../src/access/viewer.js'
import { append, ask, listen } from '../helpers/app.js'
import { LiveSocket } from '../helpers/live-clients.js'
import { eventually } from '../helpers/live-events.js'
import { admin, makeUser, setRules } from '../helpers/people.js'

t.test(
  'only a changed access rule makes a reader of the log read again, and it never affects an administrator',
  async (t) => {
    const { app, store, url } = await listen(t, { insecure: false })
    const ann = await makeUser(store, 'ann')
    for (let i = 0; i < 5; i++) await append(app, 's', { type: `T${i}` }, admin)
    await setRules(app, 'other', { read: '$all' })
    const reads = { ann: 0, admin: 0 }
    const { spans } = store.reader
    store.reader.spans = (source, request, range, chunk) => {
      const viewer: Viewer | undefined = request.viewer
      reads[viewer === undefined ? 'admin' : 'ann']++
      return spans.call(store.reader, source, request, range, chunk)
    }
    // Each reader has received one event; four are buffered for lack of credit.
    const readers = { ann: await LiveSocket.open(t, `${url}/events?credit=1`, ann), admin: await LiveSocket.open(t, `${url}/events?credit=1`, admin) } // biome-ignore format: two of a kind
    for (const reader of Object.values(readers)) await reader.untilEvents(1)
    t.same(reads, { ann: 1, admin: 1 })

    for (const [call, body] of [
      ['PATCH /streams/other/metadata', { maxCount: 5 }],
      ['PATCH /streams/other/metadata', { cacheControl: 7, of: 'somebody' }],
      ['PATCH /streams/other/metadata', { acl: { read: '$all' } }],
      ['PUT /streams/new/metadata', { maxCount: 5 }],
      ['PUT /streams/new/metadata', {}]
    ] as const) {
      t.ok((await ask(app, call, admin, body)).statusCode <= 201)
    }
    for (const reader of Object.values(readers)) {
      reader.send({ frame: 'credit', events: 1 })
      await reader.untilEvents(2)
    }
    t.same(reads, { ann: 1, admin: 1 }, 'metadata without a rule change makes no reader read again')

    await setRules(app, 'other', { read: 'bob' })
    for (const reader of Object.values(readers)) {
      reader.send({ frame: 'credit', events: 1 })
      await reader.untilEvents(3)
    }
    await eventually('the buffered events of Ann are read again', () => reads.ann === 2)
    t.same(reads, { ann: 2, admin: 1 }, 'a rule change affects only readers that it may concern')

    await append(app, '$settings', { type: '$settings', data: { $userStreamAcl: { $w: '$admins' } } }, admin)
    for (const reader of Object.values(readers)) {
      reader.send({ frame: 'credit', events: 10 })
      await reader.until('the last event', () => reader.events.at(-1)?.type === 'T4')
      t.same(reader.events.map(({ type }) => type), ['T0', 'T1', 'T2', 'T3', 'T4'], 'each event once') // biome-ignore format: one line
    }
  }
)
