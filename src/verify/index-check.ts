/** Checks the index against the log. */
import { LRUCache } from 'lru-cache'
import { isDaybookError } from '../errors.js'
import { Poster } from '../index/index-entries.js'
import type { ListName } from '../index/posting.js'
import type { Postings } from '../index/posting-lists.js'
import { type Family, families, family, type ListHead, type StoredRecord } from '../log/format.js'
import type { Log } from '../log/log.js'
import type { PositionRanges } from '../log/position-ranges.js'
import { parseCategoryRule } from '../streams/names.js'
import type { Findings } from './findings.js'
import { isIndexDamage, ListReader } from './list-reader.js'

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

export interface IndexCheckParts {
  readonly log: Log
  readonly postings: Postings
  readonly findings: Findings
  /** Unreadable positions of the log, as far as it was read. Lists may contain them. */
  readonly lost: PositionRanges
}

/**
 * Checks that each record is in each of its lists at the right index, and that the lists contain nothing else except
 * lost events. In the list of a stream the index is the event's number. For each other list, the check keeps the next
 * index in memory; it does not for streams, since there may be millions. A family that is being filled is compared as
 * far as it is.
 */
export class IndexCheck {
  readonly #log: Log
  readonly #postings: Postings
  readonly #poster: Poster
  readonly #findings: Findings
  readonly #lost: PositionRanges
  readonly #reader: ListReader
  /** For each list that is not of a stream: index of the next entry to compare. */
  readonly #next = new Map<string, number>()
  /** Lists with an unreadable part. How many records of the log that part contains is unknown. */
  readonly #partly = new Set<string>()
  /** Already reported as unreadable: lists by family and name, pages of hash tables by their error message. */
  readonly #unreadable = new LRUCache<string, true>({ max: 100_000 })
  #records = 0

  constructor({ log, postings, findings, lost }: IndexCheckParts) {
    this.#log = log
    this.#postings = postings
    this.#poster = new Poster(log, parseCategoryRule(postings.ruleOf(family.category) || 'first:-'))
    this.#findings = findings
    this.#lost = lost
    this.#reader = new ListReader(postings, findings)
  }

