/** Checks the index against the log. */
import { LRUCache } from 'lru-cache'
import { isDaybookError } from '../errors.js'
import { Poster } from '../index/index-entries.js'
import type { ListName } from '../index/posting.js'
import type { Postings } from '../index/posting-lists.js'
import { BLOCK_SIZE, type Family, families, family, type ListHead, type StoredRecord } from '../log/format.js'
import type { Log } from '../log/log.js'
import { parseCategoryRule } from '../streams/names.js'
import type { Disagreement } from './check-report.js'

const NAMES: Record<Family, string> = {
  s: 'stream',
  c: 'category',
  t: 'type',
  g: 'tag',
  b: 'correlation',
  a: 'streams',
  p: 'streams of category',
  d: 'tombstone'
}

/**
 * Every record must stand in each of its lists, at its place; and the lists must hold nothing else. Streams are
 * looked up one by one, since there may be millions; of the other lists the next place is counted. A family that is
 * being filled is compared as far as it goes.
 */
export class IndexCheck {
  readonly #log: Log
  readonly #postings: Postings
  readonly #poster: Poster
  readonly #found: Disagreement[]
  readonly #counted = new Map<string, number>()
  /** The last part read of each list: entries are asked for in order. */
  readonly #parts = new LRUCache<string, { from: number; positions: number[] }>({ max: 10_000 })
  readonly #unreadable = new Set<string>()
  #records = 0

  constructor(log: Log, postings: Postings, found: Disagreement[]) {
    this.#log = log
    this.#postings = postings
    this.#poster = new Poster(log, parseCategoryRule(postings.ruleOf(family.category) || 'first:-'))
    this.#found = found
  }

  async compare(records: readonly StoredRecord[]): Promise<void> {
    const postings = records.map((record) => this.#poster.postingOf(record))
    const covered = postings.map(({ lists, position }) =>
      lists.filter(([kind]) => this.#postings.keeps(kind) && position <= this.#postings.covers(kind))
    )
    await this.#load(covered.flat())
    for (const [i, { position, number, id }] of postings.entries()) {
      this.#records++
      const lists = covered[i] as ListName[]
      for (const [kind, name] of lists) {
        const index = kind === family.stream ? number : this.#next(kind + name)
        await this.#expect(kind, name, index, position)
      }
      await this.#expectId(id, lists[0]?.[1] as string, number, position)
    }
  }

  /** Names the lists whose heads cannot be read, each once; the others are in memory then. */
  async #load(lists: readonly ListName[]): Promise<void> {
    const readable = lists.filter((list) => !this.#unreadable.has(list.join('')))
    try {
      await this.#postings.load(readable)
    } catch (cause) {
      if (!isDaybookError(cause) || cause.code !== 'index-damaged') throw cause
      for (const list of readable) await this.#loadOne(list)
    }
  }

  async #loadOne(list: ListName): Promise<void> {
    if (this.#unreadable.has(list.join(''))) return
    try {
      await this.#postings.load([list])
    } catch (cause) {
      if (!isDaybookError(cause) || cause.code !== 'index-damaged') throw cause
      this.#unreadable.add(list.join(''))
      this.#found.push({ code: 'index-damaged', detail: `${NAMES[list[0]]} "${list[1]}": ${cause.message}` })
    }
  }

  #next(list: string): number {
    const next = this.#counted.get(list) ?? 0
    this.#counted.set(list, next + 1)
    return next
  }

  async #expect(kind: Family, name: string, index: number, position: number): Promise<void> {
    if (this.#unreadable.has(kind + name)) return
    const head = await this.#postings.head(kind, name)
    const there = head === undefined || index >= head.count ? undefined : await this.#entry(kind, name, head, index)
    if (there === position) return
    this.#found.push({
      code: 'index-wrong',
      position,
      ...(kind === family.stream && { stream: name }),
      detail: `position ${position} is entry ${index} of ${NAMES[kind]} "${name}", but the index has ${there ?? 'nothing'} there`
    })
  }

  async #entry(kind: Family, name: string, head: ListHead, index: number): Promise<number | undefined> {
    const key = kind + name
    let part = this.#parts.get(key)
    if (part === undefined || index < part.from || index >= part.from + part.positions.length) {
      const from = index - (index % BLOCK_SIZE)
      const positions = await this.#postings.positions(kind, head, from, BLOCK_SIZE).catch(() => [])
      part = { from, positions }
      this.#parts.set(key, part)
    }
    return part.positions[index - part.from]
  }

  async #expectId(id: Buffer | undefined, stream: string, number: number, position: number): Promise<void> {
    if (id === undefined || this.#unreadable.has(family.stream + stream)) return
    const head = await this.#postings.head(family.stream, stream)
    if (head === undefined) return // reported already
    const places = await this.#placesOf(head.id, id)
    // Of events with one id, which only older logs hold, the index has the first.
    if (places.includes(position) || (await this.#holdsOne(places, stream, id))) return
    this.#found.push({
      code: 'index-wrong',
      position,
      stream,
      detail: `the id of event ${number} of "${stream}" is not in the index: a retry would be written twice`
    })
  }

  async #holdsOne(places: readonly number[], stream: string, id: Buffer): Promise<boolean> {
    const records = await this.#log.readMany(places).catch(() => []) // damage is reported by position
    return records.some((record) => record.stream === stream && record.id.equals(id))
  }

  /** Names a damaged page once; then no id in it can be compared. */
  async #placesOf(streamId: number, id: Buffer): Promise<number[]> {
    try {
      return (await this.#postings.positionsOfIds([{ streamId, id }]))[0] as number[]
    } catch (cause) {
      if (!isDaybookError(cause) || cause.code !== 'index-damaged') throw cause
      if (!this.#unreadable.has(cause.message)) this.#found.push({ code: 'index-damaged', detail: cause.message })
      this.#unreadable.add(cause.message)
      return []
    }
  }

  #expectCount(kind: Family, name: string, count: number): void {
    const counted = this.#counted.get(kind + name) ?? 0
    if (count === counted || this.#unreadable.has(kind + name)) return
    const detail = `${NAMES[kind]} "${name}" has ${count} entries, the log ${counted}`
    this.#found.push({ code: 'index-wrong', detail })
  }

  /** Counts what the lists hold beyond the records. @returns how many streams there are */
  async finish(head: number): Promise<number> {
    if (this.#postings.goodTo > head) {
      this.#found.push({
        code: 'index-ahead',
        detail: `the index covers ${this.#postings.goodTo}, the log ends at ${head}`
      })
    }
    let streams = 0
    let entries = 0
    for (const kind of families) {
      if (!this.#postings.keeps(kind)) continue
      try {
        for await (const { name, head: list } of this.#postings.all(kind, '')) {
          if (kind === family.stream) {
            streams++
            entries += list.count
          } else this.#expectCount(kind, name, list.count)
        }
      } catch (cause) {
        if (!isDaybookError(cause) || cause.code !== 'index-damaged') throw cause
        this.#found.push({ code: 'index-damaged', detail: `the lists of ${NAMES[kind]}: ${cause.message}` })
      }
    }
    if (entries !== this.#records) {
      this.#found.push({
        code: 'index-wrong',
        detail: `the streams of the index have ${entries} events, the log ${this.#records}`
      })
    }
    return streams
  }
}
