#!/usr/bin/env node
/** The command line: selects the command, prints errors and sets the exit code. */
import type { TObject } from 'typebox'
import { recover } from './commands/inspect/recover.js'
import { verify } from './commands/inspect/verify.js'
import { exportEvents } from './commands/move/export.js'
import { importEvents } from './commands/move/import.js'
import { serve } from './commands/serve/serve.js'
import { version } from './commands/version.js'
import { warn } from './commands/wording.js'
import { strayVariables } from './config/config.js'
import { asksForHelp } from './config/flags.js'
import { badConfiguration, type DaybookError, type ErrorCode, isDaybookError, systemReason } from './errors.js'
import { meantBy } from './spelling.js'

export interface Command {
  /** Runs the command with the arguments after its name. Returns the exit code. */
  run(argv: readonly string[]): Promise<number>
  readonly summary: string
  readonly schema: TObject
}

const commands: Record<string, Command> = { serve, import: importEvents, export: exportEvents, verify, recover }

const HELP = `Daybook: an event store you can curl.

  daybook [serve] [flags]        ${serve.summary}
  daybook import FILE|- [flags]  ${importEvents.summary}
  daybook export [flags]         ${exportEvents.summary}
  daybook verify [flags]         ${verify.summary}
  daybook recover [flags]        ${recover.summary}
  daybook help [COMMAND]         print this text, or the flags of a command (also: COMMAND --help)
  daybook version                print the version

Every flag can also be set as an environment variable (--run-projections is DAYBOOK_RUN_PROJECTIONS), or as a key in the
JSON file that --config names. A flag overrides the variable, and the variable overrides the file.

Exit codes: 0 success; 2 wrong arguments, flags, variables or settings; 1 any other failure.
`

/** What to do about an error, for codes whose message does not say it. */
const NEXT: Partial<Record<ErrorCode, string>> = {
  'directory-in-use':
    'stop the process that has it open, name another directory with --db, or use the running server (import and export: --url)',
  'format-unknown': 'name another directory with --db, or use the version of Daybook that created it'
}

async function main([first, ...rest]: readonly string[]): Promise<number> {
  // The reader of a pipe may close it. The code that writes to the pipe handles that.
  for (const out of [process.stdout, process.stderr]) out.on('error', () => {})
  if (first === 'help' || ((first === '--help' || first === '-h') && rest.length === 0)) return help(rest)
  if (first === 'version' || first === '--version') {
    process.stdout.write(`${version}\n`)
    return 0
  }
  if (first === undefined || first.startsWith('-'))
    return run(serve, [...(first === undefined ? [] : [first]), ...rest])
  return run(commandNamed(first), rest)
}

/** @throws DaybookError `bad-configuration` for an unknown command */
function help([name]: readonly string[]): Promise<number> | number {
  if (name !== undefined && !name.startsWith('-') && name !== 'help') return commandNamed(name).run(['--help'])
  process.stdout.write(HELP)
  return 0
}

function run(command: Command, argv: readonly string[]): Promise<number> {
  if (asksForHelp(argv)) return command.run(argv)
  const all = Object.values(commands).map(({ schema }) => schema)
  for (const name of strayVariables(command.schema, all)) {
    warn(`the variable ${name} is not a setting of Daybook and is ignored`)
  }
  return command.run(argv)
}

function commandNamed(name: string): Command {
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command !== undefined) return command
  const names = [...Object.keys(commands), 'help', 'version']
  const meant = meantBy(name, names)
  throw badConfiguration(
    `unknown command "${name}"; ${meant === undefined ? `the commands are ${names.join(', ')}` : `did you mean "${meant}"?`}`
  )
}

/** Returns the text of an error for the terminal: what happened and what to do. Only a bug is shown with its stack. */
function describeError(error: unknown): string {
  if (isDaybookError(error)) return describeCoded(error)
  const { syscall, path, stack } = error as NodeJS.ErrnoException
  if (syscall !== undefined) return `${path ?? syscall}: ${systemReason(error)}`
  return `stopping because of a bug; please report it with the following lines\n${stack ?? String(error)}`
}

function describeCoded({ code, message }: DaybookError): string {
  const text = message.replace(/\.$/, '')
  const next = NEXT[code]
  return next === undefined ? text : `${text}; ${next}`
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code
  },
  (error: unknown) => {
    process.stderr.write(`daybook: ${describeError(error)}\n`)
    process.exitCode = isDaybookError(error) && error.code === 'bad-configuration' ? 2 : 1
  }
)
