/** An index stream that lists nothing for who asks is answered as one that does not exist: by no form can it be told apart. */
import t from 'tap'
import { limits } from '../../src/limits.js'
import { append, ask, openApp } from '../helpers/app.js'
import { admin, bearer, makeToken, makeUser, setRules } from '../helpers/people.js'

const ATOM = 'application/vnd.eventstore.atom+json'
const XML = 'application/atom+xml'

/** What can be asked of a stream. */
const FORMS: [rest: string, headers?: Record<string, string>][] = [
  [''],
  ['?order=desc'],
  ['?from=end'],
  ['?from=0&limit=1'],
  ['?format=ndjson'],
  ['/0'],
  ['/1'],
  ['/head'],
  ['/metadata'],
  ['', { accept: ATOM }],
  ['', { accept: XML }],
  ['', { accept: ATOM, 'if-none-match': '"0;-2060438500"' }],
  ['?embed=body'],
  ['/0', { accept: ATOM }],
  ['/0', { accept: 'application/json' }],
  ['/0', { accept: 'application/octet-stream' }],
  ['/0', { accept: XML }],
  ['/head', { accept: ATOM }],
  ['/0/forward/20', { accept: ATOM }],
  ['/0/forward/20', { accept: XML }],
  ['/head/backward/20', { accept: ATOM }],
  ['/9/20', { accept: ATOM }],
  ['/metadata/0/forward/20', { accept: ATOM }],
  ['', { 'if-none-match': '"1"' }],
  ['?wait=0'],
  ['?atLeast=0'],
  ['/0?atLeast=0']
]

t.test('what lists nothing for somebody is not there, in every form', async (t) => {
  const { app, store } = await openApp(t, { insecure: false, anonymous: true })
  const bob = await makeUser(store, 'bob')
  const { text } = await makeToken(store, 'bob', { read: ['bobs'] })
  const correlated = { type: 'Whispered', metadata: { $correlationId: 'abcde' } }
  await append(app, 'hidden-1', [correlated, correlated], admin)
  await setRules(app, 'hidden-1', { read: 'ann' })
  const pairs = [['$ce-hidden', '$ce-absent'], ['$et-Whispered', '$et-Something'], ['$bc-abcde', '$bc-fghij'], ['$category-hidden', '$category-absent']] as const // biome-ignore format: a list
  for (const [there, absent] of pairs) {
    for (const [rest, headers = {}] of FORMS) {
      for (const [name, who] of [
        ['Bob', bob],
        ['a token', bearer(text)],
        ['nobody', {}]
      ] as [string, Record<string, string>][]) {
        const [one, other] = [await seen(there), await seen(absent)]
        t.equal(one.status, 404, `${name}: ${there}${rest} ${JSON.stringify(headers)}`)
        t.same(one, other, `${name}: ${there}${rest} ${JSON.stringify(headers)} is answered as if it were not there`)
        async function seen(stream: string) {
          const {
            statusCode,
            statusMessage,
            headers: said,
            body
          } = await ask(app, `GET /streams/${stream}${rest}`, { ...headers, ...who })
          const { 'request-id': id, date: _, 'content-length': __, ...same } = said
          const [name, same_] = [encodeURIComponent(stream), JSON.stringify(same)]
          const anonymous = (text: string) =>
            text.replaceAll(stream, '$x').replaceAll(name, '$x').replaceAll(String(id), 'id')
          return { status: statusCode, statusMessage, headers: anonymous(same_), body: anonymous(body) }
        }
      }
    }
    t.equal((await ask(app, `GET /streams/${there}`, admin)).statusCode, 200, `${there} is there for others`)
  }
})

t.test('the metadata of an index stream in the dialect does not tell whether it is there', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const bob = await makeUser(store, 'bob')
  await append(app, 'hidden-1', [{ type: 'T' }, { type: 'T' }], admin)
  await setRules(app, 'hidden-1', { read: 'ann' })
  const answerOf = async (stream: string, rest: string) => {
    const { statusCode, headers, body } = await ask(app, `GET /streams/${stream}/${rest}`, { ...bob, accept: ATOM })
    return [statusCode, headers['content-type'], body]
  }
  for (const rest of ['metadata', 'metadata/0', 'metadata/1']) {
    t.same(await answerOf('$ce-hidden', rest), await answerOf('$ce-absent', rest), rest)
  }
})

t.test('what somebody may read is there, however much is listed after it that they may not', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const bob = await makeUser(store, 'bob')
  await append(app, 'long-1', { type: 'T' }, admin)
  for (let left = limits.scan_events_max; left > 0; left -= limits.batch_events_max) {
    await append(app, 'long-2', Array(Math.min(left, limits.batch_events_max)).fill({ type: 'T' }), admin)
  }
  await setRules(app, 'long-2', { read: 'ann' })
  const { statusCode, body } = await ask(app, 'GET /streams/$ce-long', bob)
  t.equal(statusCode, 200)
  t.match(JSON.parse(body).events, [{ stream: 'long-1' }])
})
