/** Real requests over a real socket, for what an injected request cannot show. */
import { type IncomingMessage, type RequestOptions, request } from 'node:http'

export interface Answer {
  status: number
  headers: IncomingMessage['headers']
  text: string
  /** Whether the transfer ended properly. */
  complete: boolean
}

/** Sends a request and returns what was received, also when the transfer is cut off. */
export function send(url: string, options: RequestOptions = {}, body?: string | Buffer): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent: false, ...options }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('error', () => {})
      response.on('close', () =>
        resolve({
          status: response.statusCode as number,
          headers: response.headers,
          text: Buffer.concat(chunks).toString(),
          complete: response.complete
        })
      )
    })
    sent.on('error', reject)
    sent.end(body)
  })
}
