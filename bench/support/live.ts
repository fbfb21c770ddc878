/** The client side of a live subscription, the same for Daybook and for the bare server. */
import { WebSocket } from 'ws'

/** Opens a subscription over WebSocket. @param path with its query */
export function openLive(url: string, path: string): WebSocket {
  return new WebSocket(`${url.replace('http:', 'ws:')}${path}`, 'daybook.v1', { perMessageDeflate: false })
}

/**
 * Resolves when the subscription is caught up. Earlier events are discarded.
 * @throws if it ends before that
 */
export function caughtUp(ws: WebSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    const look = (data: unknown) => {
      if (!String(data).startsWith('{"frame":"caughtUp"')) return
      ws.off('message', look)
      resolve()
    }
    ws.on('message', look)
    ws.once('error', reject)
    ws.once('close', (code, reason) => reject(new Error(`${ws.url} was closed: ${code} ${reason}`)))
  })
}

/** The first event's frame of a stream, as text. */
export function firstFrame(url: string, stream: string): Promise<string> {
  const ws = openLive(url, `/streams/${stream}`)
  return new Promise((resolve, reject) => {
    ws.on('message', (data) => {
      const text = String(data)
      if (!text.startsWith('{"frame":"event"')) return
      resolve(text)
      ws.terminate()
    })
    ws.once('error', reject)
    ws.once('close', () => reject(new Error(`${ws.url} was closed before an event came`)))
  })
}
