/** Appends that are legal and heavy: many tags, and conditions on many types. */
import { exchange, exchangeAtOnce, Tally } from './hostile-client.js'
import type { HostileLoad } from './hostile-load.js'

const EVENTS = 4096
const TAGS = 32
const CONDITIONED = 300
const TYPES = 1000
const headers = { 'content-type': 'application/json' }

const tagged: HostileLoad = {
  what: `one append of ${EVENTS} events with ${TAGS} tags each, small appends beside it`,
  content: 'small',
  attack: async ({ url }) => {
    const events = Array.from({ length: EVENTS }, (_, i) => ({
      stream: `tagged-${i % 8}`,
      type: 'T',
      tags: Array.from({ length: TAGS }, (_, n) => `tag-${n}:${i}`)
    }))
    const body = JSON.stringify({ events })
    const appends = new Tally()
    let longest = 0
    let going = true
    const beside = async () => {
      while (going) {
        const started = performance.now()
        appends.add(
          (await exchange(url, { path: '/streams/beside', method: 'POST', headers, body: '{"type":"T"}' })).status
        )
        longest = Math.max(longest, performance.now() - started)
      }
    }
    const small = beside()
    const { status } = await exchange(url, { path: '/events', method: 'POST', headers, body })
    going = false
    await small
    return `${status}; beside it ${appends.text}, longest ${Math.round(longest)} ms`
  },
  isRight: (outcome) => /^201; beside it \d+ × 201, longest/.test(outcome)
}

const conditioned: HostileLoad = {
  what: `${CONDITIONED} appends at once, each with failIfEventsMatch of ${TYPES} types`,
  content: 'small',
  attack: ({ url }) => {
    const items = Array.from({ length: TYPES }, (_, i) => ({ types: [`Type${i}`] }))
    const bodies = Array.from({ length: CONDITIONED }, (_, i) =>
      JSON.stringify({
        events: [{ stream: `conditioned-${i}`, type: 'Conditioned' }],
        conditions: [{ failIfEventsMatch: { items } }]
      })
    )
    return exchangeAtOnce(url, CONDITIONED, (i) => ({
      path: '/events',
      method: 'POST',
      headers,
      body: bodies[i] as string
    }))
  }
}

export const heavyAppends = { 'tagged-append': tagged, 'conditioned-appends': conditioned } satisfies Record<
  string,
  HostileLoad
>
