/** Maps the event ids that do not encode a position to the positions of their events. */
import type { ListName, Posting } from '../posting.js'
import type { IndexStore } from '../storage/index-store.js'
import type { IndexChanges } from './index-changes.js'
import type { PendingWrites } from './pending-writes.js'

/** Returns the map key of an event id. @param streamId position of the stream's first event */
export function eventIdKey(streamId: number, id: Buffer): string {
  return `${streamId}:${id.toString('latin1')}`
}

export class EventIds {
  readonly #store: IndexStore
  readonly #pending: PendingWrites

  constructor(store: IndexStore, pending: PendingWrites) {
    this.#store = store
    this.#pending = pending
  }

  /** See `Postings.positionsOfIds`. @throws `index-damaged` */
  async positionsOf(ids: readonly { streamId: number; id: Buffer }[]): Promise<number[][]> {
    const keys = ids.map(({ streamId, id }) => eventIdKey(streamId, id))
    const found = keys.map((key) => {
      const position = this.#pending.positionOfId(key)
      return position === undefined ? undefined : [position]
    })
    const missing = keys.filter((_, i) => found[i] === undefined)
    if (missing.length === 0) return found as number[][]
    const rest = await this.#find(missing)
    return found.map((positions) => positions ?? (rest.shift() as number[]))
  }

  /** See `Postings.readNewIdPages`. @throws `index-damaged` */
  readNewPages(postings: readonly Posting[]): Promise<unknown> | undefined {
    const keys: string[] = []
    const begun = new Map<string, number>()
    for (const { id, lists, position, number } of postings) {
      if (id === undefined) continue
      const [, stream] = lists[0] as ListName
      if (number === 0) begun.set(stream, position)
      const streamId = begun.get(stream)
      if (streamId !== undefined) keys.push(eventIdKey(streamId, id))
    }
    return keys.length === 0 ? undefined : this.#find(keys)
  }

  #find(keys: readonly string[]): Promise<number[][]> {
    const { ids, damage } = this.#store
    return damage.watch(ids.find(keys.map((key) => ids.hashOf(key))))
  }

  /** Stores the position of an event. If several events have the same id (older logs only), the first counts. */
  add(changes: IndexChanges, streamId: number, id: Buffer, position: number): void {
    const key = eventIdKey(streamId, id)
    if (!changes.ids.has(key)) changes.ids.set(key, position)
    changes.size++
  }
}
