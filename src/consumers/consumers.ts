/**
 * Consumers by name. What defines them is events in the system stream `$consumers`, as all own state is; how far they
 * are stands in places of their own, which may be lost and then cost repetition.
 */

import type { MovedPlace, Places } from '../dispatch/places.js'
import { DaybookError, isDaybookError } from '../errors.js'
import { limits } from '../limits.js'
import type { StoredRecord } from '../log/format.js'
import type { Reader } from '../reading/reader.js'
import type { Address, Sources } from '../reading/sources.js'
import { indexStreamOf } from '../streams/index-streams.js'
import { serverEvent } from '../streams/new-event.js'
import type { Clock } from '../time/clock.js'
import { secondsOf } from '../time/duration.js'
import type { Writer } from '../writing/writer.js'
import { CONSUMER_DEFAULTS, Consumer, type ConsumerDefinition } from './consumer.js'
import { ServedTime } from './served-time.js'

const STREAM = '$consumers'
const DEFINED = '$ConsumerDefined'
const REMOVED = '$ConsumerRemoved'
const LOOK_MS = 1000

export interface ConsumersParts {
  reader: Reader
  writer: Writer
  places: Places
  sources: Sources
  clock: Clock
}

export class Consumers {
  readonly #parts: ConsumersParts
  readonly #served: ServedTime
  readonly #byName = new Map<string, Consumer>()
  /** The last generation of those that were removed: who reads under the name again is never taken for them. */
  readonly #generations = new Map<string, number>()
  /** Changes are made one after the other. */
  #changes: Promise<unknown> = Promise.resolve()
  #cancel = () => {}

  constructor(parts: ConsumersParts) {
    this.#parts = parts
    this.#served = new ServedTime(parts.clock)
  }

  /**
   * Brings back what was defined. Places that the log has not reached are put back.
   * @returns what the operator should know of that, a sentence each
   */
  async load(): Promise<string[]> {
    for await (const record of this.#parts.reader.records(STREAM, 'asc')) this.#fold(record)
    this.#forgetUndefined()
    const notices: string[] = []
    for (const consumer of this.#byName.values()) {
      const moved = await this.#settle(consumer)
      if (moved === undefined) continue
      const { from, to, reason } = moved
      notices.push(`the consumer "${consumer.name}" goes on after ${to} instead of ${from}: ${reason}`)
    }
    this.#lookLater()
    return notices
  }

  /** Removes places of consumers whose definition the log has lost. Their readers move nothing under the same name. */
  #forgetUndefined(): void {
    const { places } = this.#parts
    for (const name of places.names('consumer')) {
      const place = places.get('consumer', name)
      if (place === undefined || this.#byName.has(name)) continue
      this.#generations.set(name, Math.max(this.#generations.get(name) ?? 0, place.generation + 1))
      places.remove('consumer', name).catch(() => {}) // it is tried again, also at the next start
    }
  }

  async #settle(consumer: Consumer): Promise<MovedPlace | undefined> {
    const { sources } = this.#parts
    const isSameLog = consumer.validUpTo === Infinity
    try {
      const source = await sources.toFollow(addressOf(consumer.definition.source))
      if (isSameLog && !sources.isComplete(source)) return undefined
      return consumer.settle(await sources.lastUpTo(source, consumer.validUpTo))
    } catch (error) {
      if (!isDaybookError(error)) throw error
      // Nobody can read there now, so nobody can move the place either.
      if (error.code === 'stream-deleted' || error.code === 'index-switched-off' || isSameLog) return undefined
      throw error
    }
  }

  /**
   * Brings the consumers up to what the log says after a write failed: a definition or a removal that was answered as failed may
   * be in the log after all. Consumers that are there stay the same objects.
   */
  async reload(): Promise<void> {
    const latest = new Map<string, StoredRecord>()
    for await (const record of this.#parts.reader.records(STREAM, 'asc')) {
      const said = saidIn(record)
      if (said !== undefined) latest.set(said.name, record)
    }
    for (const [name, record] of latest) {
      const there = this.#byName.get(name)
      if ((record.type === DEFINED) === (there !== undefined)) continue
      there?.end()
      this.#fold(record)
    }
  }

  get size(): number {
    return this.#byName.size
  }

