/**
 * Checkpoints: for each name the place up to which everything was dealt with, durable and never going back within a
 * generation. They stand in a database of their own, which holds nothing that cannot be done again: a checkpoint that is
 * lost costs repetition, never an event.
 */
import { join } from 'node:path'
import type { Clock } from '../clock.js'
import { DaybookError } from '../errors.js'
import { type Checkpoint, decodeCheckpoint, encodeCheckpoint } from '../log/format.js'
import { Level } from '../log/level.js'

export type { Checkpoint } from '../log/format.js'

interface Waiting {
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

const OPTIONS = { writeBufferSize: 512 * 1024, cacheSize: 256 * 1024, compression: false }
const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 5000

export class Checkpoints {
  readonly #level: Level
  readonly #clock: Clock
  readonly #log: string
  readonly #known: Map<string, Checkpoint>
  /** Names whose checkpoint is not on disk yet. */
  readonly #dirty = new Set<string>()
  #waiting: Waiting[] = []
  #writing: Promise<void> | undefined
  #pause = FIRST_PAUSE_MS
  #wake = () => {}
  #closed = false
  #ended = false
  #failure: Error | undefined

  private constructor(level: Level, clock: Clock, log: string, known: Map<string, Checkpoint>) {
    this.#level = level
    this.#clock = clock
    this.#log = log
    this.#known = known
  }

  /**
   * Opens `directory`/checkpoints. Checkpoints of another log say nothing about this one and are forgotten, as are
   * those that cannot be read.
   * @param log the log's identity
   * @throws `directory-unusable`
   */
  static async open(directory: string, log: string, clock: Clock): Promise<Checkpoints> {
    const level = await Level.open(join(directory, 'checkpoints'), OPTIONS)
    const known = new Map<string, Checkpoint>()
    for await (const { key, value } of level.entries({})) {
      const checkpoint = decodeCheckpoint(key.toString(), value, log)
      if (checkpoint !== undefined) known.set(key.toString(), checkpoint)
    }
    return new Checkpoints(level, clock, log, known)
  }

  get(name: string): Checkpoint | undefined {
    return this.#known.get(name)
  }

  /** Why checkpoints cannot be written at the moment; undefined when they can. */
  get failure(): Error | undefined {
    return this.#failure
  }

  /**
   * Saves a place and resolves when it is on disk. All that wait are written together; a write that fails is tried
   * again until it succeeds. Within a generation a place never goes back: a lower cursor leaves it as it is.
   * @throws `stopping` when the store closes before it could be written
   */
  save(name: string, checkpoint: Checkpoint): Promise<void> {
    const last = this.#known.get(name)
    if (last !== undefined && checkpoint.generation < last.generation) {
      throw new Error(`the checkpoint of "${name}" goes back to generation ${checkpoint.generation}`)
    }
    const back = last !== undefined && last.generation === checkpoint.generation && checkpoint.cursor < last.cursor
    this.#known.set(name, back ? { ...checkpoint, cursor: last.cursor } : checkpoint)
    return this.#write(name)
  }

  /** Forgets a name; resolves when that is on disk. @throws `stopping` */
  remove(name: string): Promise<void> {
    this.#known.delete(name)
    return this.#write(name)
  }

  /** Writes what waits, once more and no more, and closes. */
  async close(): Promise<void> {
    this.#closed = true
    this.#wake()
    await this.#writing
    this.#ended = true
    await this.#level.close()
  }

  #write(name: string): Promise<void> {
    this.#dirty.add(name)
    const written = new Promise<void>((resolve, reject) => this.#waiting.push({ resolve, reject }))
    this.#writing ??= this.#run()
    return written
  }

  async #run(): Promise<void> {
    // A turn first: what arrives together is written together.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#dirty.size > 0) {
      const names = [...this.#dirty]
      const waiting = this.#waiting
      this.#dirty.clear()
      this.#waiting = []
      try {
        if (this.#ended) throw new Error('it is closed')
        await this.#put(names)
        this.#failure = undefined
        this.#pause = FIRST_PAUSE_MS
        for (const { resolve } of waiting) resolve()
      } catch (error) {
        for (const name of names) this.#dirty.add(name)
        this.#waiting.unshift(...waiting)
        this.#failure = error as Error
        if (this.#closed) break
        await this.#rest()
      }
    }
    // In the same moment in which nothing more was found to write: what comes next begins anew.
    this.#writing = undefined
    if (this.#waiting.length > 0) this.#refuse()
  }

  async #put(names: readonly string[]): Promise<void> {
    // A handle on which a write failed stays failed.
    if (this.#failure !== undefined) await this.#level.reopen()
    const batch = this.#level.batch()
    for (const name of names) {
      const checkpoint = this.#known.get(name)
      if (checkpoint === undefined) batch.del(Buffer.from(name))
      else batch.put(Buffer.from(name), encodeCheckpoint(name, checkpoint, this.#log))
    }
    await this.#level.writeSynced(batch)
  }

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

  #refuse(): void {
    const error = new DaybookError('stopping', 'The server stopped before the checkpoint was on disk.', { retry: true })
    for (const { reject } of this.#waiting) reject(error)
    this.#waiting = []
  }
}
