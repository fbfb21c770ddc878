/** Runs a scenario against a server and records its requests and responses. */
import { Agent, type IncomingHttpHeaders, request } from 'node:http'

export interface Exchange {
  /** The name that the scenario gives the exchange. */
  say: string
  request: { method: string; path: string; headers?: Record<string, string>; body?: string }
  response: { status: number; reason: string; headers: IncomingHttpHeaders; body: string }
}

interface Step {
  say?: string
  method?: string
  path: string
  headers?: Record<string, string | string[]>
  body?: unknown
  auth?: string
  timeout?: number
}

interface Answer {
  status: number
  headers: IncomingHttpHeaders
  text: string
  json(): unknown
}

export interface Scenario {
  title: string
  needs?: string
  run(tools: object): Promise<void>
}

/** The address of the recorded server. */
const RECORDED = 'http://127.0.0.1:2113'

let ids = Date.now()

/** Runs a scenario. @param base the server's address @returns the exchanges, with the recorded names and addresses */
export async function runScenario(scenario: Scenario, base: string): Promise<Exchange[]> {
  const agent = new Agent({ keepAlive: true })
  const exchanges: Exchange[] = []
  const tag = `~${Date.now().toString(36)}`
  // Every scenario has its own event ids.
  const prefix = (++ids % 0xffffffff).toString(16).padStart(8, '0')
  const settle = (text: string) =>
    text
      .replaceAll(`${prefix}-aaaa`, '00000000-aaaa')
      .replaceAll(tag, '')
      .replaceAll(tag.slice(1), '')
      .replaceAll(encodeURIComponent(tag), '')
      .replaceAll(base, RECORDED)
      .replaceAll(new URL(base).host, new URL(RECORDED).host)
  const ask = (step: Step): Promise<Answer & { reason: string }> => send(agent, base, step)
  try {
    await scenario.run({
      base,
      ask,
      send: async (step: Step) => {
        const answer = await ask(step)
        const { say = '', method = 'GET', path } = step
        exchanges.push({
          say: settle(say),
          request: { method, path: settle(path) },
          response: {
            status: answer.status,
            reason: answer.reason,
            headers: JSON.parse(settle(JSON.stringify(answer.headers))),
            body: settle(answer.text)
          }
        })
        return answer
      },
      sleep: (ms: number) => new Promise((resolve) => setTimeout(resolve, ms)),
      until: async (check: () => Promise<unknown>) => {
        for (;;) {
          const value = await check()
          if (value) return value
        }
      },
      uuid: (n: number) => `${prefix}-aaaa-4bbb-8ccc-${String(n).padStart(12, '0')}`,
      name: (text: string) => text + tag
    })
  } finally {
    agent.destroy()
  }
  return exchanges
}

function send(agent: Agent, base: string, step: Step): Promise<Answer & { reason: string }> {
  const { method = 'GET', path, headers = {}, body, auth } = step
  const bytes =
    body === undefined || typeof body === 'string' || Buffer.isBuffer(body)
      ? (body as string | Buffer | undefined)
      : JSON.stringify(body)
  const all: Record<string, string | string[] | number> = { ...headers }
  if (auth !== undefined) all.authorization = `Basic ${Buffer.from(auth).toString('base64')}`
  if (bytes !== undefined) all['content-length'] = Buffer.byteLength(bytes)
  else if (method !== 'GET' && method !== 'HEAD') all['content-length'] = 0
  return new Promise((resolve, reject) => {
    const url = new URL(/^https?:/.test(path) ? path : base + path)
    const asked = request(url, { method, headers: all, agent }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        const { statusCode = 0, statusMessage = '', headers: got } = response
        resolve({ status: statusCode, reason: statusMessage, headers: got, text, json: () => JSON.parse(text) })
      })
    })
    asked.on('error', reject)
    asked.end(bytes)
  })
}
