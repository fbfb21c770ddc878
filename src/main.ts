#!/usr/bin/env node
/** The command line: chooses the command, and turns its outcome into an exit code. */
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
  /** Runs the command. @param argv the arguments after the command's name @returns the exit code */
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

Every flag is also a variable (--run-projections is DAYBOOK_RUN_PROJECTIONS) and a key in the file given with --config.
Exits with 0 on success, with 2 for wrong arguments or settings, and with 1 for every other failure.
`

/** Advice for errors that are thrown where it is unknown whether a person or a client gets them. */
const NEXT: Partial<Record<ErrorCode, string>> = {
  'directory-in-use':
    'stop the process that has it open, choose another directory with --db, or go through the server that has it open (import and export: --url)',
  'format-unknown': 'choose another directory with --db, or use the version of Daybook that made it'
}

async function main([first, ...rest]: readonly string[]): Promise<number> {
  // The other end of a pipe may close. Each writer handles that itself.
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

/** @throws `bad-configuration` for an unknown command */
function help([name]: readonly string[]): Promise<number> | number {
  if (name !== undefined && !name.startsWith('-') && name !== 'help') return commandNamed(name).run(['--help'])
  process.stdout.write(HELP)
  return 0
}

function run(command: Command, argv: readonly string[]): Promise<number> {
  if (asksForHelp(argv)) return command.run(argv)
  const all = Object.values(commands).map(({ schema }) => schema)
  for (const name of strayVariables(command.schema, all)) {
    warn(`there is no setting for the variable ${name}; it is ignored`)
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

/** Returns the message for the operator: what happened and what to do. Only a bug has a stack trace. */
function describeError(error: unknown): string {
  if (isDaybookError(error)) return describeCoded(error)
  const { syscall, path, stack } = error as NodeJS.ErrnoException
  if (syscall !== undefined) return `${path ?? syscall}: ${systemReason(error)}`
  return `stopping because of a bug; please report it with the following lines\n${stack ?? String(error)}`
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
