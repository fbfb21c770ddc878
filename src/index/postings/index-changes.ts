/** Index changes of one write, by key. Keys are text because a Map compares Buffers by identity. */
import { type Family, families, type ListHead } from '../../log/format.js'

export class IndexChanges {
  readonly heads = Object.fromEntries(families.map((kind) => [kind, new Map()])) as Record<
    Family,
    Map<string, ListHead>
  >
  /** Full blocks of positions, by key. */
  readonly blocks = new Map<string, number[]>()
  /** Positions of events whose ids do not encode them, by `eventIdKey`. */
  readonly ids = new Map<string, number>()

  /** Approximate number of changes, to decide when to write. */
  size = 0

  /** Merges older changes into these; where both have a key, the newer value stays. */
  mergeOlder(older: IndexChanges): void {
    for (const kind of families) {
      for (const [name, head] of older.heads[kind]) if (!this.heads[kind].has(name)) this.heads[kind].set(name, head)
    }
    for (const [key, block] of older.blocks) if (!this.blocks.has(key)) this.blocks.set(key, block)
    for (const [key, position] of older.ids) if (!this.ids.has(key)) this.ids.set(key, position)
    this.size += older.size
  }
}
