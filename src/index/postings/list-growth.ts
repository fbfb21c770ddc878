/** Adds events to the lists in memory: the lists that follow the log, and those of families that are being filled. */
import { BLOCK_SIZE, blockKey, type Family, family, type ListHead, listId } from '../../log/format.js'
import { type ListName, ordinalOf, type Posting } from '../posting.js'
import type { IndexStore } from '../storage/index-store.js'
import type { EventIds } from './event-ids.js'
import type { IndexChanges } from './index-changes.js'
import type { KeptFamilies } from './kept-families.js'
import type { ListCounts } from './list-counts.js'
import type { ListHeads } from './list-heads.js'
import type { PendingWrites } from './pending-writes.js'

/** List heads that were read from disk; null: there is no such list. */
export type FoundHeads = ReadonlyMap<ListName, ListHead | null>

export interface ListGrowthParts {
  readonly pending: PendingWrites
  readonly heads: ListHeads
  readonly ids: EventIds
  readonly families: KeptFamilies
  readonly counts: ListCounts
  readonly store: Pick<IndexStore, 'damage' | 'unreadable'>
}

export class ListGrowth {
  readonly #pending: PendingWrites
  readonly #heads: ListHeads
  readonly #ids: EventIds
  readonly #families: KeptFamilies
  readonly #counts: ListCounts
  readonly #store: Pick<IndexStore, 'damage' | 'unreadable'>

  constructor({ pending, heads, ids, families, counts, store }: ListGrowthParts) {
    this.#pending = pending
    this.#heads = heads
    this.#ids = ids
    this.#families = families
    this.#counts = counts
    this.#store = store
  }

  /**
   * Adds committed events to the lists that follow the log, in order of position. The heads of these lists must be in
   * memory.
   * @throws when a position or an event number is not the next one; then this event and those after it are not applied
   */
  apply(postings: readonly Posting[]): void {
    const pending = this.#pending
    const { filling } = pending
    for (const posting of postings) {
      checkNext(posting, pending.appliedTo)
      this.#addToLists(filling, posting)
      pending.appliedTo = posting.position
    }
  }

  /** As `apply`, for events that are not in the log yet. Readers do not see the changes before `publish`.
   * @param found the heads that are not in memory
   */
  stage(postings: readonly Posting[], found: FoundHeads): void {
    const { staged } = this.#pending
    if (staged === undefined) throw new Error('stage() was called before a commit began')
    for (const posting of postings) {
      checkNext(posting, staged.to)
      this.#addToLists(staged.changes, posting, found)
      staged.to = posting.position
    }
  }

  /** Makes the staged changes visible to readers. Call it when the events are in the log. */
  publish(): void {
    const { staged } = this.#pending
    if (staged === undefined) throw new Error('publish() was called, but no commit is staged')
    this.#pending.publish(staged)
    for (const [kind, name] of staged.begun) this.#counts.add(kind, name)
  }

  #addToLists(changes: IndexChanges, posting: Posting, found?: FoundHeads): void {
    const { lists, id, position } = posting
    const stream = this.#extend(changes, lists[0] as ListName, posting, 0, found)
    let ordinal = 0
    for (let i = 1; i < lists.length; i++) {
      const list = lists[i] as ListName
      ordinal = list[0] === (lists[i - 1] as ListName)[0] ? ordinal + 1 : ordinalOf(lists, i)
      if (this.#families.isCurrent(list[0])) this.#extend(changes, list, posting, ordinal, found)
    }
    if (id !== undefined) this.#ids.add(changes, stream.id, id, position)
  }

