/** Sends an import to a server: one streamed write, whose receipts come back while it goes on. */
import type { ClientRequest, IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import type { Receipt } from '../../../schemas/append.js'
import type { ImportConfig } from '../../../schemas/settings.js'
import { DaybookError, isDaybookError } from '../../errors.js'
import { splitLines } from '../../ndjson.js'
import type { ImportedLines } from './import-lines.js'
import { serverRequest, serverUnreachable } from './server-request.js'

type OnReceipt = (receipt: Receipt) => Promise<void>

/**
 * Sends all lines and reads all receipts.
 * @throws `server-unreachable` when there is no server or the connection broke, the server's own refusal as
 * `import-refused`
 */
export async function appendOverHttp(config: ImportConfig, lines: ImportedLines, onReceipt: OnReceipt): Promise<void> {
  const { url, batch } = config
  let done = 0
  let connected = false
  try {
    const request = serverRequest(config, 'POST', `/events?batch=${batch}`, { 'content-type': 'application/x-ndjson' })
    const answered = responseOf(request)
    request.once('socket', (socket) => socket.once('connect', () => (connected = true)))
    Readable.from(lines.chunks()).pipe(request)
    const answer = await answered
    try {
      await readReceipts(answer, async (receipt) => {
        done = receipt.receipt.lines
        await onReceipt(receipt)
      })
    } finally {
      request.destroy()
    }
  } catch (cause) {
    if (isDaybookError(cause)) throw cause
    const { message, code } = cause as NodeJS.ErrnoException
    if (!connected) throw serverUnreachable(`no server answers at ${url}: ${message || code}`, cause)
    throw serverUnreachable(`the connection to ${url} broke (${message || code}); run the import again to go on`, cause)
  }
  if (done < lines.last) {
    throw serverUnreachable(`${url} stopped answering after line ${done}; run the import again to go on`)
  }
}

/** A server may answer and close while there is more to send: the answer says why. */
function responseOf(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => request.once('response', resolve).on('error', reject))
}

async function readReceipts(answer: IncomingMessage, onReceipt: OnReceipt): Promise<void> {
  for await (const line of splitLines(answer)) {
    if (line.length === 0) continue
    const said = JSON.parse(line.toString()) as Receipt & { problem?: ServerProblem } & ServerProblem
    const problem = said.problem ?? (answer.statusCode === 200 ? undefined : said)
    if (problem !== undefined) throw importError(problem)
    await onReceipt(said)
  }
}

interface ServerProblem {
  readonly code?: string
  readonly detail?: string
}

/** A server that stops has not refused the events. */
function importError({ code, detail }: ServerProblem): DaybookError {
  if (code === 'stopping') return serverUnreachable(`the server stops: ${detail} Run the import again to go on`)
  return new DaybookError('import-refused', `the server refused: ${detail}`)
}
