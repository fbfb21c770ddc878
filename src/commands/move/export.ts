/** `daybook export`: every event of a log, a line each, in order; what `daybook import` reads. */
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

const summary = 'write every event as NDJSON'

export const exportEvents = { summary, run: runExport, schema: ExportConfig }

const HELP = `daybook export [flags]: ${summary}

A file appears under its name only when it is whole. Exits with 141 when the reader of a pipe leaves before the end, as
"daybook export | head" does.

${describeFlags(ExportConfig)}
`

/** Exit code of what writes to a pipe that nobody reads any more: 128 and the number of SIGPIPE. */
const UNREAD = 141

async function runExport(argv: readonly string[]): Promise<number> {
  const { config, words, help } = readConfig(ExportConfig, argv)
  if (help) {
    process.stdout.write(HELP)
    return 0
  }
  if (words.length > 0) throw badConfiguration(`export takes no "${words[0]}"; name the file with --output`)
  const output = new ExportOutput(config.output, config.force)
  const progress = new Progress('exporting', systemClock)
  // To standard output a signal ends the process by itself: a write that nobody reads would keep it from being heard.
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
      progress.end(`Interrupted after ${counted(events, 'event')}; nothing of them was kept.`)
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
  return `; ${counted(events, 'event')} of the log ${events === 1 ? 'is' : 'are'} hidden from this account, sign in as an administrator for all`
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

/** @throws `server-unreachable`, also when the transfer broke; `import-refused` when the server refuses */
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

/** @throws `server-unreachable` when the connection breaks */
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
