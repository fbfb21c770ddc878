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
import { openSource, type Source, withOccurred } from './lines.js'
import { Progress } from './progress.js'

const summary = 'append the events of an NDJSON file, gzip or not'

export const importEvents = { summary, run }

interface Counts {
  appended: number
  replayed: number
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
  const counts: Counts = { appended: 0, replayed: 0 }
  const count = async ({ receipt }: Receipt) => {
    counts.appended += receipt.appended
    counts.replayed += receipt.replayed
    progress.show(counts.appended + counts.replayed, source.fraction())
  }
  try {
    if (config.db === undefined) await intoServer(config, source, count)
    else await intoDirectory(config.db, source, config, count)
  } catch (error) {
    progress.end(said(counts, progress))
    throw error
  }
  progress.end(said(counts, progress))
  return 0
}

function said({ appended, replayed }: Counts, progress: Progress): string {
  const there = replayed > 0 ? `, ${replayed.toLocaleString('en-US')} were there already` : ''
  return `${appended.toLocaleString('en-US')} events imported${there} (${progress.seconds.toFixed(1)} s)`
}

async function intoDirectory(
  directory: string,
  source: Source,
  config: ImportConfig,
  count: (receipt: Receipt) => Promise<void>
): Promise<void> {
  const store = await new Store({ directory }).open()
  try {
    if (config['as-log']) await importAsLog(store, splitLines(source.bytes), config.batch, count)
    else await new StreamedWrite(store, Readable.from(prepared(source, config)), config.batch).run(count)
  } finally {
    await store.close()
  }
}

/** The lines as they are sent, gathered into chunks. */
async function* prepared(source: Source, config: ImportConfig): AsyncGenerator<Buffer> {
  let chunk: Buffer[] = []
  let size = 0
  let number = 0
  for await (const line of splitLines(source.bytes)) {
    number++
    chunk.push(withOccurred(line, number, config['occurred-from']), NEWLINE)
    size += line.length
    if (size < 64 * 1024) continue
    yield Buffer.concat(chunk)
    chunk = []
    size = 0
  }
  yield Buffer.concat(chunk)
}

const NEWLINE = Buffer.from('\n')

/** @throws `server-unreachable`, and the server's own refusal as `import-refused` */
function intoServer(config: ImportConfig, source: Source, count: (receipt: Receipt) => Promise<void>): Promise<void> {
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
    const body = Readable.from(prepared(source, config))
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
