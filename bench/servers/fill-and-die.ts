/** Fills a directory and ends as a power cut would end it: `fill-and-die.ts DIRECTORY EVENTS`. */
import { fill } from '../support/fill.js'

const [, , directory, events] = process.argv as [string, string, string, string]
await fill(directory, {
  events: Number(events),
  streams: 10_000,
  finally: async () => void process.kill(process.pid, 'SIGKILL')
})
