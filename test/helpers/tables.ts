/** Tables of the databases of a store, and damage to them. */
import { closeSync, openSync, readdirSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import leveldown from 'leveldown'
import { LOG_META_KEY, positionKey } from '../../src/log/format.js'
import { Store, type StoreOptions } from '../../src/store/store.js'
import { encodeEvent } from './events.js'
import type { Random } from './random.js'

export const PAGE_BYTES = 4096

/** Returns the paths of all tables of a database, sorted. */
export function tablesOf(database: string): string[] {
  return readdirSync(database)
    .filter((name) => name.endsWith('.ldb'))
    .sort()
    .map((name) => join(database, name))
}

export interface Growth {
  /** Each opening puts the events of the previous one into a table. */
  readonly openings: number
  readonly events: number
  readonly bytes: number
}

/**
 * Creates a store whose log and index have a table for each opening but the first. Data is random, since compression
 * would leave little of other data to damage.
 */
export async function storeWithTables(
  options: Partial<StoreOptions> & { directory: string },
  { openings, events, bytes }: Growth,
  random: Random
): Promise<void> {
  for (let opening = 0; opening <= openings; opening++) {
    const store = await new Store(options).open()
    for (let i = 0; opening < openings && i < events; i++) {
      const text = random.bytes(random.int(1, bytes)).toString('hex')
      const event = encodeEvent(`s-${i % 7}`, { type: `T${i % 3}`, data: { text }, tags: [`g${i % 5}`] })
      await store.writer.append({ events: [event], conditions: [], kind: 'append' })
    }
    await store.close()
  }
}

/** Returns the number of pages of a file, with a last one that may be incomplete. */
export function pagesOf(file: string): number {
  return Math.ceil(statSync(file).size / PAGE_BYTES)
}

/** Sets a page of 4 KiB to zeros, as a bad sector may be read. The file may be open elsewhere. */
export function zeroPage(path: string, page: number): void {
  const size = Math.min(PAGE_BYTES, statSync(path).size - page * PAGE_BYTES)
  const file = openSync(path, 'r+')
  writeSync(file, Buffer.alloc(size), 0, size, page * PAGE_BYTES)
  closeSync(file)
}

/**
 * Reads every key of a log's database with LevelDB itself. Returns the positions found, and whether the meta key was
 * found.
 * @param head the last position
 */
export async function positionsFound(database: string, head: number): Promise<{ found: Set<number>; meta: boolean }> {
  // biome-ignore lint/suspicious/noExplicitAny: the binding without levelup
  const db = (leveldown as any)(database)
  const call = <T>(work: (done: (error: Error | null, value: T) => void) => void) =>
    new Promise<T>((resolve, reject) => work((error, value) => (error ? reject(error) : resolve(value))))
  await call((done) => db.open({ createIfMissing: false }, done))
  try {
    const keys = [LOG_META_KEY, ...Array.from({ length: head + 1 }, (_, position) => positionKey(position))]
    const values = await call<(Buffer | undefined)[]>((done) => db.getMany(keys, { asBuffer: true }, done))
    // A scan and a compaction also read what look-ups by key skip.
    let scanned = 0
    const iterator = db.iterator({ limit: -1 })
    while ((await call((done) => iterator.next(done))) !== undefined) scanned++
    await call((done) => iterator.end(done))
    await call((done) => db.compactRange(LOG_META_KEY, positionKey(head + 1), done))
    const compacted = await call<(Buffer | undefined)[]>((done) => db.getMany(keys, { asBuffer: true }, done))
    if (compacted.some((value, i) => (value === undefined) !== (values[i] === undefined))) {
      throw new Error('a compaction changed which keys are found')
    }
    const found = new Set(values.flatMap((value, i) => (i > 0 && value !== undefined ? [i - 1] : [])))
    if (scanned !== found.size + (values[0] === undefined ? 0 : 1)) throw new Error(`a scan found ${scanned} keys`)
    return { found, meta: values[0] !== undefined }
  } finally {
    await call((done) => db.close(done))
  }
}
