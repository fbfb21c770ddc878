/** `daybook import`: NDJSON as reading prints it, into a server by a streamed write, or into a closed directory. */
import { Readable } from 'node:stream'
import { StreamedWrite } from '../../../routes/writing/streamed-write.js'
import type { Receipt } from '../../../schemas/append.js'
import { ImportConfig } from '../../../schemas/settings.js'
import { describeFlags, readConfig } from '../../config/config.js'
import { badConfiguration, isDaybookError } from '../../errors.js'
import { Store } from '../../store/store.js'
import { systemClock } from '../../time/clock.js'
import { refuseFile } from '../directory.js'
import { Interrupt } from '../interrupt.js'
import { Progress } from '../progress.js'
import { counted } from '../wording.js'
import { appendOverHttp } from './append-over-http.js'
import { importAsLog } from './as-log.js'
import { ImportInput } from './import-input.js'
import { ImportedLines } from './import-lines.js'

const summary = 'append the events of an NDJSON file, gzip or not'

export const importEvents = { summary, run: runImport, schema: ImportConfig }

const HELP = `daybook import FILE|- [flags]: ${summary}

A line is an event as reading prints it; "stream" and "type" are enough.

An import that broke off is simply run again: an event that is there already is not written again. It is known by its
"id"; a line without one gets an id that is made from all bytes of the input up to and with that line. So the same input
is recognised, also when it has grown at its end, comes from standard input, or is gzip. Equal lines of another file are
other events, unless everything before them is equal, too: a file that has grown and another file that begins alike
look the same. --new-ids imports lines without an id once more.

Ctrl-C ends the import after what was sent, and says how far it got.

${describeFlags(ImportConfig)}
`

async function runImport(argv: readonly string[]): Promise<number> {
  const { config, words, help } = readConfig(ImportConfig, argv)
  if (help) {
    process.stdout.write(HELP)
    return 0
  }
  const run = new ImportRun(config, new ImportInput(fileOf(words, config)))
  return run.toEnd()
}

/** @throws `bad-configuration` for words and flags that do not go together */
function fileOf([file, more]: readonly string[], config: ImportConfig): string {
  if (file === undefined || file === '' || more !== undefined)
    throw badConfiguration('import takes one FILE, or "-" for standard input')
  if (config['as-log'] && config.db === undefined)
    throw badConfiguration('--as-log writes into a directory: name it with --db')
  if (config['as-log'] && config['new-ids'])
    throw badConfiguration('--as-log keeps ids, --new-ids does not: leave one out')
  return file
}

class ImportRun {
  readonly #config: ImportConfig
  readonly #input: ImportInput
  readonly #lines: ImportedLines
  readonly #progress = new Progress('importing', systemClock)
  readonly #interrupt = new Interrupt(systemClock, () => this.#sayReached())
  #appended = 0
  #replayed = 0
  /** The last line that is known to be dealt with. */
  #line = 0

  constructor(config: ImportConfig, input: ImportInput) {
    this.#config = config
    this.#input = input
    const { 'occurred-from': occurredFrom, 'new-ids': newIds } = config
    this.#lines = new ImportedLines(input.bytes(), { occurredFrom, newIds })
  }

  /** @returns the exit code */
  async toEnd(): Promise<number> {
    const { signal } = this.#interrupt
    signal.addEventListener('abort', () => this.#stop())
    try {
      await this.#input.check()
      await this.#write()
      if (this.#lines.failure !== undefined) throw this.#lines.failure
    } catch (error) {
      this.#sayReached()
      if (!signal.aborted || !isDaybookError(error) || error.code !== 'stopping') throw error
      process.stderr.write(`Interrupted; ${this.#howToGoOn()}.\n`)
      return this.#interrupt.code
    } finally {
      this.#input.stop()
      this.#interrupt.close()
    }
    this.#progress.end(this.#whole())
    return 0
  }

  #stop(): void {
    this.#progress.clear()
    process.stderr.write('Stopping when what was sent is answered; Ctrl-C again stops at once.\n')
    this.#input.stop()
  }

  async #write(): Promise<void> {
    const { db, batch, 'as-log': asLog } = this.#config
    const count = (receipt: Receipt) => this.#count(receipt)
    if (db === undefined) return appendOverHttp(this.#config, this.#lines, count)
    refuseFile(db)
    const store = await new Store({ directory: db }).open()
    try {
      if (asLog) await importAsLog(store, this.#lines.asTheyAre(), batch, count)
      else await new StreamedWrite(store, Readable.from(this.#lines.chunks()), batch).run(count)
    } finally {
      await store.close()
    }
  }

  async #count({ receipt }: Receipt): Promise<void> {
    this.#appended += receipt.appended
    this.#replayed += receipt.replayed
    this.#line = receipt.lines
    const { size } = this.#input
    const fraction = size && Math.min(1, this.#lines.places.bytesUpTo(receipt.lines) / size)
    this.#progress.show(this.#appended + this.#replayed, fraction)
  }

  /** A line on all of it. */
  #whole(): string {
    const { removed, ofServer, withoutId } = this.#lines
    const gone = removed > 0 ? `, ${counted(removed, 'removed event')} left out` : ''
    const own = ofServer > 0 ? `, ${counted(ofServer, 'event')} of another server's accounts and audit left out` : ''
    const doubt =
      this.#appended > 0 && this.#replayed > 0 && withoutId > 0
        ? '\nIf those that were there already came from another file that begins with the same lines, import them with --new-ids.'
        : ''
    return `${this.#imported()}${gone}${own} (${this.#seconds()})${doubt}`
  }

  /** Leaves a line on what was done of it, if anything is known to be done. */
  #sayReached(): void {
    if (this.#line === 0) this.#progress.clear()
    else
      this.#progress.end(`${this.#imported()}, up to line ${this.#line.toLocaleString('en-US')} (${this.#seconds()})`)
  }

  #imported(): string {
    const there = this.#replayed.toLocaleString('en-US')
    const already = this.#replayed > 0 ? `, ${there} ${this.#replayed === 1 ? 'was' : 'were'} there already` : ''
    return `${counted(this.#appended, 'event')} imported${already}`
  }

  #seconds(): string {
    return `${this.#progress.seconds.toFixed(1)} s`
  }

  #howToGoOn(): string {
    const { db, 'as-log': asLog, 'new-ids': newIds } = this.#config
    if (asLog) return `${db} holds the beginning of the log: remove it, and begin again`
    if (newIds && this.#lines.withoutId > 0) {
      return `go on with the lines after line ${this.#line}: those before would be written once more`
    }
    return 'run the same command again to go on: what is there is passed over'
  }
}
