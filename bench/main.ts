/** `npm run bench`: every figure beside its limit, both measured in this run. docs/benchmarks.md says more. */
import { platform } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { benchAgainst } from './against.js'
import { lines } from './lines.js'
import { type Build, withBuild } from './support/builds.js'
import { compileChildren } from './support/compile.js'
import { describeMachine, NOISE } from './support/machine.js'
import { Report } from './support/report.js'
import { foreignLoads } from './support/rounds.js'
import { againstRounds, full, quick, type Scale } from './support/scale.js'
import { hasWrk } from './support/wrk.js'

const HELP = `npm run bench -- [--only ID,ID] [--against COMMIT] [--quick] [--rounds N] [--patience S] [--list]
                        [--load NAME,NAME] [--memory MIB]

  --only ID,ID      measure these lines only
  --against COMMIT  build that commit and measure it and this checkout in turn: processor time per
                    response or event, which may rise by 5 % at most
  --quick           shorter and smaller: for a first look, not for docs/benchmarks.md
  --rounds N        number of rounds of most lines [${full.rounds}; with --against ${againstRounds(full)}; with --quick ${quick.rounds}]
  --patience S      before each round, wait up to S seconds for an idle machine [0]
  --load NAME,NAME  for the line hostile: run these loads only
  --memory MIB      for the line hostile: the server's memory budget [its default]
  --list            print the ids of all lines, with descriptions
`

async function main(): Promise<number> {
  const { only, against, patience, rounds, quick: short, load, memory, list, help } = readFlags()
  if (help || list) {
    const names = Object.entries(lines).map(([id, { what }]) => `${id.padEnd(12)} ${what}`)
    process.stdout.write(help ? HELP : `${names.join('\n')}\n`)
    return 0
  }
  const ids = chooseLines(only, against !== undefined)
  const sized = short ? quick : full
  const usual = against === undefined ? sized.rounds : againstRounds(sized)
  const scale = {
    ...sized,
    patience: readNumber('--patience', patience, 'a number of seconds'),
    rounds: rounds === undefined ? usual : readNumber('--rounds', rounds, 'a number of rounds from 1', 1),
    hostile: {
      ...sized.hostile,
      ...(load !== undefined && { load }),
      ...(memory !== undefined && { memory: readNumber('--memory', memory, 'a number of MiB from 64', 64) })
    }
  }
  if (platform() !== 'linux')
    throw new Error('the benchmarks read memory and CPU from /proc, so they run on Linux only')
  if (!hasWrk()) throw new Error('wrk, the load generator, is not installed (apt-get install -y wrk)')
  if (against === undefined) await measure(ids, scale)
  else await withBuild(against, (other) => measure(ids, scale, other))
  return 0
}

/** Prints and stores the measurements of these lines. @param other the build to compare this checkout with */
async function measure(ids: readonly string[], scale: Scale, other?: Build): Promise<void> {
  const machine = describeMachine()
  console.log(`${machine}${scale.name === 'full' ? '' : `, ${scale.name}`}\n`)
  compileChildren()
  const report = new Report()
  const started = performance.now()
  if (other === undefined) for (const id of ids) await lines[id]?.run(report, scale)
  else await benchAgainst(report, scale, ids, other)
  const minutes = (performance.now() - started) / 60_000
  console.log(`\n${report.table()}\n\n${report.summary()} ${minutes.toFixed(1)} minutes.`)
  const noisy = foreignLoads.filter((load) => load > NOISE).length
  if (noisy > 0)
    console.log(
      `Other processes used the machine in ${noisy} of ${foreignLoads.length} rounds; --patience waits for an idle machine.`
    )
  const run = {
    machine,
    at: new Date().toISOString(),
    scale: scale.name,
    against: other?.name,
    minutes,
    foreignLoads
  }
  report.save(fileURLToPath(new URL('results/latest.json', import.meta.url)), run)
}

function readFlags() {
  try {
    return parseArgs({
      options: {
        only: { type: 'string' },
        against: { type: 'string' },
        quick: { type: 'boolean' },
        rounds: { type: 'string' },
        patience: { type: 'string', default: '0' },
        load: { type: 'string' },
        memory: { type: 'string' },
        list: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' }
      }
    }).values
  } catch (error) {
    throw new Error(`${(error as Error).message.split('. ')[0]}; --help lists the flags`)
  }
}

/** @param against only lines that can be measured against another build */
function chooseLines(only: string | undefined, against: boolean): string[] {
  const fit = (id: string) => !against || lines[id]?.works !== undefined
  if (only === undefined) return Object.keys(lines).filter((id) => fit(id) && lines[id]?.byName !== true)
  const ids = only.split(',')
  const unknown = ids.find((id) => !Object.hasOwn(lines, id))
  if (unknown !== undefined)
    throw new Error(`unknown line "${unknown}"; the lines are ${Object.keys(lines).join(', ')}`)
  const unfit = ids.find((id) => !fit(id))
  if (unfit === undefined) return ids
  const known = Object.keys(lines).filter(fit).join(', ')
  throw new Error(`"${unfit}" cannot be measured by processor time; --against supports ${known}`)
}

function readNumber(flag: string, text: string, what: string, least = 0): number {
  if (/^\d{1,6}$/.test(text) && Number(text) >= least) return Number(text)
  throw new Error(`${flag} must be ${what}, not "${text}"`)
}

main().then(
  (code) => process.exit(code),
  (error: Error) => {
    console.error(`bench: ${error.message}`)
    process.exit(1)
  }
)
