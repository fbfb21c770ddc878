/** `daybook import`: NDJSON as reading prints it, into a server by a streamed write, or into a closed directory. */
import { Readable } from 'node:stream'
import { StreamedWrite } from '../../../routes/writing/streamed-write.js'
import type { Receipt } from '../../../schemas/append.js'
import { ImportConfig } from '../../../schemas/settings.js'
import { badConfiguration, describeFlags, readConfig } from '../../config.js'
import { splitLines } from '../../ndjson.js'
import { Store } from '../../store/store.js'
import { systemClock } from '../../time/clock.js'
import { Progress } from '../progress.js'
import { appendOverHttp } from './append-over-http.js'
import { importAsLog } from './as-log.js'
import { ImportInput } from './import-input.js'
import { ImportedLines } from './import-lines.js'

const summary = 'append the events of an NDJSON file, gzip or not'

export const importEvents = { summary, run: runImport }

const HELP = `daybook import FILE|- [flags]: ${summary}

A line is an event as reading prints it; "stream" and "type" are enough.

An import that broke off is simply run again: an event that is there already is not written again. It is known by its
"id"; a line without one gets an id that is made from all bytes of the input up to and with that line. So the same input
is recognised, also when it has grown at its end, comes from standard input, or is gzip. Equal lines of another file are
other events. --new-ids imports lines without an id once more.

${describeFlags(ImportConfig)}
`

interface Counts {
  appended: number
  replayed: number
}

async function runImport(argv: string[]): Promise<number> {
  const { config, words, help } = readConfig(ImportConfig, argv)
  if (help) {
    process.stdout.write(HELP)
    return 0
  }
  const input = new ImportInput(fileOf(words, config))
  const lines = new ImportedLines(input.bytes(), {
    occurredFrom: config['occurred-from'],
    newIds: config['new-ids']
  })
  const progress = new Progress('importing', systemClock)
  const counts: Counts = { appended: 0, replayed: 0 }
  const count = async ({ receipt }: Receipt) => {
    counts.appended += receipt.appended
    counts.replayed += receipt.replayed
    progress.show(counts.appended + counts.replayed, input.fraction())
  }
  try {
    await input.check()
    if (config.db === undefined) await appendOverHttp(config, lines, count)
    else if (config['as-log']) await intoLog(config.db, input, config.batch, count)
    else await intoDirectory(config.db, lines, config.batch, count)
    if (lines.failure !== undefined) throw lines.failure
  } finally {
    input.close()
    progress.end(closingLine(counts, lines, progress))
  }
  return 0
}

/** @throws `bad-configuration` for words and flags that do not go together */
function fileOf([file, more]: readonly string[], config: ImportConfig): string {
  if (file === undefined || more !== undefined)
    throw badConfiguration('import takes one FILE, or "-" for standard input')
  if (config['as-log'] && config.db === undefined)
    throw badConfiguration('--as-log writes into a directory: name it with --db')
  if (config['as-log'] && config['new-ids'])
    throw badConfiguration('--as-log keeps ids, --new-ids does not: leave one out')
  return file
}

function closingLine({ appended, replayed }: Counts, { removed, ofServer }: ImportedLines, progress: Progress): string {
  const text = (many: number) => many.toLocaleString('en-US')
  const there = replayed > 0 ? `, ${text(replayed)} were there already` : ''
  const gone = removed > 0 ? `, ${text(removed)} removed events left out` : ''
  const own = ofServer > 0 ? `, ${text(ofServer)} of another server's accounts and audit left out` : ''
  return `${text(appended)} events imported${there}${gone}${own} (${progress.seconds.toFixed(1)} s)`
}

async function intoDirectory(
  directory: string,
  lines: ImportedLines,
  batch: number,
  count: (receipt: Receipt) => Promise<void>
): Promise<void> {
  await withStore(directory, (store) => new StreamedWrite(store, Readable.from(lines.chunks()), batch).run(count))
}

async function intoLog(
  directory: string,
  input: ImportInput,
  batch: number,
  count: (receipt: Receipt) => Promise<void>
): Promise<void> {
  await withStore(directory, (store) => importAsLog(store, splitLines(input.bytes()), batch, count))
}

async function withStore(directory: string, work: (store: Store) => Promise<void>): Promise<void> {
  const store = await new Store({ directory }).open()
  try {
    await work(store)
  } finally {
    await store.close()
  }
}
