/** Sends an import to a server: one streamed write, whose receipts come back while it goes on. */
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { Readable } from 'node:stream'
import type { Receipt } from '../../../schemas/append.js'
import type { ImportConfig } from '../../../schemas/config.js'
import { DaybookError, isDaybookError } from '../../errors.js'
import { splitLines } from '../../ndjson.js'
import { credentialsOf } from './credentials.js'
import type { ImportedLines } from './import-lines.js'

type Count = (receipt: Receipt) => Promise<void>

/**
 * Sends all lines and reads all receipts.
 * @throws `server-unreachable` when there is no server or the connection broke, the server's own refusal as
 * `import-refused`
 */
export async function intoServer(config: ImportConfig, lines: ImportedLines, count: Count): Promise<void> {
  const { url } = config
  let done = 0
  let connected = false
  try {
    const request = open(config)
    const answered = response(request)
    request.once('socket', (socket) => socket.once('connect', () => (connected = true)))
    Readable.from(lines.chunks()).pipe(request)
    const answer = await answered
    try {
      await readReceipts(answer, async (receipt) => {
        done = receipt.receipt.lines
        await count(receipt)
      })
    } finally {
      request.destroy()
    }
  } catch (cause) {
    if (isDaybookError(cause)) throw cause
    const { message, code } = cause as NodeJS.ErrnoException
    if (!connected) throw unreachable(`no server answers at ${url}: ${message || code}`, cause)
    throw unreachable(`the connection to ${url} broke (${message || code}); run the import again to go on`, cause)
  }
  if (done < lines.last) {
    throw unreachable(`${url} stopped answering after line ${done}; run the import again to go on`)
  }
}

function unreachable(why: string, cause?: unknown): DaybookError {
  return new DaybookError('server-unreachable', why, {}, cause)
}

function open(config: ImportConfig): ClientRequest {
  const { url, batch } = config
  if (!URL.canParse('/events', url)) throw new DaybookError('bad-configuration', `--url ${url} is not a URL`)
  const target = new URL(`/events?batch=${batch}`, url)
  const { headers, ...trusted } = credentialsOf(config)
  const send = target.protocol === 'https:' ? httpsRequest : httpRequest
  return send(target, { method: 'POST', headers: { ...headers, 'content-type': 'application/x-ndjson' }, ...trusted })
}

/** A server may answer and close while there is more to send: the answer says why. */
function response(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => request.once('response', resolve).on('error', reject))
}

async function readReceipts(answer: IncomingMessage, count: Count): Promise<void> {
  for await (const line of splitLines(answer)) {
    if (line.length === 0) continue
    const said = JSON.parse(line.toString()) as Receipt & { problem?: Refusal } & Refusal
    const refusal = said.problem ?? (answer.statusCode === 200 ? undefined : said)
    if (refusal !== undefined) throw refused(refusal)
    await count(said)
  }
}

interface Refusal {
  readonly code?: string
  readonly detail?: string
}

/** A server that stops has not refused the events. */
function refused({ code, detail }: Refusal): DaybookError {
  if (code === 'stopping') return unreachable(`the server stops: ${detail} Run the import again to go on`)
  return new DaybookError('import-refused', `the server refused: ${detail}`)
}