  /** Compares records with the index. To be called with all readable records, in order. */
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
        if (kind === family.stream) await this.#expectEvent(name, number, position)
        else await this.#expectEntry(kind, name, position)
      }
      await this.#expectId(id, lists[0]?.[1] as string, number, position)
    }
  }

  /** Loads the heads of lists into memory. Reports each list whose head cannot be read, once. */
  async #load(lists: readonly ListName[]): Promise<void> {
    const readable = lists.filter((list) => !this.#unreadable.has(list.join('')))
    try {
      await this.#postings.load(readable)
    } catch (cause) {
      if (!isIndexDamage(cause)) throw cause
      for (const list of readable) await this.#loadOne(list)
    }
  }

  async #loadOne(list: ListName): Promise<void> {
    if (this.#unreadable.has(list.join(''))) return
    try {
      await this.#postings.load([list])
    } catch (cause) {
      if (!isIndexDamage(cause)) throw cause
      this.#reportUnreadable(list.join(''), `${listText(list)}: ${(cause as Error).message}`)
    }
  }

  #reportUnreadable(what: string, detail: string): void {
    if (this.#unreadable.has(what)) return
    this.#unreadable.set(what, true)
    this.#findings.add({ code: 'index-damaged', detail })
  }

  /** Checks that entry `number` of a stream's list is the position of event `number`. */
  async #expectEvent(stream: string, number: number, position: number): Promise<void> {
    if (this.#unreadable.has(family.stream + stream)) return
    const list: ListName = [family.stream, stream]
    const head = await this.#postings.head(...list)
    const entry = await this.#reader.entry(family.stream, listText(list), head, number)
    if (entry === position || entry === 'unreadable') return
    const indexed = entry === undefined ? 'no position' : `position ${entry}`
    const detail = `position ${position} is event ${number} of "${stream}", but the index has ${indexed} for this event`
    this.#findings.add({ code: 'index-wrong', position, stream, detail })
  }

  /** Checks that the next entry of a list is this position. Entries of lost events may come before it. */
  async #expectEntry(kind: Family, name: string, position: number): Promise<void> {
    const key = kind + name
    if (this.#unreadable.has(key)) return
    const list: ListName = [kind, name]
    const head = await this.#postings.head(kind, name)
    for (let index = this.#next.get(key) ?? 0; ; index++) {
      const entry = await this.#reader.entry(kind, listText(list), head, index)
      if (entry === 'unreadable') this.#partly.add(key)
      if (entry === 'unreadable' || entry === position) {
        this.#next.set(key, index + 1)
        return
      }
      if (entry === undefined || entry > position) {
        const detail = `position ${position} is not in ${listText(list)}`
        this.#findings.add({ code: 'index-wrong', position, detail })
        this.#next.set(key, index)
        return
      }
      this.#expectLost(list, entry)
    }
  }

  /** Checks that an entry without a record in the log belongs to a lost event. */
  #expectLost(list: ListName, position: number): void {
    if (this.#lost.has(position) || this.#partly.has(list.join(''))) return
    const detail = `${listText(list)} has position ${position}, whose event does not belong to this list`
    this.#findings.add({ code: 'index-wrong', position, detail })
  }

  async #expectId(id: Buffer | undefined, stream: string, number: number, position: number): Promise<void> {
    if (id === undefined || this.#unreadable.has(family.stream + stream)) return
    const head = await this.#postings.head(family.stream, stream)
    if (head === undefined) return // already reported by #expectEvent
    const places = await this.#placesOf(head.id, id)
    // Older logs can have several events with one id in a stream. The index has only the first of them.
    if (places === undefined || places.includes(position) || (await this.#holdsOne(places, stream, id))) return
    const detail = `the id of event ${number} of "${stream}" is not in the index: a retry would append the event again`
    this.#findings.add({ code: 'index-wrong', position, stream, detail })
  }

  async #holdsOne(places: readonly number[], stream: string, id: Buffer): Promise<boolean> {
    for (const place of places) {
      try {
        const record = await this.#log.read(place)
        if (record.stream === stream && record.id.equals(id)) return true
      } catch (error) {
        if (!isDaybookError(error) || error.code !== 'log-damaged') throw error
        if (place <= this.#log.head) return true // it may be that event; LogCheck reports the damage
      }
    }
    return false
  }

  /** Returns the positions of an id in the index; undefined when its page cannot be read, which is reported once. */
  async #placesOf(streamId: number, id: Buffer): Promise<number[] | undefined> {
    try {
      return (await this.#postings.positionsOfIds([{ streamId, id }]))[0]
    } catch (cause) {
      if (!isIndexDamage(cause)) throw cause
      const { message } = cause as Error
      this.#reportUnreadable(message, message)
      return undefined
    }
  }

  /** Checks that the entries of a list after the last compared record belong to lost events. */
  async #expectEnd(list: ListName, head: ListHead): Promise<void> {
    const key = list.join('')
    if (this.#unreadable.has(key)) return
    for (let index = this.#next.get(key) ?? 0; index < head.count; index++) {
      const entry = await this.#reader.entry(list[0], listText(list), head, index)
      if (typeof entry === 'number') this.#expectLost(list, entry)
    }
  }

  /** Checks the entries that do not belong to a compared record. @returns the number of streams in the index */
  async finish(): Promise<number> {
    const counted = { streams: 0, events: 0 }
    for (const kind of families) {
      if (!this.#postings.keeps(kind)) continue
      try {
        await this.#finishFamily(kind, counted)
      } catch (cause) {
        if (!isIndexDamage(cause)) throw cause
        this.#findings.add({
          code: 'index-damaged',
          detail: `the lists of ${NAMES[kind]}: ${(cause as Error).message}`
        })
      }
    }
    this.#expectEvents(counted.events)
    return counted.streams
  }

  async #finishFamily(kind: Family, counted: { streams: number; events: number }): Promise<void> {
    for await (const { name, head, fault } of this.#postings.inspectLists(kind)) {
      if (kind === family.stream) counted.streams++
      if (head === undefined) this.#reportUnreadable(kind + name, `${listText([kind, name])}: ${fault}`)
      else if (kind === family.stream) counted.events += head.count
      else await this.#expectEnd([kind, name], head)
    }
  }

  #expectEvents(entries: number): void {
    const lost = this.#lost.countUpTo(this.#postings.goodTo)
    if (this.#findings.has('index-damaged') || (entries >= this.#records && entries <= this.#records + lost)) return
    this.#findings.add({
      code: 'index-wrong',
      detail: `the streams of the index have ${entries} events, but the log has ${this.#records}`
    })
  }
}

function listText([kind, name]: ListName): string {
  return `${NAMES[kind]} "${name}"`
}
