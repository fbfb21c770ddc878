/**
 * Protects LevelDB from damaged tables: checks each database before it is opened, and keeps the state of these checks
 * and of the slow check of all tables while the store is open (TableWatch).
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
  /** Messages for the operator about this start, each a sentence without a full stop. */
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
   * Checks the databases of a data directory before they are opened, and replaces damaged tables.
   * @throws DaybookError `directory-in-use`, `directory-unusable` as `checkBeforeOpening`; an error of the file system
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

  /** Marks databases that were created at this start as open. The others are already marked by `checkBeforeOpening`. */
  async noteOpen(): Promise<void> {
    for (const name of databaseNames) if (!hasChecked(join(this.directory, name))) await this.note(name, {})
  }

  /** Number of damaged tables of the log and the checkpoints that were replaced, including earlier starts. */
  get damaged(): number {
    return this.#damaged
  }

  /** When all tables had last been checked, milliseconds since 1970; 0: never. */
  get passed(): number {
    return Math.min(...databaseNames.map((name) => this.stateOf(name).passed))
  }

  /** Returns the state of the checks of a database. If the database was rebuilt, no table counts as checked. */
  stateOf(name: DatabaseName): CheckedState {
    const state = this.#states.get(name) ?? NOTHING_CHECKED
    if (hasChecked(join(this.directory, name))) return state
    return { ...NOTHING_CHECKED, open: state.open, passed: state.passed }
  }

  /** Changes the state in memory and on disk, without sync: a power cut may lose the change. */
  async note(name: DatabaseName, changes: Partial<CheckedState>): Promise<void> {
    const state = { ...this.stateOf(name), ...changes }
    this.#states.set(name, state)
    await writeChecked(join(this.directory, name), state, false)
  }

  /** Counts tables of the log that were replaced while the store is open. */
  count(damages: readonly TableDamage[]): void {
    this.#damaged += damages.length
  }

  /**
   * Marks the database of a damaged table that cannot be replaced now. The next start checks all tables of that
   * database.
   */
  async suspect({ database, file }: TableDamage): Promise<void> {
    if (database === 'index') this.#markIndexDamaged(join(this.directory, database), `its table ${file} is damaged`)
    await this.note(database, { suspect: true })
  }

  /** Marks the databases as closed. To be called after they are closed. */
  async close(): Promise<void> {
    for (const name of databaseNames) await this.note(name, { open: false })
  }
}

/** Returns the message for the operator about a table that was replaced. */
export function noticeOf(damage: TableDamage, directory: string): string {
  const text = describeDamage(damage).replace(/ at the next start$/, '')
  if (damage.lost.length === 0) return text
  return `${text}. "daybook verify --db ${directory}" lists all damage; restore the directory from a backup`
}
