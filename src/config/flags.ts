/** The words of a command line, read by the settings that a command has. Pure. */
import { parseArgs } from 'node:util'
import { badConfiguration } from '../errors.js'
import { meantBy } from '../spelling.js'

/** What a schema says of a setting. */
export interface Setting {
  type?: string
  enum?: unknown[]
  default?: unknown
  description?: string
  minimum?: number
  maximum?: number
  /** Values that are right, where a pattern says what is right. */
  examples?: string[]
  /** Told by a variable or a file alone: others see the flags of a process. */
  secret?: boolean
}

export type NamedSetting = readonly [name: string, setting: Setting]

/** A command line as it was written; the values are not checked. */
export interface CommandLine {
  readonly values: Readonly<Record<string, string | readonly string[] | boolean>>
  /** What is no flag. */
  readonly words: readonly string[]
  /** `--help` stands somewhere: nothing else is looked at then. */
  readonly help: boolean
}

/** The file with settings is a flag of every command. */
const CONFIG_FLAG: NamedSetting = ['config', { type: 'string' }]

/** @throws `bad-configuration` for a flag that is not known, lacks its value, or is given twice */
export function readCommandLine(settings: readonly NamedSetting[], argv: readonly string[]): CommandLine {
  if (asksForHelp(argv)) return { values: {}, words: [], help: true }
  const known = new Map([...settings, CONFIG_FLAG])
  const options: NonNullable<Parameters<typeof parseArgs>[0]>['options'] = {}
  for (const [name, { type }] of known) options[name] = { type: type === 'boolean' ? 'boolean' : 'string' }
  // Not strict: its errors are not for people. What it would find is found below.
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
        `--${name} is given twice, as ${quotedValue(before)} and ${quotedValue(value)}: leave one out`
      )
    else values[name] = value
  }
  return { values, words, help: false }
}

/** Help wins over everything else on the line, also where a flag lacks its value before it. */
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
      `there is no flag ${rawName}, as others see the flags of a process: give it as ${variable}, or in a file that ${variable}_FILE names`
    )
  }
  if (setting.type === 'boolean') return { name, value: value ?? true }
  const isNextFlag = inlineValue === false && value !== undefined && value.length > 1 && value.startsWith('-')
  if (value === undefined || isNextFlag) {
    throw badConfiguration(
      `${rawName} needs a value${isNextFlag ? `; one that begins with "-" is given as ${rawName}=${value}` : ''}`
    )
  }
  return { name, value }
}

function unknownFlag(flag: string, known: ReadonlyMap<string, Setting>) {
  const names = [...known].filter(([, { secret }]) => !secret).map(([name]) => name)
  const meant = meantBy(flag.replace(/^-+/, ''), [...names, 'help'])
  const guess = meant === undefined ? '' : `; did you mean --${meant}?`
  return badConfiguration(`there is no flag ${flag}${guess}${guess === '' ? ';' : ''} --help lists the flags`)
}

function quotedValue(value: unknown): string {
  return typeof value === 'string' ? `"${value}"` : String(value)
}

/** The variable of a setting. */
export function variableOf(name: string): string {
  return `DAYBOOK_${name.toUpperCase().replaceAll('-', '_')}`
}
