/** `daybook import`: NDJSON as reading prints it, into a server by a streamed write, or into a closed directory. */
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { Readable } from 'node:stream'
import { StreamedWrite, splitLines } from '../../routes/streamed-write.js'
import type { Receipt } from '../../schemas/append.js'
import { ImportConfig } from '../../schemas/config.js'
import { systemClock } from '../clock.js'
import { describeFlags, readConfig } from '../config.js'
import { DaybookError } from '../errors.js'
import { Store } from '../store.js'
import { importAsLog } from './as-log.js'
import { credentialsOf } from './credentials.js'
import { isOfServer, openSource, type Source, withOccurred } from './lines.js'
import { Progress } from './progress.js'

const summary = 'append the events of an NDJSON file, gzip or not'

export const importEvents = { summary, run }

interface Counts {
  appended: number
  replayed: number
  /** Of what the server that it came from keeps of itself. */
  left: number
}

async function run(argv: string[]): Promise<number> {
  const { config, words, help } = readConfig(ImportConfig, argv)
  if (help) {
    process.stdout.write(
      `daybook import FILE|- [flags]: ${summary}\n\nA line that is there already is passed over, so an import that broke off is simply run again.\n\n${describeFlags(ImportConfig)}\n`
    )
    return 0
  }
  const [file, more] = words
  if (file === undefined || more !== undefined)
    throw new DaybookError('bad-configuration', 'import takes one FILE, or "-" for standard input')
  if (config['as-log'] && config.db === undefined)
    throw new DaybookError('bad-configuration', '--as-log writes into a directory: name it with --db')
  const source = await openSource(file)
  const progress = new Progress('importing', systemClock)
  const counts: Counts = { appended: 0, replayed: 0, left: 0 }
  const count = async ({ receipt }: Receipt) => {
    counts.appended += receipt.appended
    counts.replayed += receipt.replayed
    progress.show(counts.appended + counts.replayed, source.fraction())
  }
  try {
    const lines = prepared(source, config, counts)
    if (config.db === undefined) await intoServer(config, lines, count)
    else if (config['as-log']) await intoLog(config.db, source, config.batch, count)
    else await intoDirectory(config.db, lines, config.batch, count)
  } catch (error) {
    progress.end(said(counts, progress))
    throw error
  }
  progress.end(said(counts, progress))
  return 0
}

function said({ appended, replayed, left }: Counts, progress: Progress): string {
  const there = replayed > 0 ? `, ${replayed.toLocaleString('en-US')} were there already` : ''
  const own = left > 0 ? `, ${left.toLocaleString('en-US')} of another server's accounts and audit left out` : ''
  return `${appended.toLocaleString('en-US')} events imported${there}${own} (${progress.seconds.toFixed(1)} s)`
}

async function intoDirectory(
  directory: string,
  lines: AsyncIterable<Buffer>,
  batch: number,
  count: (receipt: Receipt) => Promise<void>
): Promise<void> {
  await withStore(directory, (store) => new StreamedWrite(store, Readable.from(lines), batch).run(count))
}

async function intoLog(
  directory: string,
  source: Source,
  batch: number,
  count: (receipt: Receipt) => Promise<void>
): Promise<void> {
  await withStore(directory, (store) => importAsLog(store, splitLines(source.bytes), batch, count))
}

async function withStore(directory: string, work: (store: Store) => Promise<void>): Promise<void> {
  const store = await new Store({ directory }).open()
  try {
    await work(store)
  } finally {
    await store.close()
  }
}

/**
 * The lines as they are sent, gathered into chunks. Accounts and audit of another server are not those of this one: their
 * lines are sent empty, so that the others keep their numbers.
 */
async function* prepared(source: Source, config: ImportConfig, counts: Counts): AsyncGenerator<Buffer> {
  let chunk: Buffer[] = []
  let size = 0
  let number = 0
  for await (const line of splitLines(source.bytes)) {
    number++
    const own = isOfServer(line)
    if (own) counts.left++
    chunk.push(own ? NOTHING : withOccurred(line, number, config['occurred-from']), NEWLINE)
    size += line.length
    if (size < 64 * 1024) continue
    yield Buffer.concat(chunk)
    chunk = []
    size = 0
  }
  yield Buffer.concat(chunk)
}

const NEWLINE = Buffer.from('\n')
const NOTHING = Buffer.alloc(0)

/** @throws `server-unreachable`, and the server's own refusal as `import-refused` */
function intoServer(
  config: ImportConfig,
  lines: AsyncIterable<Buffer>,
  count: (receipt: Receipt) => Promise<void>
): Promise<void> {
  const { url } = config
  if (!URL.canParse('/events', url)) throw new DaybookError('bad-configuration', `--url ${url} is not a URL`)
  const target = new URL(`/events?batch=${config.batch}`, url)
  const credentials = credentialsOf(config)
  return new Promise((resolve, reject) => {
    const send = target.protocol === 'https:' ? httpsRequest : httpRequest
    const { headers, ...trusted } = credentials
    const typed = { ...headers, 'content-type': 'application/x-ndjson' }
    const request = send(target, { method: 'POST', headers: typed, ...trusted })
    request.on('error', (cause) => {
      reject(
        new DaybookError(
          'server-unreachable',
          `no server answers at ${url}: ${cause.message || (cause as NodeJS.ErrnoException).code}`,
          {},
          cause
        )
      )
    })
    request.on('response', (response) => {
      readReceipts(response, count).then(resolve, (error) => {
        reject(error)
        request.destroy()
      })
    })
    const body = Readable.from(lines)
    body.on('error', (error) => {
      reject(error)
      request.destroy()
    })
    body.pipe(request)
  })
}

async function readReceipts(
  response: Readable & { statusCode?: number },
  count: (receipt: Receipt) => Promise<void>
): Promise<void> {
  for await (const line of splitLines(response)) {
    if (line.length === 0) continue
    const said = JSON.parse(line.toString()) as Receipt & { problem?: { detail: string }; detail?: string }
    const refusal = said.problem?.detail ?? (response.statusCode === 200 ? undefined : said.detail)
    if (refusal !== undefined) throw new DaybookError('import-refused', `the server refused: ${refusal}`)
    await count(said)
  }
}
