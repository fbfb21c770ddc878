/** LevelDB alone, as a limit, and statistics of its tables. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import leveldown from 'leveldown'

export interface Bare {
  open(options: object, callback: (error?: Error) => void): void
  close(callback: (error?: unknown) => void): void
  batch(): BareBatch
  iterator(options: object): {
    next(callback: (error: Error | null, key?: Buffer, value?: Buffer) => void): void
    end(callback: () => void): void
  }
}

export interface BareBatch {
  put(key: Buffer, value: Buffer): unknown
  write(options: { sync: boolean }, callback: (error?: Error) => void): void
}

/** With the options of Daybook's log. */
export async function openBare(directory: string, { compression = false } = {}): Promise<Bare> {
  const db = leveldown(directory) as unknown as Bare
  const options = { createIfMissing: true, writeBufferSize: 16 * 2 ** 20, cacheSize: 32 * 2 ** 20, compression }
  await new Promise<void>((resolve, reject) => db.open(options, (error) => (error ? reject(error) : resolve())))
  return db
}

export function closeBare(db: Bare): Promise<void> {
  return new Promise((resolve, reject) => db.close((error) => (error ? reject(error) : resolve())))
}

/** One chained batch, synced. */
export function writeBatch(db: Bare, put: (batch: BareBatch) => void): Promise<void> {
  const batch = db.batch()
  put(batch)
  return new Promise((resolve, reject) => batch.write({ sync: true }, (error) => (error ? reject(error) : resolve())))
}

/** Reads every entry. Returns their number. */
export function iterate(db: Bare): Promise<number> {
  const iterator = db.iterator({ highWaterMark: 256 * 1024, keyAsBuffer: true, valueAsBuffer: true })
  return new Promise((resolve, reject) => {
    let entries = 0
    const next = () =>
      iterator.next((error, key) => {
        if (error) return reject(error)
        if (key === undefined) return iterator.end(() => resolve(entries))
        entries++
        next()
      })
    next()
  })
}

/** Bytes of a database's files. */
export function bytesOnDisk(folder: string): number {
  return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)
}

export interface TableBytes {
  /** Bytes of tables written from memory: the minimum, written once. */
  readonly flushed: number
  /** Bytes of tables written by compactions. Tables that only move to a deeper level cost nothing. */
  readonly compacted: number
}

/** Returns the bytes of tables that LevelDB has written since the database was opened, from its file LOG. */
export function tableBytes(folder: string, name: 'LOG' | 'LOG.old' = 'LOG'): TableBytes {
  const text = readFileSync(join(folder, name), 'latin1')
  const sum = (pattern: RegExp) => [...text.matchAll(pattern)].reduce((bytes, found) => bytes + Number(found[1]), 0)
  return { flushed: sum(/Level-0 table #\d+: (\d+) bytes/g), compacted: sum(/=> (\d+) bytes/g) }
}
