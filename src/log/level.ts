/**
 * The only file that imports levelup and leveldown. It gives them a stricter interface: a missing key is `undefined`, a
 * database locked by another process has an error code, and synced writes have a method of their own.
 */
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { dirname, join, resolve as resolvePath } from 'node:path'
import leveldown from 'leveldown'
import levelup from 'levelup'
import { DaybookError } from '../errors.js'

export interface LevelOptions {
  /** Size of the memtable in bytes. A start replays at most two memtables. */
  writeBufferSize: number
  /** Size of the cache of uncompressed blocks in bytes. */
  cacheSize: number
  compression: boolean
}

/** A batch of writes. `put` and `del` copy the bytes. */
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
  /** The database under levelup. Batches bypass levelup, which keeps all entries of a batch for its event listeners. */
  #store: leveldown.LevelDown
  #reopening: Promise<void> | undefined

  private constructor(directory: string, options: LevelOptions, { db, store }: Database) {
    this.#directory = directory
    this.#options = options
    this.#db = db
    this.#store = store
  }

  /**
   * Opens the database in `directory`, or creates it. LevelDB replays its write-ahead log here.
   * @throws DaybookError `directory-in-use` when another process has it open; `directory-unusable` when it cannot be
   * opened
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
   * Repairs a database that cannot be opened, from its remaining tables and write-ahead logs. LevelDB moves unreadable
   * files to a folder `lost`. The entries of a missing table are lost, and LevelDB does not report them.
   * @throws DaybookError `directory-unusable`
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
   * Closes and opens the database, because a LevelDB handle stays failed after one failed write. Reads wait until it is
   * open. The caller must ensure that no write is running.
   * @param whileClosed changes files of the database; if it throws, the database is opened anyway and the error is
   * thrown
   * @throws DaybookError as `open`; the caller may then call `reopen` again
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
   * Returns the values of the keys, in their order and from one snapshot; `undefined` for a missing key. A value that
   * LevelDB cannot read is returned as an empty buffer. The caller recognises it as damaged, since every value has a
   * checksum.
   * @throws DaybookError `storage-failed`
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
        // A damaged block fails the whole request, so read the keys one by one.
        Promise.all(keys.map((key) => this.getMany([key]))).then((each) => resolve(each.flat()), reject)
      })
    })
  }

  /** True when LevelDB compresses the tables that it writes. */
  get compresses(): boolean {
    return this.#options.compression
  }

  /**
   * Returns the stored size of a range of keys in LevelDB's tables, in bytes, accurate to one block. Entries in a
   * memtable are not counted.
   * @param from first key @param to the key after the last
   */
  async approximateSize(from: Buffer, to: Buffer): Promise<number> {
    if (this.#reopening !== undefined) await this.#reopening
    this.#needOpen()
    return new Promise((resolve, reject) => {
      this.#store.approximateSize(from, to, (error, bytes) => (error ? reject(error) : resolve(bytes)))
    })
  }

  /** Returns an empty batch. Nothing is written before `write` or `writeSynced`. */
  batch(): LevelBatch {
    return this.#store.batch()
  }

  /** Writes a batch atomically. Resolves when it is synced to the disk. */
  writeSynced(batch: LevelBatch): Promise<void> {
    return this.#write(batch, true)
  }

  /** Writes a batch atomically, without sync: a power cut may lose it. */
  write(batch: LevelBatch): Promise<void> {
    return this.#write(batch, false)
  }

  async #write(batch: LevelBatch, sync: boolean): Promise<void> {
    this.#needOpen()
    return new Promise((resolve, reject) => {
      ;(batch as leveldown.ChainedBatch).write({ sync }, (error) => (error ? reject(error) : resolve()))
    })
  }

  /** leveldown ends the process when a batch or an iterator is used on a closed or closing database. */
  #needOpen(): void {
    if (this.#reopening === undefined && this.#db.isOpen()) return
    throw new DaybookError('storage-failed', `the database ${this.#directory} is not open`)
  }

  /** Yields the entries of a range in key order, from a snapshot taken at the first read. */
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

/** Messages of LevelDB when its lock is held, by another process or by this one. */
const IS_HELD = /temporarily unavailable|already held by process/i

function openDatabase(directory: string, options: LevelOptions): Promise<Database> {
  return new Promise((resolve, reject) => {
    const store = leveldown(directory)
    const db = levelup(store, { ...options, maxOpenFiles: 500 }, (error) => {
      if (!error) return resolve({ db, store })
      if (IS_HELD.test(error.message)) {
        const message = `${directory} is held by another process`
        return reject(new DaybookError('directory-in-use', message, {}, error))
      }
      reject(new DaybookError('directory-unusable', `cannot open ${directory}: ${error.message}`, {}, error))
    })
  })
}

/**
 * True when a process has the database open. Opening with `errorIfExists` changes nothing: LevelDB takes its lock
 * first, then fails because the database exists.
 * @param directory of the database; false when it does not exist
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
 * Refuses a database without its CURRENT file. LevelDB would take it for a new one and delete its tables.
 * @throws DaybookError `directory-unusable`
 */
function refuseHeadless(directory: string, files: readonly string[]): void {
  if (files.includes('CURRENT') || !files.some(isLevelDbFile)) return
  throw new DaybookError(
    'directory-unusable',
    `the database ${directory} has lost its file CURRENT`,
    {},
    new Error('Corruption: the file CURRENT is gone')
  )
}

/** True for the name of a file that LevelDB needs: CURRENT, a manifest, a table or a write-ahead log. */
export function isLevelDbFile(name: string): boolean {
  return name === 'CURRENT' || /^MANIFEST-|\.(ldb|sst|log)$/.test(name)
}

/** Creates one level at a time: in Node 20, a recursive mkdir never returns below a folder such as /proc. */
function makeDirectory(path: string): void {
  if (existsSync(path)) return
  makeDirectory(dirname(path))
  // Only the owner has access: the directory contains password hashes and events with restricted access.
  mkdirSync(path, { mode: 0o700 })
}
