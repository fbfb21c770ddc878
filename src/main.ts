#!/usr/bin/env node
/** The command line: which command runs, and what its end means for the process. */
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
  /** Runs with the words after its name. @returns the exit code */
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
  daybook help [COMMAND]         this text, or a command's flags (also COMMAND --help)
  daybook version                the version

Every flag is also a variable (--run-projections is DAYBOOK_RUN_PROJECTIONS) and a key in the file that --config names.
Exits with 0 when all went well, with 2 for words, flags or settings that cannot be run with, with 1 for everything else.
`

/** What to do about an error whose place does not know that a person reads it. */
const NEXT: Partial<Record<ErrorCode, string>> = {
  'directory-in-use':
    'stop the process that has it open, name another directory with --db, or go through the server that has it (import and export: --url)',
  'format-unknown': 'name another directory with --db, or use the version of Daybook that made it'
}

async function main([first, ...rest]: readonly string[]): Promise<number> {
  // The reader of a pipe may leave; what writes to it notices by itself.
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

/** @throws `bad-configuration` for a command that is not known */
function help([name]: readonly string[]): Promise<number> | number {
  if (name !== undefined && !name.startsWith('-') && name !== 'help') return commandNamed(name).run(['--help'])
  process.stdout.write(HELP)
  return 0
}

function run(command: Command, argv: readonly string[]): Promise<number> {
  if (asksForHelp(argv)) return command.run(argv)
  const all = Object.values(commands).map(({ schema }) => schema)
  for (const name of strayVariables(command.schema, all)) {
    warn(`there is no setting for the variable ${name}; it counts for nothing`)
  }
  return command.run(argv)
}

function commandNamed(name: string): Command {
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command !== undefined) return command
  const names = [...Object.keys(commands), 'help', 'version']
  const meant = meantBy(name, names)
  throw badConfiguration(
    `there is no command "${name}"${meant === undefined ? `; known: ${names.join(', ')}` : `; did you mean "${meant}"?`}`
  )
}

/** What a person sees of an error: a sentence and what to do. Only a bug has a stack. */
function describeError(error: unknown): string {
  if (isDaybookError(error)) return describeCoded(error)
  const { syscall, path, stack } = error as NodeJS.ErrnoException
  if (syscall !== undefined) return `${path ?? syscall}: ${systemReason(error)}`
  return `stopping because of a bug; please report it with the lines that follow\n${stack ?? String(error)}`
}

function describeCoded({ code, message }: DaybookError): string {
  const says = message.replace(/\.$/, '')
  const next = NEXT[code]
  return next === undefined ? says : `${says}; ${next}`
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
