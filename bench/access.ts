/** What authentication and access rules cost. */
import { drains } from './ndjson.js'
import { singleBodies } from './support/events.js'
import { count, type Report } from './support/report.js'
import { inTurn } from './support/rounds.js'
import type { Scale } from './support/scale.js'
import type { Server } from './support/servers.js'
import { sends, startWork, type Work } from './support/work.js'
import { writeScript } from './support/wrk.js'

const STORE = { events: 200_000, streams: 1000 }
/** Number of streams with an access rule of their own. */
const RULED = 100

const ADMIN = basic('admin', 'changeit')
const ANN = basic('ann', 'wonder')

const REQUESTS = { streams: 1000, bodies: singleBodies(64) }

function appendWork(): Work {
  const client = sends(writeScript({ ...REQUESTS, authorization: ANN }))
  return {
    what: 'durable appends, 64 connections, Basic credentials',
    unit: '/s',
    async client(daybook) {
      await makeAnn(daybook)
      return client(daybook)
    }
  }
}

/**
 * Reads the whole log with an account that may read all of it but is no administrator.
 * @param ruled number of streams with a rule
 */
function readWork(ruled: number): Work {
  const rules = ruled === 0 ? 'no rules' : `rules on ${ruled} of ${count(STORE.streams)} streams`
  return {
    what: `NDJSON of ${count(STORE.events)} events, not an administrator, ${rules}`,
    unit: 'events/s',
    store: STORE,
    async client(daybook) {
      await makeAnn(daybook)
      for (let i = 0; i < ruled; i++) {
        await send(daybook, 'PUT', `/streams/bench-${i}/metadata`, { acl: { read: ['ann'] } })
      }
      return drains(daybook, STORE.events, { authorization: ANN })
    }
  }
}

export function accessWorks(): Work[] {
  return [appendWork(), readWork(0), readWork(RULED)]
}

export async function benchAccess(report: Report, scale: Scale): Promise<void> {
  await benchAppends(report, scale)
  for (const ruled of [0, RULED]) await benchReads(readWork(ruled), report, scale)
}

async function benchAppends(report: Report, scale: Scale): Promise<void> {
  const work = appendWork()
  const daybook = await startWork(work)
  const anonymous = await sends(writeScript(REQUESTS))(daybook.server)
  await anonymous.load(2)
  const rates = await inTurn(scale, {
    signedIn: () => daybook.load(scale.seconds),
    anonymous: () => anonymous.load(scale.seconds)
  })
  await daybook.stop()
  const limit = { name: 'the same without credentials', rates: rates.anonymous }
  report.ratio('access', { ...work, rates: rates.signedIn, limit, wanted: 0.9 })
}

async function benchReads(work: Work, report: Report, scale: Scale): Promise<void> {
  const daybook = await startWork(work)
  const administrator = drains(daybook.server, STORE.events, { authorization: ADMIN })
  await administrator.load(2)
  const rates = await inTurn(scale, {
    everybody: () => daybook.load(scale.seconds),
    administrator: () => administrator.load(scale.seconds)
  })
  await daybook.stop()
  const limit = { name: 'an administrator', rates: rates.administrator }
  report.ratio('access', { ...work, rates: rates.everybody, limit, wanted: 0.8 })
}

/** The account may exist from an earlier round. */
function makeAnn(daybook: Server): Promise<void> {
  return send(daybook, 'POST', '/users', { loginName: 'ann', fullName: 'Ann', groups: [], password: 'wonder' }, 409)
}

/** @throws if the status is neither a success nor `expected` */
async function send({ url }: Server, method: string, path: string, body: object, expected?: number): Promise<void> {
  const headers = { authorization: ADMIN, 'content-type': 'application/json' }
  const { status } = await fetch(url + path, { method, headers, body: JSON.stringify(body) })
  if (status > 201 && status !== expected) throw new Error(`${method} ${path} was answered ${status}`)
}

function basic(login: string, password: string): string {
  return `Basic ${Buffer.from(`${login}:${password}`).toString('base64')}`
}
