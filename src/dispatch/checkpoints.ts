/** Places on this disk, in a database of their own. A checkpoint is the stored form of a place. */
import { renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { DaybookError } from '../errors.js'
import {
  type Checkpoint,
  checkpointKey,
  decodeCheckpoint,
  encodeCheckpoint,
  isCheckpointKeyOfFormat1,
  type PlaceKind,
  type StoredCheckpoint
} from '../log/format.js'
import { type Entry, Level } from '../log/level.js'
import type { Log } from '../log/log.js'
import { isDatabaseDamaged, isDiskFull, openFailure } from '../log/storage-faults.js'
import type { Clock } from '../time/clock.js'
import type { Places, SavedPlace } from './places.js'

/** A call of `save` or `remove` that waits until it is on disk. */
interface PendingWrite {
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

const OPTIONS = { writeBufferSize: 512 * 1024, cacheSize: 256 * 1024, compression: false }
const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 5000

export class Checkpoints implements Places {
  readonly #level: Level
  readonly #clock: Clock
  readonly #log: Log
  /** The newest checkpoints, by key: also those that are not on disk yet. */
  readonly #known: Map<string, StoredCheckpoint>
  /** Keys whose checkpoint, or its removal, is not on disk yet. */
  readonly #dirty = new Set<string>()
  #pending: PendingWrite[] = []
  #writing: Promise<void> | undefined
  #pause = FIRST_PAUSE_MS
  #wake = () => {}
  #closed = false
  #ended = false
  #failure: Error | undefined

  private constructor(level: Level, clock: Clock, log: Log, known: Map<string, StoredCheckpoint>) {
    this.#level = level
    this.#clock = clock
    this.#log = log
    this.#known = known
  }

  /**
   * Opens `directory`/checkpoints, and tells the log how long it was when each checkpoint was saved: a log that has
   * lost its end gets a new identity here. Damaged checkpoints are ignored; those of format 1 are written in the
   * present format. A database that is damaged is set aside, and a new one is made.
   * @param notices gets a sentence for the operator when that was done
   * @throws `directory-in-use`; `directory-unusable` when it could not be opened and nothing shows that it is damaged;
   * `storage-failed` when the log needs a new identity that cannot be written
   */
  static async open(directory: string, log: Log, clock: Clock, notices: string[] = []): Promise<Checkpoints> {
    const { level, stored } = await openStored(join(directory, 'checkpoints'), notices)
    const known = new Map<string, StoredCheckpoint>()
    const ofFormat1 = new Map<string, StoredCheckpoint>()
    for (const { key, value } of stored) {
      const checkpoint = decodeCheckpoint(key, value)
      if (checkpoint !== undefined) (isCheckpointKeyOfFormat1(key) ? ofFormat1 : known).set(key.toString(), checkpoint)
    }
    const checkpoints = new Checkpoints(level, clock, log, known)
    try {
      const noted = [...known.values(), ...ofFormat1.values()]
      await log.noticeCut(noted.map(asReached), 'a checkpoint')
    } catch (error) {
      await level.close()
      throw error
    }
    checkpoints.#migrate(ofFormat1)
    return checkpoints
  }

  /**
   * Rewrites checkpoints of format 1 under the key of their kind. Those of an unrelated log are kept: that log may come
   * back.
   */
  #migrate(ofFormat1: ReadonlyMap<string, StoredCheckpoint>): void {
    for (const [name, checkpoint] of ofFormat1) {
      if (this.#log.sharedWith(checkpoint) === undefined) continue
      const key = keyOf('consumer', name)
      if (!this.#known.has(key)) this.#known.set(key, checkpoint)
      this.#dirty.add(name).add(key)
    }
    if (this.#dirty.size > 0) this.#writing = this.#run()
  }

  get(kind: PlaceKind, name: string): SavedPlace | undefined {
    const stored = this.#known.get(keyOf(kind, name))
    const validUpTo = stored && this.#log.sharedWith(stored)
    return stored === undefined || validUpTo === undefined ? undefined : { ...checkpointOf(stored), validUpTo }
  }

  names(kind: PlaceKind): string[] {
    const prefix = keyOf(kind, '')
    const names = [...this.#known.keys()].filter((key) => key.startsWith(prefix)).map((key) => key.slice(1))
    return names.filter((name) => this.get(kind, name) !== undefined)
  }

  get failure(): Error | undefined {
    return this.#failure
  }

  /**
   * Saves that arrive together are written together. A failed write is retried until it succeeds; on a full disk nobody
   * waits for that.
   */
  save(kind: PlaceKind, name: string, checkpoint: Checkpoint): Promise<void> {
    const last = this.get(kind, name)
    if (last !== undefined && checkpoint.generation < last.generation) {
      throw new Error(`the checkpoint of "${name}" goes back to generation ${checkpoint.generation}`)
    }
    const goesBack = last !== undefined && last.generation === checkpoint.generation && checkpoint.cursor < last.cursor
    const cursor = goesBack ? last.cursor : checkpoint.cursor
    const { id, ancestors, head } = this.#log
    const line = ancestors.length === 0 ? {} : { ancestors }
    this.#known.set(keyOf(kind, name), { log: id, ...line, head, ...checkpoint, cursor })
    return this.#write(keyOf(kind, name))
  }

  remove(kind: PlaceKind, name: string): Promise<void> {
    this.#known.delete(keyOf(kind, name))
    return this.#write(keyOf(kind, name))
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#wake()
    await this.#writing
    this.#ended = true
    await this.#level.close()
  }

  #write(key: string): Promise<void> {
    this.#dirty.add(key)
    const written = new Promise<void>((resolve, reject) => this.#pending.push({ resolve, reject }))
    this.#writing ??= this.#run()
    return written
  }

  async #run(): Promise<void> {
    // Yield once: saves that arrive together are written together.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#dirty.size > 0) {
      const keys = [...this.#dirty]
      const pending = this.#pending
      this.#dirty.clear()
      this.#pending = []
      try {
        if (this.#ended) throw new Error('it is closed')
        await this.#put(keys)
        this.#failure = undefined
        this.#pause = FIRST_PAUSE_MS
        for (const { resolve } of pending) resolve()
      } catch (error) {
        for (const key of keys) this.#dirty.add(key)
        this.#pending.unshift(...pending)
        this.#failure = error as Error
        if (this.#closed) break
        if (isDiskFull(error)) this.#rejectPending(diskFull(error))
        await this.#rest()
      }
    }
    // No await since the loop ended: the next save finds no write under way, and begins one.
    this.#writing = undefined
    if (this.#pending.length > 0) this.#rejectPending(stopped())
  }

  async #put(keys: readonly string[]): Promise<void> {
    // After a failed write, LevelDB refuses all writes until the database is opened again.
    if (this.#failure !== undefined) await this.#level.reopen()
    const batch = this.#level.batch()
    for (const text of keys) {
      const key = Buffer.from(text)
      const checkpoint = this.#known.get(text)
      if (checkpoint === undefined) batch.del(key)
      else batch.put(key, encodeCheckpoint(key, checkpoint))
    }
    await this.#level.writeSynced(batch)
  }

  /** Waits before a retry, twice as long each time. `close` ends the wait. */
  #rest(): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(this.#pause, resolve)
      this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS)
      this.#wake = () => {
        cancel()
        resolve()
      }
    })
  }

  #rejectPending(error: DaybookError): void {
    for (const { reject } of this.#pending) reject(error)
    this.#pending = []
  }
}

function stopped(): DaybookError {
  return new DaybookError('stopping', 'The server stopped before the checkpoint was on disk.', { retry: true })
}

function diskFull(cause: unknown): DaybookError {
  const message = 'The disk is full. The place is kept in memory, and is written when there is space; reads go on.'
  return new DaybookError('read-only', message, { written: 'unknown', retry: true }, cause)
}

/** @throws as `Checkpoints.open` */
async function openStored(directory: string, notices: string[]): Promise<{ level: Level; stored: Entry[] }> {
  try {
    return await readStored(directory)
  } catch (error) {
    if (!isDatabaseDamaged(error)) throw openFailure('the places of consumers', error)
    const aside = setAside(directory)
    notices.push(
      `the places of consumers were damaged (${(error as Error).message}) and begin anew: each consumer begins where its definition says. The damaged database is now ${aside}`
    )
    return readStored(directory)
  }
}

async function readStored(directory: string): Promise<{ level: Level; stored: Entry[] }> {
  const level = await Level.open(directory, OPTIONS)
  try {
    const stored: Entry[] = []
    for await (const entry of level.entries({})) stored.push(entry)
    return { level, stored }
  } catch (error) {
    await level.close()
    throw error
  }
}

/** Renames a damaged database. Only the last one is kept. @returns where it is now @throws `directory-unusable` */
function setAside(directory: string): string {
  const aside = `${directory}.damaged`
  try {
    rmSync(aside, { recursive: true, force: true })
    renameSync(directory, aside)
  } catch (cause) {
    throw openFailure('the places of consumers', cause)
  }
  return aside
}

function keyOf(kind: PlaceKind, name: string): string {
  return checkpointKey(kind, name).toString()
}

/** A stored checkpoint without the description of its log. */
function checkpointOf({ log: _, ancestors: __, head: ___, ...checkpoint }: StoredCheckpoint): Checkpoint {
  return checkpoint
}

/**
 * How long the log was at least. Format 1 does not store that, but a cursor is never higher than the position of its
 * event.
 */
function asReached({ log, ancestors, head = -1, cursor }: StoredCheckpoint) {
  return { log, ancestors, head: Math.max(head, cursor) }
}
