/** A model of the store without a disk: arrays and a map. The real store must agree with it. */

export interface ModelEvent {
  id: string
  type: string
  stream: string
  number: number
  position: number
  data: unknown
  tags: string[]
}

export interface ModelAppend {
  events: { stream: string; id?: string; type: string; data: unknown; tags: string[] }[]
  conditions: { stream: string; expected: number | 'none' | 'exists' }[]
}

export type ModelAnswer =
  | { status: 201; replayed: boolean; numbers: number[]; positions: number[] }
  | { status: 409 | 410 | 412; code: string }

/** What hides events of a stream. */
export interface ModelMetadata {
  maxCount?: number
  truncateBefore?: number
}

export class Model {
  readonly log: ModelEvent[] = []
  readonly #byId = new Map<string, ModelEvent>()
  readonly #metadata = new Map<string, ModelMetadata | 'deleted' | 'tombstone'>()

  stream(name: string): ModelEvent[] {
    return this.log.filter(({ stream }) => stream === name)
  }

  /** The events of a stream that its metadata does not hide, or the code of the refusal to read it. */
  shown(name: string): ModelEvent[] | 'stream-not-found' | 'stream-deleted' {
    const metadata = this.#metadata.get(name) ?? {}
    const events = this.stream(name)
    if (metadata === 'tombstone') return 'stream-deleted'
    if (metadata === 'deleted' || events.length === 0) return 'stream-not-found'
    const { maxCount = Infinity, truncateBefore = 0 } = metadata
    return events.filter(({ number }) => number >= truncateBefore && number >= events.length - maxCount)
  }

  /** The events of the log that are not hidden. */
  get shownLog(): ModelEvent[] {
    const streams = new Set(this.log.map(({ stream }) => stream))
    const shown = new Set(
      [...streams].map((name) => this.shown(name)).flatMap((one) => (Array.isArray(one) ? one : []))
    )
    return this.log.filter((event) => shown.has(event))
  }

  /** @returns the code of the refusal */
  setMetadata(name: string, metadata: ModelMetadata): string | undefined {
    const before = this.#metadata.get(name)
    if (before === 'tombstone') return 'stream-deleted'
    // A deleted stream comes back, and its events stay hidden.
    const hidden = before === 'deleted' && { truncateBefore: this.stream(name).length }
    this.#metadata.set(name, { ...metadata, ...hidden })
    return undefined
  }

  /** @returns the code of the refusal */
  delete(name: string, permanent: boolean, expected: number | 'any'): string | undefined {
    const before = this.#metadata.get(name)
    const head = this.stream(name).length - 1
    if (before === 'tombstone') return 'stream-deleted'
    if (expected !== 'any' && expected !== head) return 'wrong-expected-version'
    if (!permanent && head === -1 && before === undefined) return 'stream-not-found'
    this.#metadata.set(name, permanent ? 'tombstone' : 'deleted')
    return undefined
  }

  append({ events, conditions }: ModelAppend): ModelAnswer {
    if (events.some(({ stream }) => this.#metadata.get(stream) === 'tombstone')) {
      return { status: 410, code: 'stream-deleted' }
    }
    const known = events.map(({ stream, id }) => (id === undefined ? undefined : this.#byId.get(`${stream}\n${id}`)))
    if (known.some((one) => one !== undefined)) {
      const other = known.some((one, i) => one !== undefined && !same(one, events[i] as ModelAppend['events'][number]))
      if (other) return { status: 409, code: 'event-id-reused' }
      if (known.includes(undefined)) return { status: 409, code: 'partial-replay' }
      const there = known as ModelEvent[]
      return {
        status: 201,
        replayed: true,
        numbers: there.map(({ number }) => number),
        positions: there.map(({ position }) => position)
      }
    }
    for (const { stream, expected } of conditions) {
      const head = this.stream(stream).length - 1
      const state = this.#metadata.get(stream)
      const exists = head >= 0 && state !== 'deleted' && state !== 'tombstone'
      const isNew = state !== 'tombstone' && (head < 0 || state === 'deleted')
      const holds = expected === 'none' ? isNew : expected === 'exists' ? exists : head === expected
      if (!holds) return { status: 412, code: 'wrong-expected-version' }
    }
    const placed = events.map((event) => {
      const number = this.stream(event.stream).length
      // An append brings a deleted stream back, and its events stay hidden.
      if (this.#metadata.get(event.stream) === 'deleted') this.#metadata.set(event.stream, { truncateBefore: number })
      const recorded = { ...event, id: event.id ?? '', number, position: this.log.length }
      this.log.push(recorded)
      if (event.id !== undefined) this.#byId.set(`${event.stream}\n${event.id}`, recorded)
      return recorded
    })
    return {
      status: 201,
      replayed: false,
      numbers: placed.map(({ number }) => number),
      positions: placed.map(({ position }) => position)
    }
  }
}

function same(one: ModelEvent, other: ModelAppend['events'][number]): boolean {
  return (
    one.type === other.type &&
    JSON.stringify(one.data) === JSON.stringify(other.data) &&
    JSON.stringify(one.tags) === JSON.stringify(other.tags)
  )
}
