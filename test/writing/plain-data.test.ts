/** Requests are plain data, and a plan depends on nothing else: another process plans the same from the same bytes. */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { deserialize, serialize } from 'node:v8'
import t from 'tap'
import { DaybookError, type ErrorCode } from '../../src/errors.js'
import type { PlannedAnswer } from '../../src/writing/plan/plan-commit.js'
import type { WriteRequest } from '../../src/writing/plan/write-request.js'
import { bytesOfPlan, planned } from '../helpers/plain-plan.js'
import { compiledScript } from '../helpers/project.js'
import { seeded } from '../helpers/random.js'
import { type RandomCommit, randomCommit } from '../helpers/random-commits.js'

const COMMITS = 10_000
const ELSEWHERE = compiledScript('test/helpers/plan-elsewhere.ts')

/** Every code with which a plan refuses a request. */
const REFUSALS: readonly ErrorCode[] = [
  'sign-in-required',
  'not-permitted',
  'bad-event-id',
  'invalid-event',
  'invalid-metadata',
  'bad-stream-name',
  'stream-not-found',
  'stream-deleted',
  'wrong-expected-version',
  'events-match',
  'event-id-reused',
  'idempotency-key-reused',
  'partial-replay',
  'overloaded'
]

t.test('the same bytes give the same plan in another process', async (t) => {
  const random = seeded(t)
  const counts = new Map<string, number>()
  const asked: Buffer[] = []
  const here: Buffer[] = []
  for (let i = 0; i < COMMITS; i++) {
    const commit = randomCommit(random)
    const fault = notPlain(commit, 'commit')
    if (fault !== undefined) return t.fail(`commit ${i}: ${fault}`)
    const before = serialize(commit)
    const plan = planned(commit)
    if (!isDeepStrictEqual(deserialize(before), commit)) return t.fail(`commit ${i}: planning changed the requests`)
    asked.push(before)
    here.push(bytesOfPlan(plan))
    for (const [j, answer] of plan.answers.entries()) {
      for (const kind of kindsOf(commit.requests[j] as WriteRequest, answer))
        counts.set(kind, (counts.get(kind) ?? 0) + 1)
    }
  }
  const folder = t.testdir({})
  const [from, to] = [join(folder, 'commits'), join(folder, 'plans')]
  writeFileSync(from, serialize(asked))
  execFileSync(process.execPath, [ELSEWHERE, from, to])
  const there = deserialize(readFileSync(to)) as Buffer[]
  t.equal(there.length, COMMITS)
  const other = here.findIndex((bytes, i) => !bytes.equals(there[i] as Buffer))
  if (other >= 0) t.equal(String(there[other]), String(here[other]), `commit ${other}`)
  t.equal(other, -1, 'every plan is the same in the other process')

  t.comment([...counts].map(([kind, count]) => `${kind} ${count}`).join(', '))
  for (const code of REFUSALS) t.ok(counts.has(code), `a request is refused with ${code}`)
  for (const kind of ['append', 'append-each', 'append-by-place', 'delete'])
    t.ok(counts.has(kind), `a request of kind ${kind} succeeds`)
  for (const kind of ['append', 'append-each', 'append-by-place'])
    t.ok(counts.has(`${kind} again`), `a request of kind ${kind} is replayed`)
  t.ok(counts.has('append-each in part') && counts.has('told in the audit'))
  const codes = [...counts.keys()].filter((kind) => REFUSALS.includes(kind as ErrorCode))
  t.same(codes.sort(), [...REFUSALS].sort(), 'the list of refusals is complete')
})

/** Returns the kinds of an answer, to count them. */
function kindsOf({ kind }: WriteRequest, answer: PlannedAnswer): string[] {
  if (answer instanceof DaybookError) return [answer.code]
  if (!('events' in answer)) return [kind]
  const { events, replayed, refused } = answer
  const audited = events.some(({ event, replayed }) => !replayed && event.stream.startsWith('$$'))
    ? ['told in the audit']
    : []
  if (replayed) return [`${kind} again`]
  if (refused !== undefined) return [refused.error.code, ...(events.length > 0 ? [`${kind} in part`] : [])]
  return [kind, ...audited]
}

/** Returns where a value has a part that is not plain data; undefined when it has none. */
function notPlain(value: unknown, path: string): string | undefined {
  if (typeof value === 'function' || typeof value === 'symbol') return `${path} is a ${typeof value}`
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return undefined
  const prototype: unknown = Object.getPrototypeOf(value)
  if (![Object.prototype, Array.prototype, Map.prototype, Set.prototype].includes(prototype as never))
    return `${path} is an instance of ${value.constructor.name}`
  const members =
    value instanceof Map ? [...value.keys(), ...value.values()] : value instanceof Set ? [...value] : undefined
  for (const [name, member] of Object.entries(members ?? value)) {
    const fault = notPlain(member, `${path}.${name}`)
    if (fault !== undefined) return fault
  }
  return undefined
}

t.test('the check finds values that are not plain data', async (t) => {
  const commit = randomCommit(seeded(t))
  t.equal(notPlain(commit, 'commit'), undefined)
  const [one] = commit.requests
  const wrong: unknown[] = [() => true, new DaybookError('internal', 'x'), new Date(), Symbol('x')]
  for (const member of wrong) {
    t.ok(notPlain({ ...commit, requests: [{ ...one, member }] } as unknown as RandomCommit, 'commit'), typeof member)
  }
})
