/** What authentication and access rules cost. */

import { singleBodies } from './support/events.js'
import { drainLog } from './support/http.js'
import { removeFolder, temporaryFolder } from './support/processes.js'
import { count, type Report } from './support/report.js'
import { inTurn } from './support/rounds.js'
import type { Scale } from './support/scale.js'
import { type Server, startDaybook } from './support/servers.js'
import { copiedStore } from './support/stores.js'
import { rateOf } from './support/usage.js'
import { load, writeScript } from './support/wrk.js'

const STORE = { events: 200_000, streams: 1000 }
/** So many of the streams have a rule of their own. */
const RULED = 100

const ADMIN = basic('admin', 'changeit')
const ANN = basic('ann', 'wonder')

export async function benchAccess(report: Report, scale: Scale): Promise<void> {
  await benchAppends(report, scale)
  await benchReads(report, scale)
}

async function benchAppends(report: Report, scale: Scale): Promise<void> {
  const directory = temporaryFolder()
  const daybook = await startDaybook(directory)
  await makeAnn(daybook)
  const requests = { streams: 1000, bodies: singleBodies(64) }
  const [anonymous, signedIn] = [writeScript(requests), writeScript({ ...requests, authorization: ANN })]
  const options = { connections: 64, seconds: scale.seconds }
  for (const script of [anonymous, signedIn]) await load(daybook, script, { connections: 64, seconds: 2 })
  const rates = await inTurn(scale, {
    signedIn: () => load(daybook, signedIn, options),
    anonymous: () => load(daybook, anonymous, options)
  })
  await daybook.stop()
  removeFolder(directory)
  report.ratio('access', {
    what: 'durable appends, 64 connections, Basic credentials',
    unit: '/s',
    rates: rates.signedIn,
    limit: { name: 'the same without credentials', rates: rates.anonymous },
    wanted: 0.9
  })
}

/** The whole log, by somebody who may read all of it but is no administrator. */
async function benchReads(report: Report, scale: Scale): Promise<void> {
  for (const ruled of [0, RULED]) {
    const directory = await copiedStore(STORE)
    const daybook = await startDaybook(directory)
    await makeAnn(daybook)
    for (let i = 0; i < ruled; i++) {
      await send(daybook, 'PUT', `/streams/bench-${i}/metadata`, { acl: { read: ['ann'] } })
    }
    const read = (authorization: string) => () =>
      rateOf(daybook.pid, () => drainLog(daybook.url, STORE.events, { authorization }))
    const [everybody, administrator] = [read(ANN), read(ADMIN)]
    for (let i = 0; i < 2; i++) {
      await everybody()
      await administrator()
    }
    const rates = await inTurn({ ...scale, rounds: scale.rounds * 2 }, { everybody, administrator })
    await daybook.stop()
    removeFolder(directory)
    const rules = ruled === 0 ? 'no rules' : `rules on ${ruled} of ${count(STORE.streams)} streams`
    report.ratio('access', {
      what: `NDJSON of ${count(STORE.events)} events, not an administrator, ${rules}`,
      unit: 'events/s',
      rates: rates.everybody,
      limit: { name: 'an administrator', rates: rates.administrator },
      wanted: 0.8
    })
  }
}

function makeAnn(daybook: Server): Promise<void> {
  return send(daybook, 'POST', '/users', { loginName: 'ann', fullName: 'Ann', groups: [], password: 'wonder' })
}

async function send({ url }: Server, method: string, path: string, body: object): Promise<void> {
  const headers = { authorization: ADMIN, 'content-type': 'application/json' }
  const { status } = await fetch(url + path, { method, headers, body: JSON.stringify(body) })
  if (status > 201) throw new Error(`${method} ${path} was answered ${status}`)
}

function basic(login: string, password: string): string {
  return `Basic ${Buffer.from(`${login}:${password}`).toString('base64')}`
}
