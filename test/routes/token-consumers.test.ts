/** A token is for a consumer as far as it reads what that reads, whatever address names it. */
import t from 'tap'
import { append, ask, listen } from '../helpers/app.js'
import { LiveBlocks, LiveLines, LiveSocket } from '../helpers/live-clients.js'
import { admin, bearer, makeToken, makeUser } from '../helpers/people.js'

async function withConsumer(t: Parameters<typeof listen>[0]) {
  const { app, store, url } = await listen(t, { insecure: false })
  const ann = await makeUser(store, 'ann')
  for (let i = 0; i < 3; i++) await append(app, 'y', { type: 'T' }, admin)
  t.equal((await ask(app, 'PUT /consumers/log', ann, { source: '/events' })).statusCode, 201)
  const writer = bearer((await makeToken(store, 'ann', { write: ['*'] })).text)
  return { app, store, url, writer }
}

t.test('a token that reads nothing takes no consumer over, however it names it', async (t) => {
  const { store, url, writer } = await withConsumer(t)
  const place = () => `${store.consumers.get('log').cursor} ${store.consumers.get('log').generation}`
  const before = place()
  await t.rejects(LiveSocket.open(t, `${url}/events?consumer=log&takeover=true`, writer), /403/, 'over WebSocket')
  const lines = await LiveLines.open(t, `${url}/events?consumer=log&takeover=true&live=true`, writer)
  t.equal(lines.status, 403, 'line by line')
  const blocks = await LiveBlocks.open(t, `${url}/events?consumer=log&takeover=true`, writer)
  t.equal(blocks.status, 403, 'as an event stream')
  t.equal(place(), before, 'cursor and generation stay')
})

t.test('the list of consumers shows a token those that it may use', async (t) => {
  const { app, writer } = await withConsumer(t)
  t.same((await ask(app, 'GET /consumers', writer)).json().consumers, [])
})
