/** Parses a command line by the settings that a command has. Pure. */
import { parseArgs } from 'node:util'
import { badConfiguration } from '../errors.js'
import { meantBy } from '../spelling.js'

/** The members of a setting's schema that the command line uses. */
export interface Setting {
  type?: string
  enum?: unknown[]
  default?: unknown
  description?: string
  minimum?: number
  maximum?: number
  /** Valid values, for error texts. Set where a pattern checks the value. */
  examples?: string[]
  /** Accepted from a variable or a file only: other users of the machine can see the flags of a process. */
  secret?: boolean
}

export type NamedSetting = readonly [name: string, setting: Setting]

/** A parsed command line. The values are not validated yet. */
export interface CommandLine {
  readonly values: Readonly<Record<string, string | readonly string[] | boolean>>
  /** Positional arguments. */
  readonly words: readonly string[]
  /** True if `--help` is on the line. The rest of the line is then ignored. */
  readonly help: boolean
}

/** Every command has the flag `--config`. */
const CONFIG_FLAG: NamedSetting = ['config', { type: 'string' }]

/**
 * Parses a command line.
 * @throws DaybookError `bad-configuration` for a flag that is unknown, has no value, or is given twice with different
 *   values
 */
export function readCommandLine(settings: readonly NamedSetting[], argv: readonly string[]): CommandLine {
  if (asksForHelp(argv)) return { values: {}, words: [], help: true }
  const known = new Map([...settings, CONFIG_FLAG])
  const options: NonNullable<Parameters<typeof parseArgs>[0]>['options'] = {}
  for (const [name, { type }] of known) options[name] = { type: type === 'boolean' ? 'boolean' : 'string' }
  // Not strict, because the error texts of strict mode are hard to understand. The same checks follow here.
  const { tokens } = parseArgs({ args: [...argv], options, strict: false, tokens: true })
  const words: string[] = []
  const values: Record<string, string | string[] | boolean> = {}
  for (const token of tokens) {
    if (token.kind === 'positional') words.push(token.value)
    if (token.kind !== 'option') continue
    const { name, value } = readFlag(token, known)
    const before = values[name]
    if (known.get(name)?.type === 'array') values[name] = [...((before as string[]) ?? []), value as string]
    else if (before !== undefined && before !== value)
      throw badConfiguration(
        `--${name} is given twice, as ${quotedValue(before)} and ${quotedValue(value)}; remove one`
      )
    else values[name] = value
  }
  return { values, words, help: false }
}

/**
 * Returns whether `--help` or `-h` is on the line. It wins over everything else, even after a flag without its value.
 */
export function asksForHelp(argv: readonly string[]): boolean {
  return argv.includes('--help') || argv.includes('-h')
}

interface FlagToken {
  readonly name: string
  readonly rawName: string
  readonly value: string | undefined
  readonly inlineValue: boolean | undefined
}

function readFlag({ name, rawName, value, inlineValue }: FlagToken, known: ReadonlyMap<string, Setting>) {
  const positive = name.startsWith('no-') ? name.slice(3) : undefined
  if (positive !== undefined && known.get(positive)?.type === 'boolean' && value === undefined) {
    return { name: positive, value: false }
  }
  const setting = known.get(name)
  if (setting === undefined) throw unknownFlag(rawName, known)
  if (setting.secret) {
    const variable = variableOf(name)
    throw badConfiguration(
      `${rawName} is not a flag, because other users can see the flags of a process; set ${variable}, or name a file in ${variable}_FILE`
    )
  }
  if (setting.type === 'boolean') return { name, value: value ?? true }
  const isNextFlag = inlineValue === false && value !== undefined && value.length > 1 && value.startsWith('-')
  if (value === undefined || isNextFlag) {
    throw badConfiguration(
      `${rawName} needs a value${isNextFlag ? `; if the value begins with "-", write ${rawName}=${value}` : ''}`
    )
  }
  return { name, value }
}

function unknownFlag(flag: string, known: ReadonlyMap<string, Setting>) {
  const names = [...known].filter(([, { secret }]) => !secret).map(([name]) => name)
  const meant = meantBy(flag.replace(/^-+/, ''), [...names, 'help'])
  const guess = meant === undefined ? '' : `; did you mean --${meant}?`
  return badConfiguration(`unknown flag ${flag}${guess}${guess === '' ? ';' : ''} --help lists the flags`)
}

function quotedValue(value: unknown): string {
  return typeof value === 'string' ? `"${value}"` : String(value)
}

/** Returns the name of the environment variable of a setting. */
export function variableOf(name: string): string {
  return `DAYBOOK_${name.toUpperCase().replaceAll('-', '_')}`
}
