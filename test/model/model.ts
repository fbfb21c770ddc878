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
  | { status: 409 | 412; code: string }

export class Model {
  readonly log: ModelEvent[] = []
  readonly #byId = new Map<string, ModelEvent>()

  stream(name: string): ModelEvent[] {
    return this.log.filter(({ stream }) => stream === name)
  }

  append({ events, conditions }: ModelAppend): ModelAnswer {
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
      const holds = expected === 'none' ? head === -1 : expected === 'exists' ? head >= 0 : head === expected
      if (!holds) return { status: 412, code: 'wrong-expected-version' }
    }
    const placed = events.map((event) => {
      const number = this.stream(event.stream).length
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
