/** The checkpoints of consumers, stored on disk in a database of their own. */
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

/** A call of `save` or `remove` whose change is not on disk yet. */
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
  /** The newest checkpoints, by key, including those that are not on disk yet. */
  readonly #known: Map<string, StoredCheckpoint>
  /** Keys with a checkpoint or a removal that is not on disk yet. */
  readonly #dirty = new Set<string>()
  #pending: PendingWrite[] = []
  #writing: Promise<void> | undefined
  #pause = FIRST_PAUSE_MS
  #endBackOff = () => {}
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
   * Opens `directory`/checkpoints. Tells the log its head at the time of each checkpoint, so that a log that has lost
   * its end gets a new identity. Damaged checkpoints are ignored; those of format 1 are rewritten in the current
   * format. A damaged database is renamed and replaced by an empty one.
   * @param notices gets a sentence for the operator when the database was replaced
   * @throws DaybookError `directory-in-use`; `directory-unusable` when opening fails for a reason other than damage;
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
      const saved = [...known.values(), ...ofFormat1.values()]
      await log.noticeCut(saved.map(asReached), 'a checkpoint')
    } catch (error) {
      await level.close()
      throw error
    }
    checkpoints.#migrate(ofFormat1)
    return checkpoints
  }

  /**
   * Rewrites checkpoints of format 1 under the key of their kind. Those of an unrelated log are left as they are,
   * because that log may be restored.
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
   * Saves a checkpoint; saves that arrive together are written together. A failed write is retried until it succeeds.
   * On a full disk the call is rejected instead of waiting for the retries.
   */
  save(kind: PlaceKind, name: string, checkpoint: Checkpoint): Promise<void> {
    const last = this.get(kind, name)
    if (last !== undefined && checkpoint.generation < last.generation) {
      throw new Error(
        `the checkpoint of "${name}" has generation ${last.generation} and cannot go back to ${checkpoint.generation}`
      )
    }
    const goesBack = last !== undefined && last.generation === checkpoint.generation && checkpoint.cursor < last.cursor
    const cursor = goesBack ? last.cursor : checkpoint.cursor
    const { id, ancestors, head } = this.#log
    const lineage = ancestors.length === 0 ? {} : { ancestors }
    this.#known.set(keyOf(kind, name), { log: id, ...lineage, head, ...checkpoint, cursor })
    return this.#write(keyOf(kind, name))
  }

  remove(kind: PlaceKind, name: string): Promise<void> {
    this.#known.delete(keyOf(kind, name))
    return this.#write(keyOf(kind, name))
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#endBackOff()
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
        if (this.#ended) throw new Error('the checkpoint database is closed')
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
        await this.#backOff()
      }
    }
    // There is no await after the loop, so the next save sees that no write is under way and begins one.
    this.#writing = undefined
    if (this.#pending.length > 0) this.#rejectPending(stopped())
  }

  async #put(keys: readonly string[]): Promise<void> {
    // After a failed write, LevelDB refuses all writes until the database is reopened.
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
  #backOff(): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(this.#pause, resolve)
      this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS)
      this.#endBackOff = () => {
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
  const message = 'The disk is full. The checkpoint is in memory and is written when there is space; reads still work.'
  return new DaybookError('read-only', message, { written: 'unknown', retry: true }, cause)
}

/** @throws as `Checkpoints.open` */
async function openStored(directory: string, notices: string[]): Promise<{ level: Level; stored: Entry[] }> {
  try {
    return await readStored(directory)
  } catch (error) {
    if (!isDatabaseDamaged(error)) throw openFailure('the checkpoints of consumers', error)
    const aside = setAside(directory)
    notices.push(
      `the checkpoints of consumers were damaged (${(error as Error).message}) and are reset: ` +
        `each consumer begins where its definition says. The damaged database is now ${aside}`
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

/**
 * Renames a damaged database, and deletes an earlier renamed one. Returns the new path. @throws `directory-unusable`
 */
function setAside(directory: string): string {
  const aside = `${directory}.damaged`
  try {
    rmSync(aside, { recursive: true, force: true })
    renameSync(directory, aside)
  } catch (cause) {
    throw openFailure('the checkpoints of consumers', cause)
  }
  return aside
}

function keyOf(kind: PlaceKind, name: string): string {
  return checkpointKey(kind, name).toString()
}

/** Returns a stored checkpoint without the description of its log. */
function checkpointOf({ log: _, ancestors: __, head: ___, ...checkpoint }: StoredCheckpoint): Checkpoint {
  return checkpoint
}

/**
 * Returns the least head that the log had when the checkpoint was saved. Format 1 does not store the head, but a cursor
 * is never higher than the position of its event.
 */
function asReached({ log, ancestors, head = -1, cursor }: StoredCheckpoint) {
  return { log, ancestors, head: Math.max(head, cursor) }
}
