/**
 * Settings from flags, environment and file, in this order of strength, by one schema for each command. The only
 * reader of process.env.
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { Ajv } from 'ajv'
import type { Static, TObject } from 'typebox'
import { DaybookError } from './errors.js'

const ajv = new Ajv({ coerceTypes: true, useDefaults: true, strict: false })

interface Setting {
  type?: string
  enum?: unknown[]
  default?: unknown
  description?: string
  /** Told by a variable or a file alone: others see the flags of a process. */
  secret?: boolean
}

/** Settings that a command cannot run with. @param why for people, without a full stop */
export function badConfiguration(why: string, cause?: unknown): DaybookError {
  return new DaybookError('bad-configuration', why, {}, cause)
}

/** The settings of a schema by name. */
function namedSettings(schema: TObject): [string, Setting][] {
  return Object.entries(schema.properties as Record<string, Setting>)
}

/**
 * Reads a command's settings.
 * @param argv words after the command's name
 * @returns the settings and the words that are no flags
 * @throws `bad-configuration` naming the flag, variable or key
 */
export function readConfig<T extends TObject>(
  schema: T,
  argv: readonly string[],
  env: NodeJS.ProcessEnv = process.env
): { config: Static<T>; words: string[]; help: boolean } {
  const settings = namedSettings(schema)
  const { values, positionals } = parseFlags(settings, argv)
  const file = (values.config as string | undefined) ?? env.DAYBOOK_CONFIG
  const merged: Record<string, unknown> = {
    ...(file !== undefined && readFile(file, schema)),
    ...fromEnvironment(settings, env)
  }
  for (const [name] of settings) if (values[name] !== undefined) merged[name] = values[name]
  const validate = ajv.compile(schema)
  if (!validate(merged)) {
    const [error] = validate.errors ?? []
    const name = error?.instancePath.split('/')[1] ?? ''
    const allowed = (error?.params as { allowedValues?: unknown[] })?.allowedValues
    const { examples } = (schema.properties[name] ?? {}) as { examples?: string[] }
    let says = error?.message
    if (allowed !== undefined) says = `is one of ${allowed.join(', ')}`
    else if (examples !== undefined) says = `looks like ${examples.join(' or ')}`
    const secret = settings.some(([one, setting]) => one === name && setting.secret)
    throw badConfiguration(`${secret ? variableOf(name) : `--${name}`} ${says}`)
  }
  return { config: merged as Static<T>, words: positionals, help: values.help === true }
}

function parseFlags(settings: [string, Setting][], argv: readonly string[]) {
  const options: NonNullable<Parameters<typeof parseArgs>[0]>['options'] = {
    help: { type: 'boolean', short: 'h' },
    config: { type: 'string' }
  }
  for (const [name, { type, secret }] of settings) {
    if (secret) continue
    options[name] = { type: type === 'boolean' ? 'boolean' : 'string', multiple: type === 'array' }
  }
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: true, allowNegative: true, strict: true })
  } catch (cause) {
    const [first = ''] = (cause as Error).message.split('. ')
    throw badConfiguration(`${first[0]?.toLowerCase()}${first.slice(1)}; --help lists the flags`, cause)
  }
}

function fromEnvironment(settings: [string, Setting][], env: NodeJS.ProcessEnv): Record<string, unknown> {
  const found: Record<string, unknown> = {}
  for (const [name, { type, secret }] of settings) {
    const value = env[variableOf(name)] ?? (secret ? fromSecretFile(name, env) : undefined)
    if (value === undefined) continue
    found[name] = type === 'array' ? value.split(',').map((one) => one.trim()) : value
  }
  return found
}

/** What stands in the file that a variable names, as containers are given secrets: without the line break at its end. */
function fromSecretFile(name: string, env: NodeJS.ProcessEnv): string | undefined {
  const variable = `${variableOf(name)}_FILE`
  const path = env[variable]
  if (path === undefined) return undefined
  try {
    return readFileSync(path, 'utf8').replace(/\r?\n$/, '')
  } catch (cause) {
    throw badConfiguration(`${variable}: cannot read ${path}: ${(cause as Error).message}`, cause)
  }
}

function variableOf(name: string): string {
  return `DAYBOOK_${name.toUpperCase().replaceAll('-', '_')}`
}

/** What a command runs with, as it may be shown: secrets are not. */
export function showSettings(schema: TObject, config: Readonly<Record<string, unknown>>) {
  return namedSettings(schema).map(([name, { description = '', enum: values, secret }]) => {
    const value = config[name]
    return {
      name,
      description,
      value: secret && value !== undefined ? '****' : String(value ?? ''),
      possibleValues: values?.map(String) ?? null
    }
  })
}

function readFile(path: string, schema: TObject): Record<string, unknown> {
  let read: unknown
  try {
    read = JSON.parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    throw badConfiguration(`cannot read the config file ${path}: ${(cause as Error).message}`, cause)
  }
  if (typeof read !== 'object' || read === null || Array.isArray(read)) {
    throw badConfiguration(`the config file ${path} is not a JSON object`)
  }
  const unknown = Object.keys(read).find((name) => !(name in schema.properties))
  if (unknown !== undefined) throw badConfiguration(`the config file ${path} has an unknown key "${unknown}"`)
  return read as Record<string, unknown>
}

/** Help text of a command's flags. */
export function describeFlags(schema: TObject): string {
  const rows = [
    ...namedSettings(schema).map(
      ([name, { type, enum: values, default: standard, description, secret }]): [string, string] => {
        if (secret) return [variableOf(name), `${description} Or ${variableOf(name)}_FILE, or "${name}" in --config.`]
        const value =
          type === 'boolean'
            ? ''
            : ` ${values?.join('|') ?? (type === 'integer' ? 'N' : name === 'url' ? 'URL' : 'TEXT')}`
        const shown = standard === undefined || standard === false || (Array.isArray(standard) && standard.length === 0)
        return [`--${name}${value}`, `${description}${shown ? '' : ` [${standard}]`}`]
      }
    ),
    ['--config FILE', 'A JSON file with any of these as keys.'],
    ['--help', 'This text.']
  ] as [string, string][]
  const width = Math.min(Math.max(...rows.map(([flag]) => flag.length)), 34)
  return rows.map(([flag, text]) => `  ${flag.padEnd(width)}  ${text}`).join('\n')
}
