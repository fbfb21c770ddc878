/** `daybook export`: every event of a log, a line each, in order; what `daybook import` reads. */
import { createWriteStream, statSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { Readable, type Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { renderRecord } from '../../../routes/wire/reading/recorded-event.js'
import { ExportConfig } from '../../../schemas/settings.js'
import { badConfiguration, describeFlags, readConfig } from '../../config.js'
import { isDaybookError } from '../../errors.js'
import { splitLines } from '../../ndjson.js'
import { Store } from '../../store/store.js'
import { systemClock } from '../../time/clock.js'
import { requireDirectory } from '../directory.js'
import { Progress } from '../progress.js'
import { serverRequest, serverUnreachable } from './server-request.js'

const summary = 'write every event as NDJSON'

export const exportEvents = { summary, run: runExport }

async function runExport(argv: string[]): Promise<number> {
  const { config, words, help } = readConfig(ExportConfig, argv)
  if (help) {
    process.stdout.write(`daybook export [flags]: ${summary}\n\n${describeFlags(ExportConfig)}\n`)
    return 0
  }
  if (words.length > 0) throw badConfiguration(`export takes no "${words[0]}"; name the file with --output`)
  const progress = new Progress('exporting', systemClock)
  let events = 0
  let all = 0
  const count = (more: number, of = 0) => {
    events += more
    all = of
    progress.show(events, of === 0 ? undefined : events / of)
  }
  const chunks = config.db === undefined ? fromServer(config, count) : fromDirectory(config.db, count)
  if (!(await writeTo(config.output, chunks))) {
    progress.end('the export was not read to its end')
    return 0
  }
  const hidden = all - events
  const partly = hidden > 0 ? `; ${hidden.toLocaleString('en-US')} of the log are hidden from this account` : ''
  progress.end(`${events.toLocaleString('en-US')} events exported (${progress.seconds.toFixed(1)} s)${partly}`)
  return 0
}

/**
 * A file appears under its name only when it is whole.
 * @returns false when it goes to a pipe whose reader has enough
 * @throws `bad-configuration` when it cannot be written
 */
async function writeTo(output: string, chunks: AsyncIterable<Buffer>): Promise<boolean> {
  const cannotWrite = (why: string, cause?: unknown) => badConfiguration(`cannot write ${output}: ${why}`, cause)
  const partial = `${output}.partial`
  if (output !== '-' && statSync(output, { throwIfNoEntry: false })?.isDirectory())
    throw cannotWrite('it is a directory')
  const target: Writable = output === '-' ? process.stdout : createWriteStream(partial)
  const source = Readable.from(chunks, { objectMode: false })
  try {
    if (output.endsWith('.gz')) await pipeline(source, createGzip(), target)
    else await pipeline(source, target, { end: output !== '-' })
    if (output !== '-') await rename(partial, output)
    return true
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (isDaybookError(cause)) throw cause
    if (output === '-' && code === 'EPIPE') return false
    throw cannotWrite(message, cause)
  }
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

/** @throws `server-unreachable`, also when the transfer broke or the server says so */
async function* fromServer(config: ExportConfig, count: (more: number, of?: number) => void): AsyncGenerator<Buffer> {
  const response = await ask(config)
  const head = Number(response.headers['daybook-head'])
  let ended = false
  let lines: Buffer[] = []
  let size = 0
  for await (const line of splitLines(unbroken(response))) {
    if (response.statusCode !== 200) throw serverUnreachable(`the server refused: ${line.toString('utf8', 0, 500)}`)
    if (line.subarray(0, 8).toString() === '{"end":{') {
      ended = true
      continue
    }
    if (line.subarray(0, 12).toString() === '{"problem":{') throw serverUnreachable(`the server broke off: ${line}`)
    lines.push(line, NEWLINE)
    size += line.length
    if (size < 64 * 1024) continue
    count(lines.length / 2, head + 1)
    yield Buffer.concat(lines)
    lines = []
    size = 0
  }
  if (!ended) throw serverUnreachable('the transfer broke off before its end')
  count(lines.length / 2, head + 1)
  yield Buffer.concat(lines)
}

/** @throws `server-unreachable` when the connection breaks */
async function* unbroken(response: IncomingMessage): AsyncGenerator<Buffer> {
  try {
    yield* response
  } catch (cause) {
    throw serverUnreachable(`the transfer broke off (${(cause as Error).message})`, cause)
  }
}

const NEWLINE = Buffer.from('\n')

const READ_ALL = '/events?system=true&truncated=true&record=true&trailer=true&format=ndjson'

function ask(config: ExportConfig): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = serverRequest(config, 'GET', READ_ALL)
    request.once('response', resolve).on('error', (cause: NodeJS.ErrnoException) => {
      reject(serverUnreachable(`no server answers at ${config.url}: ${cause.message || cause.code}`, cause))
    })
    request.end()
  })
}
