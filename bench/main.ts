/** `npm run bench`: every figure beside its limit, both measured in this run. docs/benchmarks.md says more. */
import { platform } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { benchAccess } from './access.js'
import { benchAppend } from './append.js'
import { benchBatches } from './batches.js'
import { benchConditional } from './conditional.js'
import { benchDisk } from './disk.js'
import { benchIndexes } from './indexes.js'
import { benchLargeStore } from './large-store.js'
import { benchLiveAppend } from './live-append.js'
import { benchLiveCatchUp } from './live-catchup.js'
import { benchLiveFanout } from './live-fanout.js'
import { benchLiveLatency } from './live-latency.js'
import { benchLiveMemory } from './live-memory.js'
import { benchMemory } from './memory.js'
import { benchNdjson } from './ndjson.js'
import { benchOpening } from './opening.js'
import { benchAtom, benchEvent, benchPage } from './pages.js'
import { compileChildren } from './support/compile.js'
import { describeMachine, NOISE } from './support/machine.js'
import { Report } from './support/report.js'
import { foreignLoads } from './support/rounds.js'
import { full, quick, type Scale } from './support/scale.js'
import { hasWrk } from './support/wrk.js'

type Bench = (report: Report, scale: Scale) => Promise<void>

const lines: Record<string, { what: string; run: Bench }> = {
  append: { what: 'durable single-event appends, 64 connections', run: benchAppend },
  batches: { what: 'batches of 500 events a POST', run: benchBatches },
  event: { what: 'one event by number', run: benchEvent },
  page: { what: 'pages of 20 events, hot and at random', run: benchPage },
  atom: { what: 'Atom pages of 20 events with their data, against native ones', run: benchAtom },
  indexes: { what: 'appends with all index streams and with none; pages of a category', run: benchIndexes },
  conditional: { what: 'appends under failIfEventsMatch, 1,000,000 events in the log', run: benchConditional },
  access: { what: 'what authentication and access rules cost', run: benchAccess },
  ndjson: { what: 'NDJSON of 200,000 events', run: benchNdjson },
  large: { what: 'batches on a large store, against an empty one', run: benchLargeStore },
  opening: { what: 'opening after kill -9', run: benchOpening },
  memory: { what: 'memory: idle, streaming, appending', run: benchMemory },
  disk: { what: 'bytes on disk and table bytes written', run: benchDisk },
  'live-latency': { what: 'from an append to its event over WebSocket', run: benchLiveLatency },
  'live-catchup': { what: 'a long log over one WebSocket', run: benchLiveCatchUp },
  'live-fanout': { what: 'one stream to 1,000 subscribers', run: benchLiveFanout },
  'live-append': { what: 'appends beside 100 subscribers on other streams', run: benchLiveAppend },
  'live-memory': { what: 'memory: 1,000 idle subscriptions, one that reads nothing', run: benchLiveMemory }
}

const HELP = `npm run bench -- [--only ID,ID] [--quick] [--patience S] [--list]

  --only ID,ID  these lines of work only
  --quick       shorter and smaller: for a first look, not for docs/benchmarks.md
  --patience S  before each round, wait up to S seconds for others to leave the machine alone [0]
  --list        the lines of work and their ids
`

async function main(): Promise<number> {
  const { only, patience, quick: short, list, help } = readFlags()
  if (help || list) {
    const names = Object.entries(lines).map(([id, { what }]) => `${id.padEnd(12)} ${what}`)
    process.stdout.write(help ? HELP : `${names.join('\n')}\n`)
    return 0
  }
  const ids = only?.split(',') ?? Object.keys(lines)
  const unknown = ids.find((id) => !Object.hasOwn(lines, id))
  if (unknown !== undefined) throw new Error(`there is no "${unknown}"; known: ${Object.keys(lines).join(', ')}`)
  const scale = { ...(short ? quick : full), patience: readSeconds(patience) }
  if (platform() !== 'linux') throw new Error('memory and CPU are read from /proc, so it runs on Linux only')
  if (!hasWrk()) throw new Error('wrk, the load generator, is not installed (apt-get install -y wrk)')

  const machine = describeMachine()
  console.log(`${machine}${short ? ', quick' : ''}\n`)
  compileChildren()
  const report = new Report()
  const started = performance.now()
  for (const id of ids) await lines[id]?.run(report, scale)
  const minutes = (performance.now() - started) / 60_000
  console.log(`\n${report.table()}\n\n${report.summary()} ${minutes.toFixed(1)} minutes.`)
  const noisy = foreignLoads.filter((load) => load > NOISE).length
  if (noisy > 0) console.log(`Others used the machine in ${noisy} of ${foreignLoads.length} rounds; --patience waits.`)
  const run = { machine, at: new Date().toISOString(), scale: short ? 'quick' : 'full', minutes, foreignLoads }
  report.save(fileURLToPath(new URL('results/latest.json', import.meta.url)), run)
  return 0
}

function readFlags() {
  try {
    return parseArgs({
      options: {
        only: { type: 'string' },
        quick: { type: 'boolean' },
        patience: { type: 'string', default: '0' },
        list: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' }
      }
    }).values
  } catch (error) {
    throw new Error(`${(error as Error).message.split('. ')[0]}; --help lists the flags`)
  }
}

function readSeconds(text: string): number {
  if (/^\d+$/.test(text)) return Number(text)
  throw new Error(`--patience is a number of seconds, not "${text}"`)
}

main().then(
  (code) => process.exit(code),
  (error: Error) => {
    console.error(`bench: ${error.message}`)
    process.exit(1)
  }
)
