/**
 * A workload for a store whose disk fails now and then, and what must hold of the log whatever failed: numbers and
 * positions have no gaps, every acknowledged event is there, no event is there whose answer was "not written", and
 * cached state agrees with the log.
 */
import type { Test } from 'tap'
import { readSettings, SETTINGS } from '../../src/access/permissions.js'
import { limits } from '../../src/limits.js'
import { family, type StoredRecord } from '../../src/log/format.js'
import { Store, type StoreOptions } from '../../src/store/store.js'
import { metastreamOf } from '../../src/streams/names.js'
import type { NewEvent } from '../../src/streams/new-event.js'
import type { AppendResult } from '../../src/writing/plan/plan-append.js'
import { StillClock } from './clock.js'
import { encodeEvent, type Plain } from './events.js'
import { type FaultyDisk, faultyDisk } from './faulty-disk.js'

export interface Setup {
  readonly store: Store
  readonly disk: FaultyDisk
  readonly clock: StillClock
  readonly directory: string
}

/**
 * Opens a store on a clock that the test moves. With the limits of `smallDisk`, it loads and writes a commit in several
 * steps.
 */
export async function openSmall(t: Test, disk: FaultyDisk, options: Partial<StoreOptions> = {}): Promise<Setup> {
  const clock = new StillClock()
  const directory = options.directory ?? t.testdir({})
  const store = await new Store({ ...options, directory, clock }).open()
  t.teardown(() => store.close())
  return { store, disk, clock, directory }
}

/** Changes limits until the test ends. */
export function changeLimits(t: Test, bounds: Partial<Record<keyof typeof limits, number>>): void {
  const before = { ...limits }
  Object.assign(limits, bounds)
  t.teardown(() => Object.assign(limits, before))
}

/** Returns the disk of `faultyDisk`, with limits that are lowered for quick tests. */
export function smallDisk(t: Test): FaultyDisk {
  changeLimits(t, { heads_loaded_max: 60, index_pending_max: 80, heads_cached_max: 200, commit_work_max: 80 })
  return faultyDisk(t)
}

/**
 * Moves the clock by one second per turn of the event loop, until the work is done and the store can be written again.
 */
export async function untilWritable<T>({ store, clock }: Setup, work: Promise<T>): Promise<T> {
  let done = false
  const ended = work.finally(() => {
    done = true
  })
  ended.catch(() => {})
  const patience = performance.now() + 60_000
  while (!done || store.readOnlyMode.why !== undefined) {
    if (performance.now() > patience)
      throw new Error(`not done after 60 s; read-only because of: ${store.readOnlyMode.why}`)
    clock.move(1000)
    await new Promise((resolve) => setImmediate(resolve))
  }
  return ended
}

/** Returns a fault that fails one call of this name. */
export function failOnce(call: string, failure: 'before' | 'after' = 'before') {
  let left = 1
  return (name: string) => (name === call && left-- > 0 ? failure : undefined)
}

/** A write of the workload, and its answer. */
interface Attempt {
  readonly what: string
  readonly events: readonly NewEvent[]
  /** The data of each event, which no other event of the log has. */
  readonly marks: readonly string[]
  readonly send: () => Promise<AppendResult | { readonly position: number }>
  answer?: PromiseSettledResult<AppendResult | { readonly position: number }>
}

/** Codes that leave open whether a write is in the log: it failed half way, or met a full disk. */
const UNSURE = new Set(['storage-failed', 'read-only'])

export class Workload {
  readonly #setup: Setup
  #round = 0
  #ids = 0
  /** The content of the log, as far as it has been read. */
  readonly #counts = new Map<string, number>()
  readonly #places = new Map<string, { position: number; number: number }>()
  #read = -1
  #settings: Buffer | undefined
  #lastRound: Attempt[] = []
  readonly #wrong: string[] = []

  constructor(setup: Setup) {
    this.#setup = setup
  }