  /** By name, in the order of the alphabet. */
  all(): Consumer[] {
    return [...this.#byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  find(name: string): Consumer | undefined {
    return this.#byName.get(name)
  }

  /** @throws `consumer-not-found` */
  get(name: string): Consumer {
    const consumer = this.find(name)
    if (consumer !== undefined) return consumer
    throw new DaybookError(
      'consumer-not-found',
      `There is no consumer "${name.slice(0, limits.consumer_name_chars_max)}"; PUT /consumers/{name} makes one.`,
      { consumer: name.slice(0, limits.consumer_name_chars_max) }
    )
  }

  /**
   * Makes a consumer, or finds the same one; it is on disk, and so is the place where it begins.
   * @param start gives that place, when the consumer is new
   * @throws `consumer-exists` when it is there and is not the same; `limit-reached` when there are too many
   */
  define(
    wanted: Omit<ConsumerDefinition, 'start' | 'generation'>,
    start: () => Promise<number>
  ): Promise<{ consumer: Consumer; made: boolean }> {
    return this.#inTurn(async () => {
      const { name } = wanted
      const existing = this.#byName.get(name)
      if (existing !== undefined) {
        checkSame(existing.definition, wanted)
        return { consumer: existing, made: false }
      }
      this.#checkRoom(wanted)
      const generation = this.#generations.get(name) ?? 0
      const definition = { ...wanted, start: await start(), generation }
      const consumer = this.#make(definition, await this.#append(DEFINED, definition))
      await consumer.begin()
      return { consumer, made: true }
    })
  }

  #checkRoom({ owner, ownerSince }: Pick<ConsumerDefinition, 'owner' | 'ownerSince'>): void {
    const all = this.#byName.size
    if (all >= limits.consumers_max) {
      throw new DaybookError('limit-reached', `There are ${all} consumers already.`, { limit: limits.consumers_max })
    }
    let own = 0
    for (const { definition } of this.#byName.values()) {
      if (definition.owner === owner && definition.ownerSince === ownerSince) own++
    }
    if (own < limits.consumers_of_one_max) return
    const whose = owner === undefined ? 'without an owner' : `of "${owner}"`
    throw new DaybookError('limit-reached', `There are ${own} consumers ${whose} already.`, {
      limit: limits.consumers_of_one_max
    })
  }

  /** Ends its connection and forgets its place. @throws `consumer-not-found` */
  remove(name: string): Promise<void> {
    return this.#inTurn(async () => {
      const consumer = this.get(name)
      const { generation } = consumer
      await this.#append(REMOVED, { name, generation })
      consumer.end()
      this.#byName.delete(name)
      this.#generations.set(name, generation)
      await this.#parts.places.remove('consumer', name)
    })
  }

  close(): void {
    this.#cancel()
  }

  /** @param position of the definition */
  #make(definition: ConsumerDefinition, position: number): Consumer {
    const { expiresAfter } = definition.settings
    const expiresMs = expiresAfter === undefined ? undefined : 1000 * Number(secondsOf(expiresAfter))
    const consumer = new Consumer({ ...this.#parts, served: this.#served }, definition, expiresMs, position)
    this.#byName.set(definition.name, consumer)
    return consumer
  }

  /** Events that say nothing to us, whoever wrote them, are passed over. */
  #fold(record: StoredRecord): void {
    const said = saidIn(record)
    if (said === undefined) return
    if (record.type === REMOVED) {
      this.#byName.delete(said.name)
      this.#generations.set(said.name, said.generation)
      return
    }
    try {
      this.#make({ ...said, settings: { ...CONSUMER_DEFAULTS, ...said.settings } }, record.position)
    } catch {} // settings that make no sense
  }

  /** @returns the position of the event */
  async #append(type: string, content: object): Promise<number> {
    const events = [serverEvent(STREAM, type, content)]
    const result = await this.#parts.writer.append({ events, conditions: [], kind: 'append' })
    return (result.events[0] as { position: number }).position
  }

  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#changes.then(change)
    this.#changes = result.catch(() => {})
    return result
  }

  /** Those that nobody reads for too long are removed. */
  #lookLater(): void {
    this.#cancel = this.#parts.clock.after(LOOK_MS, () => {
      this.#served.read()
      for (const consumer of this.#byName.values()) {
        // What cannot be removed now is tried again.
        if (consumer.age === 'over') this.remove(consumer.name).catch(() => {})
      }
      this.#lookLater()
    })
  }
}

/** What an event says of the consumer that it defines or removes; undefined for all other events. */
function saidIn(record: StoredRecord): ConsumerDefinition | undefined {
  if (record.type !== DEFINED && record.type !== REMOVED) return undefined
  try {
    const said = JSON.parse(record.data?.toString() ?? '') as ConsumerDefinition
    return typeof said.name === 'string' ? said : undefined
  } catch {
    return undefined
  }
}

/** The stream or log that a source reads. Its filters change no cursor. */
function addressOf(source: string): Address {
  const [path = ''] = source.split('?', 1)
  const name = decodeURIComponent(path.replace(/^\/streams\//, ''))
  return path === '/events' || name === '$all' ? { stream: undefined } : { stream: name, index: indexStreamOf(name) }
}

/** @throws `consumer-exists` naming what differs */
function checkSame(there: ConsumerDefinition, wanted: Omit<ConsumerDefinition, 'start' | 'generation'>): void {
  const flat = ({ source, from, settings }: typeof wanted) => ({ source, from, ...settings }) as Record<string, unknown>
  const [now, asked] = [flat(there), flat(wanted)]
  const differs = Object.keys(asked).filter((name) => now[name] !== asked[name])
  if (differs.length === 0) return
  const [first = ''] = differs
  throw new DaybookError(
    'consumer-exists',
    `"${wanted.name}" is there with other settings (${first} is ${JSON.stringify(now[first]) ?? 'not set'}); DELETE it first, or take another name.`,
    { consumer: wanted.name, differs }
  )
}
