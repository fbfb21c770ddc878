/**
 * The integrity check: reads all data of a closed directory and reports every kind of disagreement. The records of the
 * log must be undamaged, gapless, in time order, and numbered without gaps in each stream. The index must agree with
 * them. The witness and the checkpoints must not be ahead of the log. Damage does not stop the check.
 */
import { existsSync } from 'node:fs'
import { Postings } from '../index/posting-lists.js'
import { isMarkedDamaged } from '../index/storage/damage-marker.js'
import { indexDirectory } from '../index/storage/index-store.js'
import type { StoredRecord } from '../log/format.js'
import { Log } from '../log/log.js'
import { logDirectory } from '../log/opening.js'
import { droppedByLevelDb, earlierRefusal, witnessPath } from '../log/recovery/evidence.js'
import { InspectionView } from '../log/recovery/inspection-view.js'
import type { WitnessContent } from '../log/recovery/witness.js'
import { isDatabaseDamaged } from '../log/storage-faults.js'
import { describeDamage } from '../log/tables/check-tables.js'
import { replaceDamagedTables } from '../log/tables/quarantine.js'
import { type Clock, systemClock } from '../time/clock.js'
import { adviceOn } from './advice.js'
import type { CheckReport } from './check-report.js'
import { checkCheckpoints } from './checkpoint-check.js'
import { Findings } from './findings.js'
import { IndexCheck } from './index-check.js'
import { LogCheck } from './log-check.js'

/** Records compared with the index at once. */
const CHUNK = 256

type OnProgress = (done: number, of: number) => void

/**
 * Checks a directory that no process has open. Works in an InspectionView, so the directory is not changed.
 * @param onProgress called with the number of positions read and the number of positions to read
 * @param clock clock of this machine; events ahead of it are reported as a warning
 * @throws DaybookError when the check cannot read the data, which is no disagreement: `directory-in-use`,
 * `directory-unusable`, `format-unknown`, `storage-failed`
 */
export async function checkDirectory(
  directory: string,
  onProgress: OnProgress = () => {},
  clock: Clock = systemClock
): Promise<CheckReport> {
  const view = InspectionView.make(directory)
  try {
    return await new DirectoryCheck(directory, view, clock).run(onProgress)
  } catch (error) {
    throw view.errorOf(error)
  } finally {
    view.remove()
  }
}

class DirectoryCheck {
  readonly #directory: string
  readonly #view: InspectionView
  readonly #clock: Clock
  readonly #findings: Findings
  readonly #logCheck: LogCheck
  #indexTablesDamaged = false

  constructor(directory: string, view: InspectionView, clock: Clock) {
    this.#directory = directory
    this.#view = view
    this.#clock = clock
    this.#findings = new Findings((text) => view.named(text))
    this.#logCheck = new LogCheck(this.#findings, clock.now())
  }

