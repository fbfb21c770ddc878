/**
 * All consumers, by name. Events in the system stream `$consumers` define and remove them. Their checkpoints are saved
 * apart from the log: a lost checkpoint means that events are sent again, never that one is left out.
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
import { ServedTime } from '../time/served-time.js'
import type { Writer } from '../writing/writer.js'
import { Consumer } from './consumer.js'
import {
  CONSUMER_DEFAULTS,
  type ConsumerDefinition,
  checkSameDefinition,
  type WantedConsumer
} from './consumer-definition.js'

const STREAM = '$consumers'
const DEFINED = '$ConsumerDefined'
const REMOVED = '$ConsumerRemoved'
/** Interval of the check for expired consumers. */
const EXPIRY_CHECK_MS = 1000

export interface ConsumersParts {
  readonly reader: Reader
  readonly writer: Writer
  readonly places: Places
  readonly sources: Sources
  readonly clock: Clock
}

export class Consumers {
  readonly #parts: ConsumersParts
  readonly #served: ServedTime
  readonly #byName = new Map<string, Consumer>()
  /**
   * The last generation of each removed consumer. A new consumer of that name begins with a higher one, so that old
   * acknowledgements are refused.
   */
  readonly #generations = new Map<string, number>()
  /** Resolves when the last definition or removal has ended: they run one at a time. */
  #changes: Promise<unknown> = Promise.resolve()
  #cancel = () => {}

  constructor(parts: ConsumersParts) {
    this.#parts = parts
    this.#served = new ServedTime(parts.clock)
  }

  /**
   * Loads the consumers from the log. Moves cursors back that are beyond the end of the log.
   * @returns a sentence for the operator for each cursor that was moved back
   */
  async load(): Promise<string[]> {
    for await (const record of this.#parts.reader.records(STREAM, 'asc')) this.#fold(record)
    this.#removeOrphanedPlaces()
    const notices: string[] = []
    for (const consumer of this.#byName.values()) {
      const moved = await this.#settle(consumer)
      if (moved === undefined) continue
      const { from, to, reason } = moved
      notices.push(`the consumer "${consumer.name}" continues after ${to} instead of ${from}: ${reason}`)
    }
    this.#expireLater()
    return notices
  }

  /** Removes the checkpoints of consumers whose definition the log has lost, and remembers their generations. */
  #removeOrphanedPlaces(): void {
    const { places } = this.#parts
    for (const name of places.names('consumer')) {
      const place = places.get('consumer', name)
      if (place === undefined || this.#byName.has(name)) continue
      this.#generations.set(name, Math.max(this.#generations.get(name) ?? 0, place.generation + 1))
      places.remove('consumer', name).catch(() => {}) // the removal is retried, also at the next start
    }
  }

  /** Moves a consumer's cursor back if the log has lost its end. @returns undefined when it was not moved */
  async #settle(consumer: Consumer): Promise<MovedPlace | undefined> {
    const { sources } = this.#parts
    const isSameLog = consumer.validUpTo === Infinity
    try {
      const source = await sources.toFollow(addressOfSource(consumer.definition.source))
      if (isSameLog && !sources.isComplete(source)) return undefined
      return consumer.settle(await sources.lastUpTo(source, consumer.validUpTo))
    } catch (error) {
      if (!isDaybookError(error)) throw error
      // The source cannot be read now, so no reader can move the cursor either.
      if (error.code === 'stream-deleted' || error.code === 'index-switched-off' || isSameLog) return undefined
      throw error
    }
  }

  /**
   * Reads the log again after a failed write: a definition or removal that was answered with an error may be in the log
   * nevertheless. Consumers that are still defined keep their objects.
   */
  async reload(): Promise<void> {
    const latest = new Map<string, StoredRecord>()
    for await (const record of this.#parts.reader.records(STREAM, 'asc')) {
      const definition = definitionIn(record)
      if (definition !== undefined) latest.set(definition.name, record)
    }
    for (const [name, record] of latest) {
      const existing = this.#byName.get(name)
      if ((record.type === DEFINED) === (existing !== undefined)) continue
      existing?.end()
      this.#fold(record)
    }
  }

  get size(): number {
    return this.#byName.size
  }

