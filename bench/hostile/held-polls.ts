/** Long polls of the Atom form on streams other than those that are appended to. */
import { setTimeout as sleep } from 'node:timers/promises'
import { appendAll } from '../support/http.js'
import { cpuSeconds } from '../support/usage.js'
import { HeldConnections } from './hostile-client.js'
import type { HostileLoad, Target } from './hostile-load.js'
import { ATOM } from './large-reads.js'

const POLLS = 1000
const APPENDS = 5000
const CONNECTIONS = 16
const AT_ONCE = 50

async function cpuOfAppends({ url, pid }: Target): Promise<number> {
  const before = cpuSeconds(pid)
  const bodies = Array.from({ length: APPENDS }, (_, i) => `{"type":"T","data":${i}}`)
  await appendAll(`${url}/streams/appended`, bodies, CONNECTIONS)
  return cpuSeconds(pid) - before
}

const polls: HostileLoad = {
  what: `${POLLS} ES-LongPolls held on other streams while ${APPENDS} events are appended`,
  content: 'small',
  prepare: async (url) => {
    const events = Array.from({ length: POLLS }, (_, i) => ({ stream: `polled-${i}`, type: 'T' }))
    await appendAll(`${url}/events`, [JSON.stringify({ events })])
    return ''
  },
  attack: async (target) => {
    await cpuOfAppends(target) // the server is warm from here on
    const alone = await cpuOfAppends(target)
    const held = new HeldConnections(target.url)
    for (let first = 0; first < POLLS; first += AT_ONCE) {
      await Promise.all(
        Array.from({ length: AT_ONCE }, (_, i) =>
          held.open(
            [`GET /streams/polled-${first + i}/1/forward/20 HTTP/1.1`, `Accept: ${ATOM}`, 'ES-LongPoll: 600'],
            true
          )
        )
      )
    }
    await sleep(1000)
    const beside = await cpuOfAppends(target)
    return `processor ratio ${(beside / alone).toFixed(2)}; ${held.text}`
  },
  isRight: (outcome) => Number(/ratio ([\d.]+)/.exec(outcome)?.[1]) < 1.2
}

export const heldPolls = { 'held-polls': polls } satisfies Record<string, HostileLoad>
