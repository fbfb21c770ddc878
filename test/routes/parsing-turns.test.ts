/** Large bodies are parsed in turns: the tests count how often the event loop ran other work meanwhile. */
import t from 'tap'
import { parseJsonEvents, parseNdjsonEvents } from '../../routes/wire/writing/event-body.js'
import { parseEventsBody } from '../../routes/wire/writing/multi-stream-body.js'
import { TURN_BYTES } from '../../routes/wire/writing/parsing-turns.js'
import { limits } from '../../src/limits.js'

const EVENTS = limits.batch_events_max
const event = `{"stream":"s","type":"T","data":"${'x'.repeat(8000)}"}`
const own = event.replace('"stream":"s",', '')

const forms = {
  'an array of events': [Buffer.from(`[${Array(EVENTS).fill(own).join()}]`), parseJson],
  'lines of events': [Buffer.from(`${own}\n`.repeat(EVENTS)), parseLines],
  'events of several streams': [Buffer.from(`{"events":[${Array(EVENTS).fill(event).join()}]}`), parseSeveral]
} as const

function parseJson(body: Buffer) {
  return parseJsonEvents(body, { stream: 's' })
}

function parseLines(body: Buffer) {
  return parseNdjsonEvents(body, { stream: 's' })
}

async function parseSeveral(body: Buffer) {
  return (await parseEventsBody(body, undefined)).events
}

for (const [what, [body, parse]] of Object.entries(forms)) {
  t.test(`${what} of ${body.length} bytes yield to the event loop after each ${TURN_BYTES} bytes`, async (t) => {
    let turns = 0
    let done = false
    const count = () => {
      turns++
      if (!done) setImmediate(count)
    }
    setImmediate(count)
    const events = await parse(body)
    done = true
    t.equal(events.length, EVENTS)
    t.ok(turns >= Math.floor(body.length / (TURN_BYTES + event.length)) - 1, `${turns} turns`)
  })
}

t.test('a small body is parsed synchronously, without a promise', async (t) => {
  t.ok(Array.isArray(parseJson(Buffer.from(own))))
  t.ok(Array.isArray(parseLines(Buffer.from(own))))
})

t.test('a large body gets the same errors as a small one', async (t) => {
  const [body] = forms['an array of events']
  const broken = Buffer.concat([body.subarray(0, -1), Buffer.from(',{"type":1}]')])
  await t.rejects(async () => parseJson(broken), { code: 'batch-too-large' })
  await t.rejects(async () => parseJson(body.subarray(0, -1)), { code: 'malformed-json' })
})
