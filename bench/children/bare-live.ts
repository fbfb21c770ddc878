/**
 * A bare `ws` server, without Fastify and without a store: `bare-live.js [FILE]`, FILE one frame a line.
 *
 *     /echo        returns every message
 *     /events      sends all frames of FILE as fast as the connection takes them
 *     /streams/s   sends `caughtUp`; each POST of an event sends FILE's first frame to all subscribers
 */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'

/** Written to the connection in one system call, as far as the connection accepts them. */
const CHUNK = 256 * 1024
const TEXT = { binary: false }
const CAUGHT_UP = '{"frame":"caughtUp","cursor":"-1"}'

const [, , file] = process.argv
const frames = file === undefined ? [] : linesOf(readFileSync(file))
const everybody = new Map<WebSocket, Socket>()

const sockets = new WebSocketServer({ noServer: true, handleProtocols: (offered) => [...offered][0] ?? false })
const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const body: unknown = JSON.parse(Buffer.concat(chunks).toString())
    response.writeHead(201).end()
    broadcast(Array.isArray(body) ? body.length : 1)
  })
})
server.on('upgrade', (request, stream, head) => {
  const socket = stream as Socket
  sockets.handleUpgrade(request, socket, head, (ws) => {
    if (request.url?.startsWith('/echo')) ws.on('message', (data) => ws.send(data, TEXT))
    else if (request.url?.startsWith('/events')) sendAll(ws, socket)
    else {
      everybody.set(ws, socket)
      ws.once('close', () => everybody.delete(ws))
      ws.send(CAUGHT_UP)
    }
  })
})
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))

function sendAll(ws: WebSocket, socket: Socket): void {
  let next = 0
  const goOn = () => {
    if (ws.readyState !== ws.OPEN) return
    socket.cork()
    while (next < frames.length && socket.writableLength < CHUNK) ws.send(frames[next++] as Buffer, TEXT)
    socket.uncork()
    if (next === frames.length) return
    if (socket.writableNeedDrain) socket.once('drain', goOn)
    else setImmediate(goOn)
  }
  goOn()
}

/** Sends several frames for the same connection together. */
function broadcast(events: number): void {
  const frame = frames[0] as Buffer
  for (const [ws, socket] of everybody) {
    socket.cork()
    for (let i = 0; i < events; i++) ws.send(frame, TEXT)
    socket.uncork()
  }
}

function linesOf(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = []
  let from = 0
  for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, from)) {
    lines.push(bytes.subarray(from, end))
    from = end + 1
  }
  return lines
}
