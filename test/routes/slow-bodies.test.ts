import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { systemClock } from '../../src/time/clock.js'
import { listen } from '../helpers/app.js'

t.test('a stalled body is ended with 408; a streamed write may be idle', async (t) => {
  let later = 0
  const clock = {
    ...systemClock,
    elapsed: () => performance.now() + later,
    after: (ms: number, callback: () => void) => systemClock.after(Math.min(ms, 10), callback)
  }
  const { url, store } = await listen(t, { clock })
  const { port, hostname } = new URL(url)
  const open = (path: string, type: string) => {
    const socket = connect(Number(port), hostname)
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\nContent-Length: 58\r\n\r\n{"stream":"s","type":"A"}\n`
    )
    return socket
  }
  const streamed = open('/events?batch=1', 'application/x-ndjson')
  await once(streamed, 'data')
  const slow = open('/streams/s', 'application/json')
  const closed = once(slow, 'close')
  let text = ''
  slow.on('data', (chunk) => (text += chunk))
  while ((await fetch(`${url}/ping`)).ok && text === '') later += 10_000
  await closed
  t.match(text, /^HTTP\/1\.1 408 [\s\S]*"code":"request-timeout"/)
  t.ok(later >= 60_000, 'not before its time-out')
  streamed.write('{"stream":"s","type":"B","data":"xyz"}\n'.slice(0, 32))
  let rest = ''
  streamed.on('data', (chunk) => (rest += chunk))
  streamed.end()
  await once(streamed, 'close')
  t.notMatch(rest, /408/)
  t.equal(store.log.head, 0, 'the first line of the streamed write is committed')
})
