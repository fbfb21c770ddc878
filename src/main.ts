#!/usr/bin/env node
/** The command line: which command runs, and what its end means for the process. */
import { recover } from './commands/inspect/recover.js'
import { verify } from './commands/inspect/verify.js'
import { exportEvents } from './commands/move/export.js'
import { importEvents } from './commands/move/import.js'
import { serve } from './commands/serve/serve.js'
import { version } from './commands/version.js'
import { isDaybookError } from './errors.js'

export interface Command {
  /** Runs with the words after its name. @returns the exit code */
  run(argv: string[]): Promise<number>
  summary: string
}

const commands: Record<string, Command> = { serve, import: importEvents, export: exportEvents, verify, recover }

const HELP = `Daybook: an event store you can curl.

  daybook [serve] [flags]        ${serve.summary}
  daybook import FILE|- [flags]  ${importEvents.summary}
  daybook export [flags]         ${exportEvents.summary}
  daybook verify [flags]         ${verify.summary}
  daybook recover [flags]        ${recover.summary}

daybook COMMAND --help lists a command's flags. Every flag is also a variable (--run-projections is
DAYBOOK_RUN_PROJECTIONS) and a key in the file that --config names.
`

async function main(argv: string[]): Promise<number> {
  const [first, ...rest] = argv
  if (first === 'help' || ((first === '--help' || first === '-h') && rest.length === 0)) {
    process.stdout.write(HELP)
    return 0
  }
  if (first === '--version' && rest.length === 0) {
    process.stdout.write(`${version}\n`)
    return 0
  }
  if (first === undefined || first.startsWith('-')) return serve.run(argv)
  const command = Object.hasOwn(commands, first) ? commands[first] : undefined
  if (command === undefined) {
    process.stderr.write(`daybook: there is no command "${first}"; known: ${Object.keys(commands).join(', ')}\n`)
    return 2
  }
  return command.run(rest)
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code
  },
  (error: unknown) => {
    const coded = isDaybookError(error)
    process.stderr.write(`daybook: ${coded ? error.message : ((error as Error).stack ?? String(error))}\n`)
    process.exitCode = coded && error.code === 'bad-configuration' ? 2 : 1
  }
)
