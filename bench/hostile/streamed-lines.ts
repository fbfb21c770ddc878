/** Loads on the streamed write, `POST /events` with NDJSON. */
import { once } from 'node:events'
import { request } from 'node:http'
import { gzipSync } from 'node:zlib'
import { exchange, Tally } from './hostile-client.js'
import type { HostileLoad } from './hostile-load.js'
import { LARGE_BYTES, largeText } from './hostile-stores.js'
import { NDJSON } from './large-reads.js'

const EMPTY_LINES = 40_000_000

/** Streams lines in one request. @returns `200: <last line of the answer>`, or what broke the connection */
async function stream(url: string, batch: number, lines: number, line: Buffer): Promise<string> {
  const post = request(`${url}/events?batch=${batch}`, {
    agent: false,
    method: 'POST',
    headers: { 'content-type': NDJSON }
  })
  const answered = new Promise<string>((resolve) => {
    post.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    post.once('response', (response) => {
      let text = ''
      response.on('data', (chunk) => {
        text = `${text}${chunk}`.slice(-2000)
      })
      response.once('end', () => resolve(`${response.statusCode}: ${text.trim().split('\n').at(-1)}`))
      response.once('error', (error) => resolve(error.message))
    })
  })
  let ended = false
  void answered.then(() => {
    ended = true
  })
  for (let i = 0; i < lines && !ended; i++) {
    if (!post.write(line)) await Promise.race([once(post, 'drain'), answered])
  }
  post.end()
  return answered
}

function lineOf(bytes: number): Buffer {
  return Buffer.from(`{"stream":"streamed","type":"Big","data":${largeText(bytes)}}\n`)
}

/** The outcome if every event was written: the last receipt ends with the count. */
function streams(connections: number, lines: number, bytes: number, what: string): HostileLoad {
  return {
    what: `${connections} × POST /events?batch=4096, ${lines} lines of ${what}`,
    content: 'small',
    attack: async ({ url }) => {
      const line = lineOf(bytes)
      const tally = new Tally()
      await Promise.all(
        Array.from({ length: connections }, async () => tally.add(shorten(await stream(url, 4096, lines, line))))
      )
      const { text } = await exchange(url, { path: '/streams/streamed?order=desc&limit=1' })
      const written = Number(/"number":(\d+)/.exec(text)?.[1] ?? -1) + 1
      return `${written} of ${connections * lines} written; ${tally.text}`
    },
    isRight: (outcome) => outcome.startsWith(`${connections * lines} of`)
  }
}

function shorten(outcome: string): string {
  return /"code":"[^"]*"|^[A-Z]+$/.exec(outcome)?.[0] ?? outcome.slice(0, 4)
}

const emptyLines: HostileLoad = {
  what: `POST /events, gzip of ${EMPTY_LINES / 1e6} MB of line breaks`,
  content: 'small',
  attack: async ({ url }) => {
    const body = gzipSync(Buffer.alloc(EMPTY_LINES, '\n'))
    const headers = { 'content-type': NDJSON, 'content-encoding': 'gzip' }
    const { status } = await exchange(url, { path: '/events?batch=4096', method: 'POST', headers, body })
    return `${status}`
  }
}

export const streamedLines = {
  'streamed-lines': streams(1, 500, LARGE_BYTES, '4 MiB'),
  'streamed-lines-8': streams(8, 60, LARGE_BYTES, '4 MiB'),
  'streamed-batch': streams(1, 600, 400 * 1024, '400 KiB'),
  'empty-lines': emptyLines
} satisfies Record<string, HostileLoad>
