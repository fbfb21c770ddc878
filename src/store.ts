/** Composition: opens every part in order and closes them in reverse. No logic of its own. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Clock, systemClock } from './clock.js'
import { Ballast } from './log/ballast.js'
import type { Family } from './log/format.js'
import { families, family } from './log/format.js'
import { Log } from './log/log.js'
import { Postings } from './log/postings.js'
import { Metrics } from './metrics.js'
import { catchUp } from './streams/posting.js'
import { Reader } from './streams/read.js'
import { Standstill } from './streams/standstill.js'
import { Writer } from './streams/writer.js'

export interface StoreOptions {
  directory: string
  /** False: `--unsafe-no-fsync`. */
  fsync?: boolean
  compression?: boolean
  /** `none` keeps no lists of categories and types; reads by them then look at every event. */
  runProjections?: 'none' | 'system' | 'all'
  /** Makes the index anew from the log. */
  rebuildIndex?: boolean
  /** Space to keep aside for a full disk, bytes. */
  ballastBytes?: number
  clock?: Clock
}

export type StoreStatus = 'opening' | 'open' | 'failed' | 'closed'

export class Store {
  readonly options: StoreOptions
  readonly clock: Clock
  readonly metrics = new Metrics()
  /** Present once `open` has resolved. */
  log!: Log
  postings!: Postings
  writer!: Writer
  reader!: Reader
  standstill!: Standstill
  status: StoreStatus = 'opening'
  /** Why it is not open, for people. */
  reason = 'the log has not been opened yet'

  constructor(options: StoreOptions) {
    this.options = options
    this.clock = options.clock ?? systemClock
  }

  /**
   * Opens log, then index, then writer; reads and appends may begin when it resolves.
   * @throws `directory-in-use`, `directory-unusable`, `format-unknown`, `log-damaged`
   */
  async open(): Promise<this> {
    const { directory, fsync = true, compression = false, runProjections = 'all' } = this.options
    try {
      this.reason = 'the end of the log is being checked'
      this.log = await Log.open({ directory, clock: this.clock, fsync, compression }, (done, of) => {
        this.reason = `the end of the log is being checked: ${done} of ${of} events`
      })
      const kept = runProjections === 'none' ? [family.stream] : [...families]
      this.postings = await this.#openIndex(directory, compression, kept)
      await catchUp(this.log, this.postings, (done, of) => {
        this.reason = `the index is catching up with the log: ${done} of ${of} events`
      })
    } catch (error) {
      this.status = 'failed'
      this.reason = (error as Error).message
      await this.postings?.close()
      await this.log?.close()
      throw error
    }
    const ballast = new Ballast(directory, this.options.ballastBytes ?? 0)
    this.standstill = new Standstill(ballast, this.clock, async () => {
      await this.log.reopen()
      await this.postings.reopen()
      await catchUp(this.log, this.postings)
    })
    this.postings.onWriteFailed = (error) => this.standstill.begin(error)
    ballast.load().then((loaded) => {
      if (!loaded) this.standstill.begin(new Error('the disk is nearly full'))
    })
    this.writer = new Writer(this.log, this.postings, this.clock, this.metrics, this.standstill)
    this.reader = new Reader(this.log, this.postings)
    this.metrics.gauge('daybook_append_queue', 'Appends waiting for the next commit', () => this.writer.queued)
    this.metrics.gauge('daybook_read_only', '1 while nothing can be written', () => (this.standstill.why ? 1 : 0))
    this.metrics.gauge('daybook_log_head', 'Position of the last event, -1 when there is none', () => this.log.head)
    this.status = 'open'
    this.reason = 'ready'
    return this
  }

  /** Answers what was taken, writes the index, closes the databases. */
  async close(): Promise<void> {
    if (this.status !== 'open') return
    this.status = 'closed'
    this.reason = 'the server is stopping'
    await this.writer.close()
    this.standstill.close()
    await this.postings.close()
    await this.log.close()
  }

  /** The index of this log, made anew when what is there cannot serve or is ahead of the log. */
  async #openIndex(directory: string, compression: boolean, kept: readonly Family[]): Promise<Postings> {
    const options = { directory, log: this.log.id, compression }
    if (this.options.rebuildIndex) rmSync(join(directory, 'index'), { recursive: true, force: true })
    const found = await Postings.open(options, kept, this.log)
    if (found !== undefined) return found
    rmSync(join(directory, 'index'), { recursive: true, force: true })
    const made = await Postings.open(options, kept, this.log)
    if (made === undefined) throw new Error('a new index cannot serve')
    return made
  }
}