  /** Returns all consumers in order of their names. */
  all(): Consumer[] {
    return [...this.#byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  find(name: string): Consumer | undefined {
    return this.#byName.get(name)
  }

  /** Returns a consumer. @throws DaybookError `consumer-not-found` */
  get(name: string): Consumer {
    const consumer = this.find(name)
    if (consumer !== undefined) return consumer
    throw new DaybookError(
      'consumer-not-found',
      `There is no consumer "${name.slice(0, limits.consumer_name_chars_max)}". Create it with PUT /consumers/{name}.`,
      { consumer: name.slice(0, limits.consumer_name_chars_max) }
    )
  }

  /**
   * Creates a consumer, or finds an existing one with the same definition. Resolves when the definition and the first
   * checkpoint are on disk.
   * @param start returns the first cursor; called only for a new consumer
   * @returns `made`: false when the consumer existed
   * @throws DaybookError `consumer-exists` when the existing definition differs; `limit-reached` when there are too
   * many
   */
  define(wanted: WantedConsumer, start: () => Promise<number>): Promise<{ consumer: Consumer; made: boolean }> {
    return this.#inTurn(async () => {
      const { name } = wanted
      const existing = this.#byName.get(name)
      if (existing !== undefined) {
        checkSameDefinition(existing.definition, wanted)
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

  /** @throws DaybookError `limit-reached` */
  #checkRoom({ owner, ownerSince }: Pick<ConsumerDefinition, 'owner' | 'ownerSince'>): void {
    const all = this.#byName.size
    if (all >= limits.consumers_max) {
      throw new DaybookError('limit-reached', `There are ${all} consumers already. Remove one first.`, {
        limit: limits.consumers_max
      })
    }
    let own = 0
    for (const { definition } of this.#byName.values()) {
      if (definition.owner === owner && definition.ownerSince === ownerSince) own++
    }
    if (own < limits.consumers_of_one_max) return
    const whose = owner === undefined ? 'without an owner' : `of "${owner}"`
    throw new DaybookError('limit-reached', `There are ${own} consumers ${whose} already. Remove one first.`, {
      limit: limits.consumers_of_one_max
    })
  }

  /** Removes a consumer and its checkpoint, and closes its connection. @throws DaybookError `consumer-not-found` */
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

  /** @param position of the event that defines it */
  #make(definition: ConsumerDefinition, position: number): Consumer {
    const { expiresAfter } = definition.settings
    const expiresMs = expiresAfter === undefined ? undefined : 1000 * Number(secondsOf(expiresAfter))
    const consumer = new Consumer({ ...this.#parts, served: this.#served }, definition, expiresMs, position)
    this.#byName.set(definition.name, consumer)
    return consumer
  }

  /** Applies an event of `$consumers`. Ignores other types, and events whose content is invalid. */
  #fold(record: StoredRecord): void {
    const definition = definitionIn(record)
    if (definition === undefined) return
    if (record.type === REMOVED) {
      this.#byName.delete(definition.name)
      this.#generations.set(definition.name, definition.generation)
      return
    }
    try {
      const settings = { ...CONSUMER_DEFAULTS, ...definition.settings }
      this.#make({ ...definition, settings }, record.position)
    } catch {} // invalid settings, not written by Daybook
  }

  /** Appends an event to `$consumers`. Returns its position. */
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

  /** Periodically removes consumers that have had no reader for twice their `expiresAfter`. */
  #expireLater(): void {
    this.#cancel = this.#parts.clock.after(EXPIRY_CHECK_MS, () => {
      this.#served.read()
      for (const consumer of this.#byName.values()) {
        if (consumer.age === 'over') this.remove(consumer.name).catch(() => {}) // retried at the next check
      }
      this.#expireLater()
    })
  }
}

/**
 * Returns the content of an event that defines or removes a consumer; undefined for other events. A removal has only
 * `name` and `generation`.
 */
function definitionIn(record: StoredRecord): ConsumerDefinition | undefined {
  if (record.type !== DEFINED && record.type !== REMOVED) return undefined
  try {
    const definition = JSON.parse(record.data?.toString() ?? '') as ConsumerDefinition
    return typeof definition.name === 'string' ? definition : undefined
  } catch {
    return undefined
  }
}

/** Returns the stream or log that a consumer's source reads. It ignores filters, because they do not affect cursors. */
function addressOfSource(source: string): Address {
  const [path = ''] = source.split('?', 1)
  const name = decodeURIComponent(path.replace(/^\/streams\//, ''))
  return path === '/events' || name === '$all' ? { stream: undefined } : { stream: name, index: indexStreamOf(name) }
}
