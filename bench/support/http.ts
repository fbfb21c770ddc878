/** Reads a long answer as fast as it comes and throws it away. */
import { get } from 'node:http'

export function drain(
  url: string,
  headers: Record<string, string> = {}
): Promise<{ seconds: number; bytes: number; end: string }> {
  return new Promise((resolve, reject) => {
    const started = performance.now()
    let bytes = 0
    let last = Buffer.alloc(0)
    const request = get(url, { headers, agent: false }, (response) => {
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        last = chunk
      })
      response.on('error', reject)
      response.on('end', () => {
        if (response.statusCode !== 200) return reject(new Error(`${url} answered ${response.statusCode}`))
        resolve({ seconds: (performance.now() - started) / 1000, bytes, end: last.toString('latin1') })
      })
    })
    request.on('error', reject)
  })
}

/** Reads the whole log as NDJSON. @returns seconds it took @throws when it is not whole */
export async function drainLog(url: string, events: number): Promise<number> {
  const { seconds, end } = await drain(`${url}/events?trailer=true`, { accept: 'application/x-ndjson' })
  if (!end.endsWith(`"events":${events}}}\n`)) throw new Error(`the log was not read whole: …${end.slice(-100)}`)
  return seconds
}