  async run(onProgress: OnProgress): Promise<CheckReport> {
    await this.#checkTables()
    const log = await this.#openLog()
    let streams: number | undefined
    try {
      if (log !== undefined) {
        this.#view.removeOthers()
        streams = await this.#compare(log, onProgress)
      }
      await checkCheckpoints(this.#view.directory, log, this.#findings)
    } finally {
      await log?.close()
    }
    const kinds = this.#findings.kinds
    return {
      events: this.#logCheck.events,
      streams: streams ?? this.#logCheck.streamsBegun,
      disagreements: this.#findings.examples,
      kinds,
      advice: adviceOn(kinds, this.#directory),
      warnings: this.#logCheck.warnings()
    }
  }

  /** Replaces damaged tables in the view, because LevelDB would end the process when it reads them. */
  async #checkTables(): Promise<void> {
    for (const damage of await replaceDamagedTables(this.#view.directory, this.#clock.now())) {
      this.#findings.add({ code: `${damage.database}-table-damaged`, detail: describeDamage(damage) })
      if (damage.database === 'index') this.#indexTablesDamaged = true
    }
  }

  /** Opens the log and compares its head with the witness. @returns undefined when LevelDB cannot open the log */
  async #openLog(): Promise<Log | undefined> {
    const refusal = earlierRefusal(logDirectory(this.#directory))
    if (refusal !== undefined) this.#findings.add({ code: 'start-refused', detail: refusal })
    try {
      const options = { directory: this.#view.directory, clock: this.#clock, fsync: false, compression: true }
      const { log, witnessed, metaFault } = await Log.openToInspect(options)
      if (metaFault !== undefined) this.#findings.add({ code: 'log-meta-damaged', detail: metaFault })
      this.#checkWitness(log.head, witnessed)
      return log
    } catch (error) {
      if (!isDatabaseDamaged(error)) throw error
      this.#findings.add({ code: 'log-unreadable', detail: (error as Error).message })
      return undefined
    }
  }

  #checkWitness(head: number, witnessed: WitnessContent | undefined): void {
    const path = witnessPath(this.#directory, logDirectory(this.#directory))
    if (!existsSync(path)) {
      this.#findings.add({ code: 'witness-missing', detail: `${path} does not exist` })
    } else if (witnessed === undefined) {
      this.#findings.add({ code: 'witness-damaged', detail: `the checksum of ${path} is wrong` })
    }
    this.#logCheck.expectHead(head, witnessed)
  }

  /**
   * Reads the log and compares the index with it.
   * @returns the number of streams; undefined unless the index covers the log
   */
  async #compare(log: Log, onProgress: OnProgress): Promise<number | undefined> {
    const postings = await this.#openIndex(log)
    try {
      const { lost } = this.#logCheck
      const check = postings && new IndexCheck({ log, postings, findings: this.#findings, lost })
      const covered = postings?.goodTo ?? -1
      let chunk: StoredRecord[] = []
      for await (const place of log.inspect()) {
        this.#logCheck.take(place)
        const { position, record } = place
        if (record !== undefined && position <= covered) chunk.push(record)
        if (chunk.length === CHUNK) {
          await check?.compare(chunk)
          chunk = []
          onProgress(position + 1, log.head + 1)
        }
      }
      await check?.compare(chunk)
      this.#reportDropped()
      if (covered > log.head) lost.add(log.head + 1, covered)
      const streams = await check?.finish()
      onProgress(log.head + 1, log.head + 1)
      return covered < log.head ? undefined : streams
    } finally {
      await postings?.close()
    }
  }

  /**
   * Reports LevelDB's message about dropped data, but only if records or the witness are missing: a crash without
   * damage can cause the same message.
   */
  #reportDropped(): void {
    const dropped = droppedByLevelDb(logDirectory(this.#view.directory))
    if (dropped === undefined) return
    const effects = ['record-missing', 'head-behind-witness', 'witness-missing', 'witness-damaged']
    if (effects.some((code) => this.#findings.has(code))) {
      this.#findings.add({ code: 'write-ahead-log-damaged', detail: `LevelDB's recovery reports: ${dropped}` })
    }
  }

  /** Opens the index. @returns undefined when it cannot be compared; an older format is no disagreement */
  async #openIndex(log: Log): Promise<Postings | undefined> {
    // The replaced tables lack entries, each of which would be reported as a disagreement.
    if (this.#indexTablesDamaged) return undefined
    const { directory } = this.#view
    if (isMarkedDamaged(indexDirectory(directory))) {
      this.#findings.add({ code: 'index-marked', detail: 'damage was found in the index while a server used it' })
    }
    const index = await Postings.openToInspect({ directory, compression: true }, log)
    if (index instanceof Postings) {
      if (index.goodTo > log.head) {
        const detail = `the index covers positions up to ${index.goodTo}, but the log ends at ${log.head}`
        this.#findings.add({ code: 'index-ahead', detail })
      }
      return index
    }
    if (index !== 'older') this.#findings.add({ code: 'index-unusable', detail: index.unusable })
    return undefined
  }
}
