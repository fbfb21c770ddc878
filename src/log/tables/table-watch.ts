/**
 * The slow check of all tables while the store is open: one table after the other, with pauses, all of them again after a
 * week. Tables that a compaction removes meanwhile are passed over. How far it is stands in a file, so that a restart goes on.
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

/** How far the pass is, is written after so many bytes. */
const NOTED_BYTES = 256 * 1024 * 1024
const BEGIN_MS = 2_000
/** An error of the system, such as no free file descriptor: the pass goes on after this. */
const RETRY_MS = 60_000

export interface TableWatchParts {
  readonly guard: TableGuard
  readonly log: Pick<Log, 'reopen'>
  /** Its turn keeps the log from being written meanwhile. */
  readonly writer: { inTurn(work: () => Promise<void>): Promise<void> }
  readonly readOnlyMode: Pick<ReadOnlyMode, 'begin'>
  /** Bytes a second. */
  readonly speed?: number
  /** The first pass begins after so many milliseconds. Default: when the store has had time for other things. */
  readonly beginMs?: number
}

const NOBODY = () => {}

export class TableWatch {
  readonly #parts: TableWatchParts
  readonly #guard: TableGuard
  readonly #clock: Clock
  readonly #speed: number
  #listener: (warning: string) => void = NOBODY
  readonly #told: string[] = []
  #stopped = false
  #wake = () => {}
  #running: Promise<void>

  /** Begins soon. */
  constructor(parts: TableWatchParts) {
    this.#parts = parts
    this.#guard = parts.guard
    this.#clock = parts.guard.clock
    this.#speed = parts.speed ?? limits.tables_checked_bytes_a_second
    this.#running = this.#run()
  }

  /** Tells a listener what is found, a sentence each, also what was found before. */
  tell(listener: (warning: string) => void): void {
    this.#listener = listener
    for (const warning of this.#told.splice(0)) listener(warning)
  }

  /** Resolves when nothing more is read or changed. */
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
          this.#say(`the check of tables stopped: ${(error as Error).message}`)
          return
        }
      }
      // Timers of longer than 24 days fire at once.
      await this.#pause(Math.min(wait, limits.tables_checked_again_ms))
    }
  }

  /** Milliseconds until a database is to be checked again. */
  #dueIn(): number {
    return Math.max(RETRY_MS, this.#guard.passed + limits.tables_checked_again_ms - this.#clock.now())
  }

  /** Checks all tables of a database, or those that an earlier run has left. @throws errors of the system */
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
    // Compactions go on: what was found may be gone, and what is found again is what is replaced.
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
      const until = 'restart the server soon: until then, reading there may end it'
      return this.#say(`${describeDamage(damage)}; ${until}`)
    }
    const replaced: TableDamage[] = []
    try {
      await this.#whileLogIsClosed(async () => {
        const again = await find()
        if (again?.damaged === undefined) return
        replaced.push(await replaceTable(again.database, again.damaged, this.#clock.now()))
      })
    } catch (error) {
      // Where the log could not be opened again, the store says so.
      const why = `${damage.file} is damaged and could not be set aside: ${(error as Error).message}`
      if (replaced.length === 0) this.#say(why)
    }
    if (replaced.length === 0) await guard.suspect(damage)
    guard.count(replaced)
    for (const one of replaced) this.#say(noticeOf(one, guard.directory))
  }

  /** Does work on the log's files while reads wait. When the log cannot be opened again, nothing more is written. */
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

  #say(warning: string): void {
    if (this.#listener === NOBODY) this.#told.push(warning)
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

/** The watch was closed while a table was read. */
class Stopped extends Error {}