  /**
   * Adds events to the lists of the families that are behind. A family that then covers all applied events follows the
   * log from now on. The heads of these lists must be in memory.
   * @param postings every event after the lowest position that a family covers, in order
   * @param to the position that they reach
   * @throws when they skip or repeat a position; then none is filled
   */
  fill(postings: readonly Posting[], to: number): void {
    const { behind } = this.#families
    let last = Math.min(...behind.values())
    for (const { position } of postings) {
      if (position !== ++last) throw new Error(`position ${position} cannot be filled: ${last} is next`)
    }
    if (to > last) throw new Error(`cannot fill to position ${to}: the given events end at ${last}`)
    for (const posting of postings) {
      const { lists, position } = posting
      for (let i = 1; i < lists.length; i++) {
        const list = lists[i] as ListName
        const covered = behind.get(list[0])
        if (covered !== undefined && position > covered)
          this.#extend(this.#pending.filling, list, posting, ordinalOf(lists, i))
      }
    }
    for (const [kind, covered] of behind) {
      this.#families.filled(kind, Math.max(covered, to), this.#pending.stagedTo)
      this.#pending.filling.size++
    }
  }

  /**
   * Adds the position of an event to a list.
   * @param ordinal how many lists of the same family the posting has before this one
   */
  #extend(changes: IndexChanges, list: ListName, posting: Posting, ordinal: number, found?: FoundHeads): ListHead {
    const [kind, name] = list
    let head = changes.heads[kind].get(name)
    if (head === undefined) {
      const given = found?.get(list)
      const known = given === undefined ? this.#heads.inMemory(kind, name) : given
      if (known === undefined) throw new Error(`the head of "${name}" (${kind}) was not loaded before it was extended`)
      if (known === null) {
        head = { id: listId(posting.position, ordinal), count: 0, updated: 0, tail: [], version: 0 }
        this.#begin(changes, list)
      } else head = { ...known, tail: known.tail.slice() }
      changes.heads[kind].set(name, head)
      changes.size++
    }
    if (kind === family.stream && posting.number !== head.count) this.#addLost(changes, name, head, posting)
    head.updated = posting.created
    this.#push(changes, kind, head, posting.position)
    return head
  }

  /** Counts a new list. A new list of a staged commit is counted when the commit is published. */
  #begin(changes: IndexChanges, list: ListName): void {
    const { staged } = this.#pending
    if (changes !== staged?.changes) this.#counts.add(list[0], list[1])
    else if (this.#counts.concerns(list[0])) staged.begun.push(list)
  }

  #push(changes: IndexChanges, kind: Family, head: ListHead, position: number): void {
    head.count++
    // Snapshots of heads share this array, so entries are only added to it. A full array becomes a block.
    head.tail.push(position)
    if (head.tail.length < BLOCK_SIZE) return
    const block = head.count / BLOCK_SIZE - 1
    changes.blocks.set(blockKey(kind, head.id, block).toString('latin1'), head.tail)
    changes.size++
    head.tail = []
  }

  /**
   * Fills the gap that lost events leave in a stream's list, so that later events keep their numbers. The gap gets the
   * unreadable positions before this event. Which of them belonged to the stream is unknown, but reading any of them
   * gives the same error.
   * @throws DaybookError `index-damaged` when there are fewer unreadable positions than missing numbers
   */
  #addLost(changes: IndexChanges, name: string, head: ListHead, { position, number }: Posting): void {
    const lost = this.#store.unreadable.before(position, Math.max(0, number - head.count))
    if (head.count + lost.length !== number) {
      throw this.#store.damage.found(
        `event ${number} of "${name}" is at position ${position}, but the list has ${head.count} events before it`
      )
    }
    for (const lostPosition of lost) this.#push(changes, family.stream, head, lostPosition)
  }

  /**
   * Skips an unreadable event that the operator has given up, without adding it to a list.
   * @throws when its position is not the next one
   */
  skip(position: number): void {
    const pending = this.#pending
    if (position !== pending.appliedTo + 1)
      throw new Error(`position ${position} cannot be skipped: ${pending.appliedTo + 1} is next`)
    pending.appliedTo = position
  }
}

function checkNext({ position }: Posting, last: number): void {
  if (position !== last + 1) throw new Error(`position ${position} cannot be applied: ${last + 1} is next`)
}
