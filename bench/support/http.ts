/** Reads a long answer as fast as it comes and throws it away. */
import { get } from 'node:http'

export function drain(url: string, onChunk: () => void = () => {}): Promise<{ seconds: number; bytes: number }> {
  return new Promise((resolve, reject) => {
    const started = performance.now()
    let bytes = 0
    get(url, (response) => {
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        onChunk()
      })
      response.on('error', reject)
      response.on('end', () => {
        if (response.statusCode !== 200) return reject(new Error(`${url} answered ${response.statusCode}`))
        resolve({ seconds: (performance.now() - started) / 1000, bytes })
      })
    }).on('error', reject)
  })
}
