/**
 * The integrity check: reads everything in a closed directory and names every disagreement. The log's records must be
 * whole, gapless, in time order and numbered without a gap in each stream; the index must say of each exactly that.
 */
import { LRUCache } from 'lru-cache'
import { systemClock } from '../clock.js'
import {
  BLOCK_SIZE,
  type Family,
  FORMAT_VERSION,
  families,
  family,
  type ListHead,
  type StoredRecord
} from '../log/format.js'
import { Log } from '../log/log.js'
import { type ListName, Postings } from '../log/postings.js'
import { parseCategoryRule } from './names.js'
import { Poster } from './posting.js'

export interface Disagreement {
  /** `record-missing`, `record-damaged`, `head-behind-witness`, `created-goes-back`, `index-…`. */
  code: string
  detail: string
  position?: number
  stream?: string
}

export interface CheckReport {
  events: number
  streams: number
  disagreements: Disagreement[]
}

/** How many records are compared with the index at once. */
const CHUNK = 256

/**
 * Checks a directory that no process has open. LevelDB recovers its write-ahead logs in opening it; nothing else is
 * changed.
 * @param onProgress how many of how many positions were read
 * @throws `directory-in-use`, `directory-unusable`, `format-unknown`
 */
export async function checkDirectory(
  directory: string,
  onProgress?: (done: number, of: number) => void
): Promise<CheckReport> {
  const { log, format, testimony } = await Log.openToInspect({
    directory,
    clock: systemClock,
    fsync: true,
    compression: true
  })
  const found: Disagreement[] = []
  let postings: Postings | undefined
  try {
    if (testimony !== undefined && testimony.head > log.head) {
      found.push({
        code: 'head-behind-witness',
        position: log.head + 1,
        detail: `the log ends at ${log.head}, but ${testimony.head} was acknowledged: ${testimony.head - log.head} events are gone`
      })
    }
    // The index of an older format is made anew at the next start, and no part of the truth.
    const outdated = format < FORMAT_VERSION
    if (!outdated) postings = await Postings.openToInspect({ directory, compression: true }, log)
    if (postings === undefined && !outdated) {
      found.push({
        code: 'index-unusable',
        detail: 'the index cannot be read; the next start, or --rebuild-index, makes it anew'
      })
    }
    const index = postings === undefined ? undefined : new IndexCheck(postings, found)
    let events = 0
    let begun = 0
    let created = 0
    let chunk: StoredRecord[] = []
    for await (const { position, record, fault } of log.inspect()) {
      if (record === undefined) {
        const says = fault === 'missing' ? 'no record stands there' : 'the record is not what was written'
        found.push({ code: `record-${fault}`, position, detail: `position ${position}: ${says}` })
      } else {
        events++
        if (record.number === 0) begun++
        if (record.created < created) {
          found.push({
            code: 'created-goes-back',
            position,
            detail: `position ${position}: created is before the record before it`
          })
        }
        created = record.created
        if (position <= (postings?.goodTo ?? -1)) chunk.push(record)
      }
      if (chunk.length === CHUNK) {
        await index?.compare(chunk)
        chunk = []
        onProgress?.(position + 1, log.head + 1)
      }
    }
    await index?.compare(chunk)
    const streams = (await index?.finish(log.head)) ?? begun
    onProgress?.(log.head + 1, log.head + 1)
    return { events, streams, disagreements: found }
  } finally {
    await postings?.close()
    await log.close()
  }
}

/**
 * Every record must stand in each of its lists, at its place; and the lists must hold nothing else. Streams are
 * looked up one by one, since there may be millions; of the other lists the next place is counted. A family that is
 * being filled is compared as far as it goes.
 */
class IndexCheck {
  readonly #postings: Postings
  readonly #poster: Poster
  readonly #found: Disagreement[]
  readonly #counted = new Map<string, number>()
  /** The last part read of each list: entries are asked for in order. */
  readonly #parts = new LRUCache<string, { from: number; positions: number[] }>({ max: 10_000 })
  #records = 0

  constructor(postings: Postings, found: Disagreement[]) {
    this.#postings = postings
    this.#poster = new Poster(parseCategoryRule(postings.ruleOf(family.category) || 'first:-'))
    this.#found = found
  }

  async compare(records: readonly StoredRecord[]): Promise<void> {
    const postings = records.map((record) => this.#poster.postingOf(record))
    const covered = postings.map(({ lists, position }) =>
      lists.filter(([kind]) => this.#postings.keeps(kind) && position <= this.#postings.covers(kind))
    )
    await this.#postings.load(covered.flat())
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

  #next(list: string): number {
    const next = this.#counted.get(list) ?? 0
    this.#counted.set(list, next + 1)
    return next
  }

  async #expect(kind: Family, name: string, index: number, position: number): Promise<void> {
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
    if (id === undefined) return
    const head = await this.#postings.head(family.stream, stream)
    if (head === undefined) return // told already
    const [there] = await this.#postings.numbersOfIds([{ streamId: head.id, id }])
    if (there === number) return
    this.#found.push({
      code: 'index-wrong',
      position,
      stream,
      detail: `the id of event ${number} of "${stream}" is not in the index: a retry would be written twice`
    })
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
      for (let after: string | undefined; ; ) {
        const page = await this.#postings.list(kind, { prefix: '', after, limit: 1000 })
        for (const { name, head: list } of page) {
          if (kind === family.stream) {
            streams++
            entries += list.count
          } else if (list.count !== (this.#counted.get(kind + name) ?? 0)) {
            this.#found.push({
              code: 'index-wrong',
              detail: `${NAMES[kind]} "${name}" has ${list.count} entries, the log ${this.#counted.get(kind + name) ?? 0}`
            })
          }
        }
        if (page.length < 1000) break
        after = page.at(-1)?.name
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
