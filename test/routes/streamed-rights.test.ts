/** A streamed write may last for hours: the rights of its account are checked again for each batch. */
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import t, { type Test } from 'tap'
import { ask, type TestApp } from '../helpers/app.js'
import { eventually } from '../helpers/live-events.js'
import { admin, bearer, type Credentials, makeToken, setRules, withAnn } from '../helpers/people.js'

const line = (stream: string, type: string) => `${JSON.stringify({ stream, type })}\n`

/** A streamed write whose batches are single lines, and what it was answered so far. */
async function streamedWrite(t: Test, url: string, who: Credentials, first: string) {
  const headers = { ...who, 'content-type': 'application/x-ndjson' }
  const sent = request(`${url}/events?batch=1`, { method: 'POST', headers, agent: false })
  t.teardown(() => sent.destroy())
  sent.write(first)
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  let text = ''
  response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  const answers = () => text.split('\n').filter((one) => one !== '').map((one) => JSON.parse(one)) // biome-ignore format: one line
  return { sent, answers, ended: once(response, 'end') }
}

interface Row {
  readonly what: string
  readonly stream: string
  readonly code: string
  readonly change: (opened: TestApp, token: string) => Promise<unknown>
}

const rows: readonly Row[] = [
  {
    what: 'a rule of its stream denies its account',
    stream: 'secret-1',
    code: 'not-permitted',
    change: ({ app }) => setRules(app, 'secret-1', { write: 'bob' })
  },
  {
    what: 'the default rule denies its account',
    stream: 'order-1',
    code: 'not-permitted',
    change: ({ app }) =>
      ask(app, 'POST /streams/$settings', admin, { type: '$settings', data: { $userStreamAcl: { $w: 'bob' } } })
  },
  {
    what: 'its account is disabled',
    stream: 'order-1',
    code: 'sign-in-required',
    change: ({ app }) => ask(app, 'POST /users/ann/command/disable', admin)
  },
  {
    what: 'its token is revoked',
    stream: 'order-1',
    code: 'sign-in-required',
    change: ({ app }, token) => ask(app, `DELETE /tokens/${token}`, admin)
  }
]

for (const { what, stream, code, change } of rows) {
  t.test(`a streamed write ends when ${what}, and nothing after that is written`, async (t) => {
    const opened = await withAnn(t)
    const { app, store, url } = opened
    const { id, text } = await makeToken(store, 'ann', { write: ['*'] })
    const { sent, answers, ended } = await streamedWrite(t, url, bearer(text), line(stream, 'InTime'))
    await eventually('the first line is written', () => answers().length === 1)
    await change(opened, id)
    sent.end(line(stream, 'TooLate') + line(stream, 'TooLate'))
    await ended
    t.match(answers(), [{ receipt: { lines: 1, appended: 1 } }, { problem: { code, written: false } }])
    const { events } = (await ask(app, `GET /streams/${stream}?order=desc`, admin)).json()
    t.equal(events[0].type, 'InTime', 'the last event of the stream')
  })
}
