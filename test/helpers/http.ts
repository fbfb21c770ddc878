/** Real requests over a real socket, for what an injected request cannot show. */
import { type IncomingMessage, type RequestOptions, request } from 'node:http'

export interface Answer {
  status: number
  headers: IncomingMessage['headers']
  text: string
  /** The transfer ended as it should. */
  complete: boolean
}

/** Sends a request and takes what comes, also when the transfer is cut. */
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
