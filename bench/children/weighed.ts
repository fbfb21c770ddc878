/** Daybook that collects its garbage on request and reports the remaining bytes in use. */
import { setImmediate as turn } from 'node:timers/promises'
import { serve } from '../../src/commands/serve/serve.js'

process.on('message', async () => {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.()
    await turn() // what was only held by something collected goes now
  }
  const { heapUsed, external } = process.memoryUsage()
  process.send?.(heapUsed + external)
})
process.exitCode = await serve.run(process.argv.slice(2))
if (process.connected) process.disconnect()
