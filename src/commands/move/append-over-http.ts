/** Sends an import to a server as one streamed write. The server sends receipts while the write is in progress. */
import type { ClientRequest, IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import type { Receipt } from '../../../schemas/append.js'
import type { ImportConfig } from '../../../schemas/settings.js'
import { isDaybookError, systemReason } from '../../errors.js'
import { splitLines } from '../../ndjson.js'
import type { ImportedLines } from './import-lines.js'
import {
  errorOfRefusal,
  noServer,
  type RemoteConfig,
  refusedBy,
  type ServerProblem,
  serverRequest,
  serverUnreachable
} from './server-request.js'

type OnReceipt = (receipt: Receipt) => Promise<void>

/**
 * Sends all lines and reads all receipts.
 * @throws DaybookError `server-unreachable` if there is no server or the connection broke; `import-refused` with the
 *   text of the server's refusal; `bad-configuration`; `resource-unusable`
 */
export async function appendOverHttp(config: ImportConfig, lines: ImportedLines, onReceipt: OnReceipt): Promise<void> {
  const { url, batch } = config
  let done = 0
  let connected = false
  try {
    const request = serverRequest(config, 'POST', `/events?batch=${batch}`, { 'content-type': 'application/x-ndjson' })
    const answered = responseOf(request)
    const connect = url.startsWith('https:') ? 'secureConnect' : 'connect'
    request.once('socket', (socket) => socket.once(connect, () => (connected = true)))
    Readable.from(lines.chunks()).pipe(request)
    const answer = await answered
    try {
      await readReceipts(answer, config, async (receipt) => {
        done = receipt.receipt.lines
        await onReceipt(receipt)
      })
    } finally {
      request.destroy()
    }
  } catch (cause) {
    if (isDaybookError(cause)) throw cause
    if (!connected) throw noServer(url, cause)
    throw serverUnreachable(
      `the connection to ${url} broke (${systemReason(cause)}); run the import again to continue`,
      cause
    )
  }
  if (done < lines.last) {
    throw serverUnreachable(`${url} stopped answering after line ${done}; run the import again to continue`)
  }
}

/** The server may answer and close before everything is sent. The response says why. */
function responseOf(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => request.once('response', resolve).on('error', reject))
}

async function readReceipts(answer: IncomingMessage, config: RemoteConfig, onReceipt: OnReceipt): Promise<void> {
  if (answer.statusCode !== 200) throw await errorOfRefusal(answer, config)
  for await (const line of splitLines(answer)) {
    if (line.length === 0) continue
    const { problem, ...receipt } = receiptIn(line, config.url)
    if (problem !== undefined) throw refusedBy(problem, config.user)
    await onReceipt(receipt)
  }
}

function receiptIn(line: Buffer, url: string): Receipt & { problem?: ServerProblem } {
  try {
    return JSON.parse(line.toString()) as Receipt
  } catch (cause) {
    throw serverUnreachable(
      `the server at ${url} is not Daybook; name the address of a Daybook server with --url`,
      cause
    )
  }
}
