/**
 * The only file that imports levelup and leveldown. What LevelDB leaves to its users is settled here once: a missing
 * key is `undefined`, a lock has a code, a synced write says so by name.
 */
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { dirname, join, resolve as resolvePath } from 'node:path'
import leveldown from 'leveldown'
import levelup from 'levelup'
import { DaybookError } from '../errors.js'

export interface LevelOptions {
  /** Bytes of the memtable. Two of them bound what a start must replay. */
  writeBufferSize: number
  /** Bytes of uncompressed blocks kept in memory. */
  cacheSize: number
  compression: boolean
}

/** A batch under construction. Bytes are copied as they are put. */
export interface LevelBatch {
  put(key: Buffer, value: Buffer): unknown
  del(key: Buffer): unknown
}

export interface Entry {
  key: Buffer
  value: Buffer
}

export interface RangeOptions {
  gte?: Buffer
  gt?: Buffer
  lt?: Buffer
  reverse?: boolean
  limit?: number
}

/** One LevelDB database. */
export class Level {
  readonly #directory: string
  readonly #options: LevelOptions
  #db: levelup.LevelUp
  /** levelup's own batches keep a list of all that was put, for listeners that we do not have. */
  #store: leveldown.LevelDown
  #reopening: Promise<void> | undefined

  private constructor(directory: string, options: LevelOptions, { db, store }: Database) {
    this.#directory = directory
    this.#options = options
    this.#db = db
    this.#store = store
  }

  /**
   * Opens the database in `directory` and makes it when it is not there. LevelDB replays its write-ahead log here.
   * @throws `directory-in-use` when another process holds it, `directory-unusable` when it cannot be opened at all
   */
  static async open(directory: string, options: LevelOptions): Promise<Level> {
    let files: string[]
    try {
      makeDirectory(resolvePath(directory))
      files = readdirSync(directory)
    } catch (cause) {
      const message = `cannot write to ${directory}: ${(cause as Error).message}`
      throw new DaybookError('directory-unusable', message, {}, cause)
    }
    refuseHeadless(directory, files)
    return new Level(directory, options, await openDatabase(directory, options))
  }

  /**
   * Makes a database that cannot be opened open again, from the tables and write-ahead logs that are there. LevelDB puts
   * what it cannot read into a folder `lost`. What a missing table held is gone then, and nothing says so.
   * @throws `directory-unusable`
   */
  static repair(directory: string): Promise<void> {
    return new Promise((resolve, reject) => {
      leveldown.repair(directory, (error) => {
        if (!error) return resolve()
        const message = `cannot repair ${directory}: ${error.message}`
        reject(new DaybookError('directory-unusable', message, {}, error))
      })
    })
  }

