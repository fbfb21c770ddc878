/** Loads that send a request body without its last byte. */
import { setTimeout as sleep } from 'node:timers/promises'
import { exchange, HeldConnections } from './hostile-client.js'
import type { HostileLoad } from './hostile-load.js'

const BODY_BYTES = 32 * 1024 * 1024
/** Time after which sending stops, milliseconds. A server that waits for memory does not read. */
const SENDING_MS = 20_000
const admin = `Basic ${Buffer.from('admin:changeit').toString('base64')}`

/** A token that may read everything and write nothing. */
async function readersToken(url: string): Promise<string> {
  const body = JSON.stringify({ name: 'reader', read: ['*'], write: [] })
  const headers = { 'content-type': 'application/json', authorization: admin }
  const { status, text } = await exchange(url, { path: '/tokens', method: 'POST', headers, body })
  if (status !== 201) throw new Error(`the token was not created: ${status} ${text}`)
  return `Authorization: Bearer ${JSON.parse(text).token}`
}

function bodies(count: number, caller: 'reader' | 'writer'): HostileLoad {
  return {
    what: `${count} × POST but for the last byte of 32 MiB, by a ${caller}`,
    content: 'small',
    ...(caller === 'reader' && { prepare: readersToken }),
    attack: async ({ url, prepared }) => {
      const held = new HeldConnections(url)
      const rest = Buffer.alloc(BODY_BYTES - 1, 'x')
      rest.write('{"type":"T","data":"')
      const head = [
        ...(prepared === '' ? [] : [prepared]),
        'Content-Type: application/json',
        `Content-Length: ${BODY_BYTES}`
      ]
      const send = async (i: number) => {
        const path = i % 2 === 0 ? '/streams/held' : '/events'
        const socket = await held.open([`POST ${path} HTTP/1.1`, ...head], true)
        await new Promise<void>((resolve) => {
          socket.once('close', () => resolve())
          if (socket.destroyed) resolve()
          else socket.write(rest, () => resolve())
        })
      }
      await Promise.race([Promise.all(Array.from({ length: count }, (_, i) => send(i))), sleep(SENDING_MS)])
      await sleep(2000)
      return held.text
    }
  }
}

export const heldBodies = {
  'held-bodies-reader': bodies(30, 'reader'),
  'held-bodies-reader-200': bodies(200, 'reader'),
  'held-bodies-writer': bodies(30, 'writer'),
  'held-bodies-writer-200': bodies(200, 'writer')
} satisfies Record<string, HostileLoad>
