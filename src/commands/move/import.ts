/**
 * `daybook import`: appends NDJSON lines, to a server by a streamed write or to a directory that no server has open.
 */
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

const summary = 'append the events of an NDJSON file (plain or gzip; "-" is standard input)'

export const importEvents = { summary, run: runImport, schema: ImportConfig }

const HELP = `daybook import FILE|- [flags]: ${summary}

Each line is one event as JSON, as export writes it. Only "stream" and "type" are required.

If an import breaks off, run it again: events that are already there are not written twice. An event is recognised by
its "id". A line without "id" gets an id derived from all bytes of the input up to the end of that line. The same input
is therefore recognised, even if lines were added at its end, if it comes from standard input, or if it is gzip. An
equal line in another file is a new event, unless everything before it is equal, too. Use --new-ids to import such lines
again.

Ctrl-C stops the import after the events already sent and prints the last imported line. A second Ctrl-C stops at once.

Exit codes: 0 success; 1 failure; 2 wrong arguments; 130 stopped by Ctrl-C.

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

/**
 * Returns the input file.
 * @throws DaybookError `bad-configuration` for arguments and flags that contradict each other
 */
function fileOf([file, more]: readonly string[], config: ImportConfig): string {
  if (file === undefined || file === '' || more !== undefined)
    throw badConfiguration('import needs one FILE, or "-" for standard input')
  if (config['as-log'] && config.db === undefined)
    throw badConfiguration('--as-log writes into a directory; name it with --db')
  if (config['as-log'] && config['new-ids'])
    throw badConfiguration('--as-log keeps ids, but --new-ids replaces them; remove one')
  return file
}

class ImportRun {
  readonly #config: ImportConfig
  readonly #input: ImportInput
  readonly #lines: ImportedLines
  readonly #progress = new Progress('importing', systemClock)
  readonly #interrupt = new Interrupt(systemClock, () => this.#printReached())
  #appended = 0
  #replayed = 0
  /** The last line with a receipt. */
  #line = 0

  constructor(config: ImportConfig, input: ImportInput) {
    this.#config = config
    this.#input = input
    const { 'occurred-from': occurredFrom, 'new-ids': newIds } = config
    this.#lines = new ImportedLines(input.bytes(), { occurredFrom, newIds })
  }

  /** Runs the import. Returns the exit code. */
  async toEnd(): Promise<number> {
    const { signal } = this.#interrupt
    signal.addEventListener('abort', () => this.#stop())
    try {
      await this.#input.check()
      await this.#write()
      if (this.#lines.failure !== undefined) throw this.#lines.failure
    } catch (error) {
      this.#printReached()
      if (!signal.aborted || !isDaybookError(error) || error.code !== 'stopping') throw error
      process.stderr.write(`Interrupted; ${this.#howToContinue()}.\n`)
      return this.#interrupt.code
    } finally {
      this.#input.stop()
      this.#interrupt.close()
    }
    this.#progress.end(this.#summary())
    return 0
  }

  #stop(): void {
    this.#progress.clear()
    process.stderr.write('Stopping after the events already sent; press Ctrl-C again to stop at once.\n')
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

  /** Returns the last line of a complete import. */
  #summary(): string {
    const { removed, ofServer, withoutId } = this.#lines
    const skipped = removed > 0 ? `, ${counted(removed, 'removed event')} skipped` : ''
    const own = ofServer > 0 ? `, ${counted(ofServer, 'event')} of another server's accounts and audit skipped` : ''
    const newIdsHint =
      this.#appended > 0 && this.#replayed > 0 && withoutId > 0
        ? '\nIf the existing events came from another file that begins with the same lines, import this file with --new-ids.'
        : ''
    return `${this.#imported()}${skipped}${own} (${this.#seconds()})${newIdsHint}`
  }

  /** Prints how far the import got, if the server sent any receipt. */
  #printReached(): void {
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

  #howToContinue(): string {
    const { db, 'as-log': asLog, 'new-ids': newIds } = this.#config
    if (asLog) return `${db} holds only the beginning of the log; remove the directory and start again`
    if (newIds && this.#lines.withoutId > 0) {
      return `continue with the lines after line ${this.#line}, because the lines before it would be written again`
    }
    return 'run the same command again to continue; events that are already there are skipped'
  }
}
