/**
 * Loaded into a server's process before it begins. STOP_AT=n sends the process a SIGTERM at the n-th call to a
 * database, and reports the call on standard error. THROW=code throws an error with that code from a timer after the
 * server has answered its first request.
 */
import { Server, type ServerResponse } from 'node:http'
import leveldown from 'leveldown'

const { STOP_AT, THROW } = process.env
let calls = 0

function stopHere(name: string): void {
  if (++calls !== Number(STOP_AT)) return
  process.stderr.write(`stopped at ${name}\n`)
  process.kill(process.pid, 'SIGTERM')
}

if (STOP_AT !== undefined) {
  const prototype = leveldown.prototype as unknown as Record<string, (...args: unknown[]) => unknown>
  for (const name of ['_open', '_getMany', '_batch', '_iterator', '_chainedBatch']) {
    const real = prototype[name] as (...args: unknown[]) => unknown
    prototype[name] = function (this: { location?: string }, ...args) {
      stopHere(`${this.location?.split('/').at(-1)} ${name}`)
      return real.apply(this, args)
    }
  }
}

if (THROW !== undefined) {
  const { emit } = Server.prototype
  let thrown = false
  Server.prototype.emit = function (event: string, ...args: unknown[]) {
    if (event === 'request' && !thrown) {
      thrown = true
      ;(args[1] as ServerResponse).once('finish', () =>
        setTimeout(() => {
          throw Object.assign(new Error(`${THROW}: thrown from a timer`), { code: THROW })
        }, 0)
      )
    }
    return Reflect.apply(emit, this, [event, ...args])
  }
}
