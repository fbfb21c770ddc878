/** `npm run bench`: every figure beside its limit, both measured in this run. */
import { arch, cpus, platform, release, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { benchAppend } from './append.js'
import { benchBatches } from './batches.js'
import { benchDisk } from './disk.js'
import { benchLargeStore } from './large-store.js'
import { benchNdjson } from './ndjson.js'
import { benchOpening } from './opening.js'
import { benchPages } from './pages.js'
import { Report } from './support/report.js'
import { requireWrk } from './support/wrk.js'

const HELP = `npm run bench -- [--only NAME,NAME] [--quick] [--list]

  --only   run these only: ${'append, batches, pages, ndjson, large, opening, disk'}
  --quick  shorter and smaller: for a first look, not for docs/benchmarks.md
  --list   the names, a line each
`

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      quick: { type: 'boolean', default: false },
      list: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' }
    }
  })
  const rounds = values.quick ? 1 : 3
  const seconds = values.quick ? 3 : 8
  const report = new Report()
  const lines: Record<string, () => Promise<void>> = {
    append: () => benchAppend(report, { rounds, seconds }),
    batches: () => benchBatches(report, { rounds, seconds }),
    pages: () => benchPages(report, { rounds, seconds }),
    ndjson: () => benchNdjson(report, { rounds }),
    large: () => benchLargeStore(report, { rounds, seconds, events: values.quick ? 400_000 : 2_000_000 }),
    opening: () => benchOpening(report, { events: values.quick ? 200_000 : 1_000_000, seconds }),
    disk: () => benchDisk(report, { events: values.quick ? 100_000 : 500_000 })
  }
  if (values.help || values.list) {
    console.log(values.help ? HELP : Object.keys(lines).join('\n'))
    return 0
  }
  const names = values.only?.split(',') ?? Object.keys(lines)
  const unknown = names.find((name) => !Object.hasOwn(lines, name))
  if (unknown !== undefined) {
    console.error(`bench: there is no "${unknown}"; known: ${Object.keys(lines).join(', ')}`)
    return 2
  }
  requireWrk()
  const gigabytes = Math.round(totalmem() / 2 ** 30)
  console.log(
    `Node ${process.version}, ${cpus().length} cores, ${gigabytes} GiB, ${platform()} ${release()} ${arch()}\n`
  )
  for (const name of names) await lines[name]?.()
  console.log(`\n${report.table()}`)
  report.save(fileURLToPath(new URL('results/latest.json', import.meta.url)))
  return 0
}

main().then(
  (code) => process.exit(code),
  (error: Error) => {
    console.error(`bench: ${error.message}`)
    process.exit(1)
  }
)