  /**
   * Closes and opens again: a handle on which a write failed stays failed. Reads wait meanwhile; no write may
   * be under way.
   * @param whileClosed work on the files; when it fails, the database is opened all the same
   * @throws as open; then it can be tried again. What the work throws
   */
  reopen(whileClosed?: () => Promise<void>): Promise<void> {
    this.#reopening ??= this.#openAgain(whileClosed).finally(() => {
      this.#reopening = undefined
    })
    return this.#reopening
  }

  async #openAgain(whileClosed: (() => Promise<void>) | undefined): Promise<void> {
    if (this.#db.isOpen()) await this.#closeDatabase()
    try {
      await whileClosed?.()
    } finally {
      const { db, store } = await openDatabase(this.#directory, this.#options)
      this.#db = db
      this.#store = store
    }
  }

  async get(key: Buffer): Promise<Buffer | undefined> {
    const [value] = await this.getMany([key])
    return value
  }

  /**
   * The values of these keys in their order, all of one moment; `undefined` where there is none. A value that LevelDB
   * cannot read is given as no bytes at all: every value carries a checksum, and so it is known to be damaged.
   */
  async getMany(keys: Buffer[]): Promise<(Buffer | undefined)[]> {
    if (this.#reopening !== undefined) await this.#reopening
    return new Promise((resolve, reject) => {
      this.#db.getMany(keys, (error, values) => {
        if (!error) return resolve(values)
        if (!/corrupt/i.test(error.message)) {
          return reject(
            new DaybookError('storage-failed', `cannot read ${this.#directory}: ${error.message}`, {}, error)
          )
        }
        if (keys.length === 1) return resolve([Buffer.alloc(0)])
        // One bad block fails all of them: ask for each by itself.
        Promise.all(keys.map((key) => this.getMany([key]))).then((each) => resolve(each.flat()), reject)
      })
    })
  }

  /** True when tables are compressed as they are written. */
  get compresses(): boolean {
    return this.#options.compression
  }

  /**
   * The bytes that a range of keys takes up in LevelDB's tables, as they are stored, to a block. What is in a memtable is
   * not counted.
   */
  async approximateSize(from: Buffer, to: Buffer): Promise<number> {
    if (this.#reopening !== undefined) await this.#reopening
    this.#needOpen()
    return new Promise((resolve, reject) => {
      this.#store.approximateSize(from, to, (error, bytes) => (error ? reject(error) : resolve(bytes)))
    })
  }

  /** Starts a batch; nothing is written before `write` or `writeSynced`. */
  batch(): LevelBatch {
    return this.#store.batch()
  }

  /** Writes a batch at once or not at all, and returns when it is on the disk. */
  writeSynced(batch: LevelBatch): Promise<void> {
    return this.#write(batch, true)
  }

  /** Writes a batch at once or not at all; a power cut may lose it. */
  write(batch: LevelBatch): Promise<void> {
    return this.#write(batch, false)
  }

  async #write(batch: LevelBatch, sync: boolean): Promise<void> {
    this.#needOpen()
    return new Promise((resolve, reject) => {
      ;(batch as leveldown.ChainedBatch).write({ sync }, (error) => (error ? reject(error) : resolve()))
    })
  }

  /** LevelDB's binding ends the process when a batch or an iterator meets a database that is closed or closing. */
  #needOpen(): void {
    if (this.#reopening === undefined && this.#db.isOpen()) return
    throw new DaybookError('storage-failed', `${this.#directory} is not open`)
  }

  /** Entries of a range in key order, of the moment the reading began. */
  async *entries(range: RangeOptions): AsyncGenerator<Entry> {
    if (this.#reopening !== undefined) await this.#reopening
    this.#needOpen()
    const iterator = this.#db.iterator({
      ...range,
      limit: range.limit ?? -1,
      highWaterMark: 256 * 1024,
      keyAsBuffer: true,
      valueAsBuffer: true
    })
    try {
      for (;;) {
        const entry = await new Promise<Entry | undefined>((resolve, reject) => {
          iterator.next((error, key, value) => {
            if (error)
              reject(new DaybookError('storage-failed', `cannot read ${this.#directory}: ${error.message}`, {}, error))
            else resolve(key === undefined ? undefined : { key: key as Buffer, value: value as Buffer })
          })
        })
        if (entry === undefined) return
        yield entry
      }
    } finally {
      await new Promise<void>((resolve) => iterator.end(() => resolve()))
    }
  }

  async close(): Promise<void> {
    await this.#reopening?.catch(() => {})
    if (this.#db.isOpen()) await this.#closeDatabase()
  }

  #closeDatabase(): Promise<void> {
    return new Promise((resolve, reject) => this.#db.close((error) => (error ? reject(error) : resolve())))
  }
}

interface Database {
  db: levelup.LevelUp
  store: leveldown.LevelDown
}

/** The lock is another process's, or this one's. */
const IS_HELD = /temporarily unavailable|already held by process/i

function openDatabase(directory: string, options: LevelOptions): Promise<Database> {
  return new Promise((resolve, reject) => {
    const store = leveldown(directory)
    const db = levelup(store, { ...options, maxOpenFiles: 500 }, (error) => {
      if (!error) return resolve({ db, store })
      if (IS_HELD.test(error.message)) {
        return reject(new DaybookError('directory-in-use', `${directory} is held by another process`, {}, error))
      }
      reject(new DaybookError('directory-unusable', `cannot open ${directory}: ${error.message}`, {}, error))
    })
  })
}

/**
 * True when another process has the database open. LevelDB takes its lock before it looks whether it may open a database
 * that exists, and so changes nothing in it.
 * @param directory of the database; one that is not there is not held
 */
export function isHeld(directory: string): Promise<boolean> {
  if (!existsSync(join(directory, 'CURRENT'))) return Promise.resolve(false)
  return new Promise((resolve) => {
    leveldown(directory).open({ createIfMissing: false, errorIfExists: true }, (error) => {
      resolve(error != null && IS_HELD.test(error.message))
    })
  })
}

/**
 * Without its CURRENT file a database looks to LevelDB like none: it would make a new one there and delete the tables
 * of the old. @throws `directory-unusable`
 */
function refuseHeadless(directory: string, files: readonly string[]): void {
  if (files.includes('CURRENT') || !files.some(isLevelDbFile)) return
  throw new DaybookError(
    'directory-unusable',
    `${directory} has lost its file CURRENT`,
    {},
    new Error('Corruption: the file CURRENT is gone')
  )
}

/** True for the name of a file without which a database is not whole. */
export function isLevelDbFile(name: string): boolean {
  return name === 'CURRENT' || /^MANIFEST-|\.(ldb|sst|log)$/.test(name)
}

/** One level at a time: Node 20's own recursive mkdir never returns where nothing can be made (below /proc). */
function makeDirectory(path: string): void {
  if (existsSync(path)) return
  makeDirectory(dirname(path))
  // Hashes of passwords are in it, and events that not everybody may read.
  mkdirSync(path, { mode: 0o700 })
}
