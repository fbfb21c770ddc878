/**
 * Guards LevelDB against damaged tables: each database is checked before it is opened, and all tables are checked, slowly,
 * while the store is open.
 */
import { join } from 'node:path'
import type { Clock } from '../../time/clock.js'
import { describeDamage, type TableDamage } from './check-tables.js'
import { type CheckedState, hasChecked, NOTHING_CHECKED, writeChecked } from './checked-state.js'
import { type DatabaseName, databaseNames } from './database-tables.js'
import { checkBeforeOpening, type OpeningCheck } from './opening-check.js'
import { tablesAside } from './quarantine.js'

export interface TableGuardOptions extends Omit<OpeningCheck, 'now'> {
  readonly clock: Clock
}

export class TableGuard {
  readonly directory: string
  readonly clock: Clock
  readonly #markIndexDamaged: (directory: string, why: string) => void
  readonly #states: Map<DatabaseName, CheckedState>
  /** What the operator should know of this start, a sentence each, without a full stop. */
  readonly notices: readonly string[]
  #damaged: number

  private constructor(
    { directory, clock, markIndexDamaged }: TableGuardOptions,
    states: Map<DatabaseName, CheckedState>,
    notices: readonly string[]
  ) {
    this.directory = directory
    this.clock = clock
    this.#markIndexDamaged = markIndexDamaged
    this.#states = states
    this.notices = notices
    this.#damaged = databaseNames.reduce((sum, name) => sum + tablesAside(join(directory, name)).length, 0)
  }

  /**
   * Checks what must be checked before the databases of a data directory are opened, and sets damaged tables aside.
   * @throws `directory-in-use`, `directory-unusable` as `checkBeforeOpening`; what the file system throws
   */
  static async open(options: TableGuardOptions): Promise<TableGuard> {
    const states = new Map<DatabaseName, CheckedState>()
    const notices: string[] = []
    for (const name of databaseNames) {
      const { damages, state } = await checkBeforeOpening(name, { ...options, now: options.clock.now() })
      states.set(name, state)
      for (const damage of damages) notices.push(noticeOf(damage, options.directory))
    }
    return new TableGuard(options, states, notices)
  }

  /** Notes that the databases are open; those that were made at this start have no state on disk yet. */
  async noteOpen(): Promise<void> {
    for (const name of databaseNames) if (!hasChecked(join(this.directory, name))) await this.note(name, {})
  }

  /** Tables of the log and the checkpoints that were found damaged and set aside, also at earlier starts. */
  get damaged(): number {
    return this.#damaged
  }

  /** When all tables had been checked for the last time, milliseconds since 1970; 0: never. */
  get passed(): number {
    return Math.min(...databaseNames.map((name) => this.stateOf(name).passed))
  }

  /** What is known of the tables of a database. One that was made anew since has been checked in nothing. */
  stateOf(name: DatabaseName): CheckedState {
    const state = this.#states.get(name) ?? NOTHING_CHECKED
    if (hasChecked(join(this.directory, name))) return state
    return { ...NOTHING_CHECKED, open: state.open, passed: state.passed }
  }

  /** Changes what is known, in memory and on disk; a power cut may lose it there. */
  async note(name: DatabaseName, changes: Partial<CheckedState>): Promise<void> {
    const state = { ...this.stateOf(name), ...changes }
    this.#states.set(name, state)
    await writeChecked(join(this.directory, name), state, false)
  }

  /** Tables of the log were set aside while the store is open. */
  count(damages: readonly TableDamage[]): void {
    this.#damaged += damages.length
  }

  /** A table that cannot be set aside now was found damaged: the next start looks at all of its database. */
  async suspect({ database, file }: TableDamage): Promise<void> {
    if (database === 'index') this.#markIndexDamaged(join(this.directory, database), `its table ${file} is damaged`)
    await this.note(database, { suspect: true })
  }

  /** Notes that the databases were closed, as they must be by now. */
  async close(): Promise<void> {
    for (const name of databaseNames) await this.note(name, { open: false })
  }
}

/** What the operator is told of a table that was set aside at the start. */
export function noticeOf(damage: TableDamage, directory: string): string {
  const text = describeDamage(damage).replace(/ at the next start$/, '')
  if (damage.lost.length === 0) return text
  return `${text}. "daybook verify --db ${directory}" names everything that is wrong; restore the directory from a backup`
}
