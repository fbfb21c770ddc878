/** Appends one after the other, and reads of long responses, which are discarded as they arrive. */
import { Agent, get, request } from 'node:http'

/** Reads the whole log as NDJSON. Returns the number of events. @throws if it is incomplete */
export async function drainLog(url: string, events: number, headers: Record<string, string> = {}): Promise<number> {
  const end = await drain(`${url}/events?trailer=true`, { accept: 'application/x-ndjson', ...headers })
  if (!end.endsWith(`"events":${events}}}\n`))
    throw new Error(`the transfer of the log is incomplete: …${end.slice(-100)}`)
  return events
}

/** Returns the last bytes of the response. */
function drain(url: string, headers: Record<string, string>): Promise<string> {
  return new Promise((resolve, reject) => {
    let last: Buffer = Buffer.alloc(0)
    const request = get(url, { headers, agent: false }, (response) => {
      response.on('data', (chunk: Buffer) => {
        last = chunk
      })
      response.on('error', reject)
      response.on('end', () => {
        if (response.statusCode === 200) resolve(last.toString('latin1'))
        else reject(new Error(`${url} answered ${response.statusCode}`))
      })
    })
    request.on('error', reject)
  })
}

/**
 * Appends over keep-alive connections, each request made and sent when the one before it on its connection was
 * answered.
 */
export async function appendAll(url: string, bodies: Iterable<string>, connections = 1): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const all = bodies[Symbol.iterator]()
  const feed = async () => {
    for (let next = all.next(); !next.done; next = all.next()) await append(url, next.value, agent)
  }
  await Promise.all(Array.from({ length: connections }, feed))
  agent.destroy()
}

function append(url: string, body: string, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const post = request(url, { agent, method: 'POST', headers }, (response) => {
      response.resume()
      response.once('error', reject)
      response.once('end', () => {
        if (response.statusCode === 201) resolve()
        else reject(new Error(`an append to ${url} was answered ${response.statusCode}`))
      })
    })
    post.once('error', reject)
    post.end(body)
  })
}