  /** Sends writes of every kind, some of them at the same time. Returns when the store can be written again. */
  async run(): Promise<void> {
    const round = ++this.#round
    const { store } = this.#setup
    const shared = (i: number) => `shared-${i % 4}`
    const many = Array.from({ length: 120 }, (_, i) => `new-${round}-${i % 30}`)
    const doomed = `doomed-${round}`
    const first = [
      this.#append('many new streams with ids', many.slice(0, 70), { id: true, tag: true }),
      this.#append(
        'old streams without ids',
        Array.from({ length: 20 }, (_, i) => shared(i)),
        { tag: true }
      ),
      this.#append('more in the same streams', many.slice(70), { id: true, tag: true }),
      this.#append('a stream that will end', [doomed, doomed], {}),
      this.#append('settings', [SETTINGS], { data: { $userStreamAcl: { $w: [`writer-${round}`, '$all'] } } })
    ]
    await this.#send(first)
    const metastream = metastreamOf('shared-0')
    const second = [
      this.#append('metadata', [metastream], { type: '$metadata', data: { $maxCount: 1000 + round } }),
      this.#append('one by one, with ids', [shared(round), `new-${round}-0`, shared(round)], {
        id: true,
        kind: 'append-each'
      }),
      { what: 'a tombstone', events: [], marks: [], send: () => store.writer.delete({ kind: 'delete', stream: doomed, expected: 'any', permanent: true }) }, // biome-ignore format: one line
      this.#append('on a condition', [shared(1)], { id: true, matches: [`none-${round}`] }),
      this.#append('more in the new streams', many.slice(0, 20), { tag: true })
    ]
    await this.#send(second)
    this.#lastRound = [...first, ...second]
  }

  #append(
    what: string,
    streams: readonly string[],
    { id, tag, type, data, kind = 'append', matches }: { id?: boolean; tag?: boolean; type?: string; data?: object; kind?: 'append' | 'append-each'; matches?: string[] } // biome-ignore format: one line
  ): Attempt {
    const marks: string[] = []
    const events = streams.map((stream) => {
      const mark = `mark-${++this.#ids}`
      marks.push(data === undefined ? mark : JSON.stringify(data))
      const plain: Plain = { data: data ?? mark }
      if (type !== undefined) plain.type = type
      if (id) plain.id = `00000000-0000-4000-a000-${String(this.#ids).padStart(12, '0')}`
      if (tag) plain.tags = [`tag-${this.#round}-${this.#ids % 40}`]
      return encodeEvent(stream, plain)
    })
    const conditions = matches?.map((name, index) => ({ items: [{ types: [], tags: [name] }], after: -1, index }))
    const { store } = this.#setup
    const send = () =>
      store.writer.append(kind === 'append' ? { kind, events, conditions: [], matches: conditions } : { kind, events })
    return { what, events, marks, send }
  }

  async #send(attempts: Attempt[]): Promise<void> {
    const answers = await untilWritable(this.#setup, Promise.allSettled(attempts.map(({ send }) => send())))
    for (const [i, attempt] of attempts.entries()) attempt.answer = answers[i] as NonNullable<Attempt['answer']>
  }

  /** Sends the writes with ids again, and compares everything with the log. @returns what is wrong */
  async faults(): Promise<string[]> {
    await this.#readLog()
    for (const attempt of this.#lastRound) this.#compare(attempt)
    for (const attempt of this.#lastRound) if (attempt.events[0]?.id !== undefined) await this.#sendAgain(attempt)
    await this.#compareIndex()
    await this.#compareKnown()
    return this.#wrong.splice(0)
  }

  async #readLog(): Promise<void> {
    const { log, postings, dispatcher } = this.#setup.store
    if (log.head > this.#read) {
      for await (const records of log.scan(this.#read + 1, log.head)) for (const record of records) this.#take(record)
    }
    const { head, publishedHead } = log
    if (postings.appliedTo !== head || publishedHead !== head)
      this.#wrong.push(
        `the log ends at ${head}, the index at ${postings.appliedTo}, the published head is ${publishedHead}`
      )
    // Live readers must receive all of it without another commit.
    while (dispatcher.next <= head) await new Promise((resolve) => setImmediate(resolve))
  }

  #take(record: StoredRecord): void {
    const { stream, number, position } = record
    const next = this.#counts.get(stream) ?? 0
    if (position !== this.#read + 1) this.#wrong.push(`position ${position} follows ${this.#read}`)
    if (number !== next) this.#wrong.push(`position ${position}: "${stream}" has number ${number} after ${next - 1}`)
    this.#read = position
    this.#counts.set(stream, number + 1)
    if (stream === SETTINGS) this.#settings = record.data
    const mark = markOf(record)
    if (this.#places.has(mark)) this.#wrong.push(`${mark} is in the log twice: ${this.#places.get(mark)?.position} and ${position}`) // biome-ignore format: one line
    this.#places.set(mark, { position, number })
  }

  /** Checks that an answer was true. */
  #compare({ what, events, marks, answer }: Attempt): void {
    const there = marks.filter((mark) => this.#places.has(mark)).length
    const say = (says: string) => this.#wrong.push(`round ${this.#round}, ${what}: ${says}`)
    if (answer?.status === 'rejected') {
      const { code, details = {}, message } = answer.reason
      if (details.written === false && there > 0)
        say(`${code} reported "not written", but ${there} of its events are there`)
      if (details.written !== false && details.written !== 'unknown')
        say(`${code} (${message}) does not say whether it was written`)
      if (details.written === 'unknown' && !UNSURE.has(code)) say(`${code} must know whether it was written`)
      if (there !== 0 && there !== events.length) say(`${there} of ${events.length} are there`)
      return
    }
    const result = answer?.value as AppendResult
    for (const [i, { position, number }] of (result.events ?? []).entries()) {
      const place = this.#places.get(marks[i] as string)
      if (place?.position !== position || place.number !== number)
        say(`acknowledged as number ${number} at ${position}, the log has ${JSON.stringify(place)}`)
    }
  }

  async #sendAgain({ what, events, marks, send }: Attempt): Promise<void> {
    const before = marks.map((mark) => this.#places.get(mark))
    const result = (await untilWritable(this.#setup, send())) as AppendResult
    await this.#readLog()
    for (const [i, placed] of result.events.entries()) {
      const known = before[i]
      const right = known === undefined ? !placed.replayed : placed.replayed && placed.position === known.position
      if (!right) this.#wrong.push(`${what}: sent again, event ${i} is ${JSON.stringify({ ...placed, event: 0 })}, and was ${JSON.stringify(known)}`) // biome-ignore format: one line
      const now = this.#places.get(marks[i] as string)
      if (now?.position !== placed.position) this.#wrong.push(`${what}: sent again, event ${i} is not in the log`)
    }
    if (result.events.length !== events.length)
      this.#wrong.push(`${what}: sent again, ${result.refused?.error.message}`)
  }

  /** Checks that every stream has as many events in the index as in the log. */
  async #compareIndex(): Promise<void> {
    const { postings, log } = this.#setup.store
    for (const [stream, count] of this.#counts) {
      if (/^(new|doomed)-/.test(stream) && !stream.includes(`-${this.#round}`)) continue
      const head = await postings.head(family.stream, stream)
      if (head?.count !== count) this.#wrong.push(`"${stream}" has ${count} events, its list ${head?.count}`)
      if (!head) continue
      const record = await log.read(await postings.position(family.stream, head, head.count - 1))
      if (record.stream !== stream || record.number !== count - 1)
        this.#wrong.push(`the index has the last event of "${stream}" at ${record.position}`)
    }
  }

  /** Checks that the cached state of system streams agrees with the log. */
  async #compareKnown(): Promise<void> {
    const { states, rules } = this.#setup.store
    const settings = JSON.stringify(readSettings(this.#settings, false))
    if (JSON.stringify(rules.settings) !== settings) this.#wrong.push(`the settings are not ${settings}`)
    const version = (this.#counts.get(metastreamOf('shared-0')) ?? 0) - 1
    const shared = await states.of('shared-0')
    if (shared.version !== version) this.#wrong.push(`metadata ${shared.version} is known, the log has ${version}`)
    const doomed = `doomed-${this.#round}`
    const ended = this.#places.has(`tombstone of ${doomed}`)
    if ((await states.of(doomed)).tombstone !== ended) this.#wrong.push(`the tombstone of "${doomed}" is not known`)
  }
}

function markOf(record: StoredRecord): string {
  if (record.tombstone) return `tombstone of ${record.stream}`
  const text = record.data?.toString() ?? ''
  return text.startsWith('"mark-') ? (JSON.parse(text) as string) : text
}
