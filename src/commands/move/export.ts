/** `daybook export`: writes every event of a log in order, one per line, as `daybook import` reads it. */
import type { IncomingMessage } from 'node:http'
import { renderRecord } from '../../../routes/wire/reading/recorded-event.js'
import { ExportConfig } from '../../../schemas/settings.js'
import { describeFlags, readConfig } from '../../config/config.js'
import { badConfiguration, systemReason } from '../../errors.js'
import { splitLines } from '../../ndjson.js'
import { Store } from '../../store/store.js'
import { systemClock } from '../../time/clock.js'
import { requireDirectory } from '../directory.js'
import { Interrupt } from '../interrupt.js'
import { Progress } from '../progress.js'
import { counted } from '../wording.js'
import { ExportOutput } from './export-output.js'
import {
  errorOfRefusal,
  noServer,
  refusedBy,
  type ServerProblem,
  serverRequest,
  serverUnreachable
} from './server-request.js'

const summary = 'write all events as NDJSON, one event per line'

export const exportEvents = { summary, run: runExport, schema: ExportConfig }

const HELP = `daybook export [flags]: ${summary}

The events come from the server at --url, or from the directory that --db names. An output file gets its name only when
it is complete. Ctrl-C leaves no file.

Exit codes: 0 success; 1 failure; 2 wrong arguments; 130 stopped by Ctrl-C; 141 the reader of the pipe closed it before
the end, as in "daybook export | head".

${describeFlags(ExportConfig)}
`

/** Exit code of a program whose output pipe was closed by its reader: 128 plus the number of SIGPIPE. */
const UNREAD = 141

async function runExport(argv: readonly string[]): Promise<number> {
  const { config, words, help } = readConfig(ExportConfig, argv)
  if (help) {
    process.stdout.write(HELP)
    return 0
  }
  if (words.length > 0) throw badConfiguration(`unexpected argument "${words[0]}"; name the output file with --output`)
  const output = new ExportOutput(config.output, config.force)
  const progress = new Progress('exporting', systemClock)
  // With standard output, let the signal end the process: a write to a pipe that is not read would delay the handler.
  const interrupt = config.output === '-' ? undefined : new Interrupt(systemClock)
  let events = 0
  let all = 0
  const count = (more: number, of = 0) => {
    events += more
    all = of
    if (!output.isTerminal) progress.show(events, of === 0 ? undefined : events / of)
  }
  const chunks =
    config.db === undefined ? fromServer(config, count, interrupt?.signal) : fromDirectory(config.db, count)
  try {
    const end = await output.write(chunks, interrupt?.signal)
    if (end === 'unread') return UNREAD
    if (interrupt !== undefined && end === 'interrupted') {
      progress.end(`Interrupted after ${counted(events, 'event')}; no file was written.`)
      return interrupt.code
    }
  } finally {
    progress.clear()
    interrupt?.close()
  }
  progress.end(`${counted(events, 'event')} exported (${progress.seconds.toFixed(1)} s)${hiddenText(all - events)}`)
  return 0
}

function hiddenText(events: number): string {
  if (events <= 0) return ''
  return `; ${counted(events, 'event')} of the log ${events === 1 ? 'is' : 'are'} hidden from this account; sign in as an administrator to export all`
}

async function* fromDirectory(directory: string, count: (more: number, of?: number) => void): AsyncGenerator<Buffer> {
  requireDirectory(directory)
  const store = await new Store({ directory }).open()
  try {
    if (store.log.head < 0) return
    for await (const records of store.log.scan(0, store.log.head)) {
      const lines = records.map((record) => `${renderRecord({ record, cursor: record.position })}\n`)
      count(lines.length, store.log.head + 1)
      yield Buffer.from(lines.join(''), 'latin1')
    }
  } finally {
    await store.close()
  }
}

/** @throws DaybookError `server-unreachable`, also if the transfer breaks; `import-refused` if the server refuses */
async function* fromServer(
  config: ExportConfig,
  count: (more: number, of?: number) => void,
  signal: AbortSignal | undefined
): AsyncGenerator<Buffer> {
  const response = await ask(config, signal)
  if (response.statusCode !== 200) throw await errorOfRefusal(response, config)
  const head = Number(response.headers['daybook-head'])
  let ended = false
  let lines: Buffer[] = []
  let size = 0
  for await (const line of splitLines(unbroken(response))) {
    if (line.subarray(0, 8).toString() === '{"end":{') {
      ended = true
      continue
    }
    if (line.subarray(0, 12).toString() === '{"problem":{') {
      const { problem } = JSON.parse(line.toString()) as { problem: ServerProblem }
      throw refusedBy(problem, config.user)
    }
    lines.push(line, NEWLINE)
    size += line.length
    if (size < 64 * 1024) continue
    count(lines.length / 2, head + 1)
    yield Buffer.concat(lines)
    lines = []
    size = 0
  }
  if (!ended) throw brokeOff('before its end')
  count(lines.length / 2, head + 1)
  yield Buffer.concat(lines)
}

/** @throws DaybookError `server-unreachable` if the connection breaks */
async function* unbroken(response: IncomingMessage): AsyncGenerator<Buffer> {
  try {
    yield* response
  } catch (cause) {
    throw brokeOff(`(${systemReason(cause)})`, cause)
  }
}

function brokeOff(how: string, cause?: unknown) {
  return serverUnreachable(`the transfer broke off ${how}; run the export again`, cause)
}

const NEWLINE = Buffer.from('\n')

const READ_ALL = '/events?system=true&truncated=true&record=true&trailer=true&format=ndjson'

function ask(config: ExportConfig, signal: AbortSignal | undefined): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = serverRequest(config, 'GET', READ_ALL, {}, signal)
    request.once('response', resolve).on('error', (cause: NodeJS.ErrnoException) => {
      reject(noServer(config.url, cause))
    })
    request.end()
  })
}
