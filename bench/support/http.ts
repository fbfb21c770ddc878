/** Reads a long answer as fast as it comes and throws it away. */
import { get } from 'node:http'

/** Reads the whole log as NDJSON. @returns how many events there were @throws when it is not whole */
export async function drainLog(url: string, events: number): Promise<number> {
  const end = await drain(`${url}/events?trailer=true`, { accept: 'application/x-ndjson' })
  if (!end.endsWith(`"events":${events}}}\n`)) throw new Error(`the log was not read whole: …${end.slice(-100)}`)
  return events
}

/** @returns the last bytes of the answer */
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
