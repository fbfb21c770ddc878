/**
 * Checks all tables slowly while the store is open: one table after the other, with pauses, and again a week after the
 * last complete pass. Skips tables that a compaction removes meanwhile. Saves its progress, so that a restart continues
 * the pass.
 */
import { limits } from '../../limits.js'
import type { Clock } from '../../time/clock.js'
import type { Log } from '../log.js'
import type { ReadOnlyMode } from '../read-only-mode.js'
import { damageOf, describeDamage, type TableDamage } from './check-tables.js'
import {
  type DamagedTable,
  type DatabaseName,
  type DatabaseTable,
  DatabaseTables,
  databaseNames
} from './database-tables.js'
import { replaceTable } from './quarantine.js'
import { noticeOf, type TableGuard } from './table-guard.js'

/** The progress of a pass is saved after so many bytes. */
const NOTED_BYTES = 256 * 1024 * 1024
const BEGIN_MS = 2_000
/** Pause after an error of the system, such as no free file descriptor, before the pass continues. */
const RETRY_MS = 60_000

export interface TableWatchParts {
  readonly guard: TableGuard
  readonly log: Pick<Log, 'reopen'>
  /** The log is not written to during work in the writer's turn. */
  readonly writer: { inTurn(work: () => Promise<void>): Promise<void> }
  readonly readOnlyMode: Pick<ReadOnlyMode, 'begin'>
  /** Bytes per second. Default: `limits.tables_checked_bytes_a_second`. */
  readonly speed?: number
  /** Milliseconds before the first pass. The default leaves the start time for other work. */
  readonly beginMs?: number
}

const NO_LISTENER = () => {}

export class TableWatch {
  readonly #parts: TableWatchParts
  readonly #guard: TableGuard
  readonly #clock: Clock
  readonly #speed: number
  #listener: (warning: string) => void = NO_LISTENER
  /** Warnings found before there was a listener. */
  readonly #unsent: string[] = []
  #stopped = false
  #wake = () => {}
  #running: Promise<void>

  /** Starts the first pass after `beginMs`. */
  constructor(parts: TableWatchParts) {
    this.#parts = parts
    this.#guard = parts.guard
    this.#clock = parts.guard.clock
    this.#speed = parts.speed ?? limits.tables_checked_bytes_a_second
    this.#running = this.#run()
  }

  /** Sets the listener for warnings, each a sentence. It also gets the warnings found before. */
  tell(listener: (warning: string) => void): void {
    this.#listener = listener
    for (const warning of this.#unsent.splice(0)) listener(warning)
  }

  /** Stops the check. Resolves when nothing more is read or changed. */
  async close(): Promise<void> {
    this.#stopped = true
    this.#wake()
    await this.#running
  }

  async #run(): Promise<void> {
    await this.#pause(this.#parts.beginMs ?? BEGIN_MS)
    while (!this.#stopped) {
      let wait: number = RETRY_MS
      try {
        for (const name of databaseNames) await this.#pass(name)
        wait = this.#dueIn()
      } catch (error) {
        if ((error as NodeJS.ErrnoException).syscall === undefined) {
          this.#warn(`the check of tables has stopped until the next start: ${(error as Error).message}`)
          return
        }
      }
      // Node fires timers of more than 24 days at once.
      await this.#pause(Math.min(wait, limits.tables_checked_again_ms))
    }
  }

  /** Returns the milliseconds until the next pass of a database is due. */
  #dueIn(): number {
    return Math.max(RETRY_MS, this.#guard.passed + limits.tables_checked_again_ms - this.#clock.now())
  }

  /** Runs or continues the pass of a database if it is due. @throws an error of the system */
  async #pass(name: DatabaseName): Promise<void> {
    const guard = this.#guard
    const state = guard.stateOf(name)
    const age = this.#clock.now() - state.passed
    if (state.next === 0 && age >= 0 && age < limits.tables_checked_again_ms) return
    const database = await DatabaseTables.list(guard.directory, name)
    let bytes = 0
    for (const table of database.tables) {
      if (table.number < state.next) continue
      const damaged = await this.#check(database, table, (read) => {
        bytes += read
      })
      if (this.#stopped) return guard.note(name, { next: table.number })
      if (damaged !== undefined) await this.#replace(name, damaged)
      if (bytes < NOTED_BYTES) continue
      bytes = 0
      await guard.note(name, { next: table.number + 1 })
    }
    await guard.note(name, { next: 0, crashes: 0, passed: this.#clock.now() })
  }

  async #check(
    database: DatabaseTables,
    table: DatabaseTable,
    onRead: (bytes: number) => void
  ): Promise<DamagedTable | undefined> {
    try {
      return await database.check(table, (bytes) => {
        if (this.#stopped) throw new Stopped()
        onRead(bytes)
        return this.#pause((bytes / this.#speed) * 1000)
      })
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENOENT' || error instanceof Stopped) return undefined
      throw error
    }
  }

  async #replace(name: DatabaseName, { table }: DamagedTable): Promise<void> {
    const guard = this.#guard
    // A compaction may have removed the table meanwhile. So it is checked again, and that result is used.
    const find = async () => {
      const database = await DatabaseTables.list(guard.directory, name)
      const same = database.tables.find(({ number }) => number === table.number)
      return same && { database, damaged: await database.check(same, () => {}) }
    }
    const found = await find()
    if (found?.damaged === undefined) return
    const damage = damageOf(name, found.damaged)
    if (name !== 'log') {
      await guard.suspect(damage)
      const advice = 'restart the server soon: until then, a read of the damaged data may end the process'
      return this.#warn(`${describeDamage(damage)}; ${advice}`)
    }
    const replaced: TableDamage[] = []
    try {
      await this.#whileLogIsClosed(async () => {
        const again = await find()
        if (again?.damaged === undefined) return
        replaced.push(await replaceTable(again.database, again.damaged, this.#clock.now()))
      })
    } catch (error) {
      // If the table was replaced but the log could not be reopened, the read-only mode reports that.
      const why = `${damage.file} is damaged and could not be replaced: ${(error as Error).message}`
      if (replaced.length === 0) this.#warn(why)
    }
    if (replaced.length === 0) await guard.suspect(damage)
    guard.count(replaced)
    for (const one of replaced) this.#warn(noticeOf(one, guard.directory))
  }

  /**
   * Runs work on the log's files while the log is closed and reads wait. Enters read-only mode if the reopening fails.
   */
  #whileLogIsClosed(work: () => Promise<void>): Promise<void> {
    const { writer, log, readOnlyMode } = this.#parts
    return writer.inTurn(async () => {
      try {
        await log.reopen(work)
      } catch (error) {
        readOnlyMode.begin(error as Error)
        throw error
      }
    })
  }

  #warn(warning: string): void {
    if (this.#listener === NO_LISTENER) this.#unsent.push(warning)
    else this.#listener(warning)
  }

  #pause(ms: number): Promise<void> {
    if (this.#stopped) return Promise.resolve()
    return new Promise((resolve) => {
      const cancel = this.#clock.after(ms, resolve)
      this.#wake = () => {
        cancel()
        resolve()
      }
    })
  }
}

/** Thrown to abort the check of a table when the watch is closed. */
class Stopped extends Error {}
