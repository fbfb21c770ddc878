/** What an event takes on disk, and how much LevelDB writes for it, with and without its compression. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { event } from './support/events.js'
import { fill } from './support/fill.js'
import { count, type Report } from './support/report.js'
import { removeFolder, temporaryFolder } from './support/servers.js'

export async function benchDisk(report: Report, { events }: { events: number }): Promise<void> {
  let json = 0
  for (let i = 0; i < 1000; i++) json += JSON.stringify(event(i)).length
  for (const compression of [true, false]) {
    const directory = temporaryFolder()
    const started = performance.now()
    await fill(directory, { events, streams: 10_000, compression })
    const rate = events / ((performance.now() - started) / 1000)
    const sizes = ['log', 'index'].map((name) => {
      const folder = join(directory, name)
      return { stored: bytesIn(folder) / events, written: tableBytes(folder) / events }
    }) as [Size, Size]
    const said = sizes.map(({ stored, written }) => `${count(stored)} (${count(written)} written)`)
    report.note(
      `bytes an event, compression ${compression ? 'on' : 'off'}: log · index`,
      `${said.join(' · ')}, ${count(rate)} events/s in process`,
      `${count(json / 1000)} of JSON`
    )
    removeFolder(directory)
  }
}

interface Size {
  stored: number
  written: number
}

function bytesIn(folder: string): number {
  return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)
}

/** From LevelDB's own words about the tables it made. */
function tableBytes(folder: string): number {
  const text = readFileSync(join(folder, 'LOG'), 'latin1')
  let bytes = 0
  for (const [, size] of text.matchAll(/Level-0 table #\d+: (\d+) bytes|=> (\d+) bytes/g)) bytes += Number(size ?? 0)
  for (const [, size] of text.matchAll(/=> (\d+) bytes/g)) bytes += Number(size)
  return bytes
}
