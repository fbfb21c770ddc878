/**
 * Settings from flags, environment and file, in this order of strength, by one schema for each command. The only
 * reader of process.env.
 */
import { readFileSync } from 'node:fs'
import { Ajv } from 'ajv'
import type { Static, TObject } from 'typebox'
import { badConfiguration, resourceUnusable, systemReason } from '../errors.js'
import { meantBy } from '../spelling.js'
import { type NamedSetting, readCommandLine, type Setting, variableOf } from './flags.js'

const ajv = new Ajv({ coerceTypes: true, useDefaults: true, strict: false })

/** The settings of a schema by name. */
function namedSettings(schema: TObject): [string, Setting][] {
  return Object.entries(schema.properties as Record<string, Setting>)
}

/** A value, and where it stands, for people: `--port`, `DAYBOOK_PORT`, `"port" in daybook.json`. */
interface Given {
  readonly value: unknown
  readonly place: string
}

/**
 * Reads a command's settings.
 * @param argv words after the command's name
 * @returns the settings and the words that are no flags; with `--help` nothing but that
 * @throws `bad-configuration` naming the flag, variable or key; `resource-unusable` for a file that cannot be read
 */
export function readConfig<T extends TObject>(
  schema: T,
  argv: readonly string[],
  env: NodeJS.ProcessEnv = process.env
): { config: Static<T>; words: readonly string[]; help: boolean } {
  const settings = namedSettings(schema)
  const { values, words, help } = readCommandLine(settings, argv)
  if (help) return { config: {} as Static<T>, words, help }
  const given = new Map<string, Given>()
  const file = configFile(values.config as string | undefined, env)
  if (file !== undefined) {
    for (const [name, value] of Object.entries(readFile(file, schema))) {
      given.set(name, { value, place: `"${name}" in ${file}` })
    }
  }
  for (const [name, one] of fromEnvironment(settings, env)) given.set(name, one)
  for (const [name, value] of Object.entries(values)) {
    if (name !== 'config') given.set(name, { value, place: `--${name}` })
  }
  for (const [name, setting] of settings) refuseSlip(setting, given.get(name))
  const config = Object.fromEntries([...given].map(([name, { value }]) => [name, value]))
  const validate = ajv.compile(schema)
  if (validate(config)) return { config: config as Static<T>, words, help }
  const name = validate.errors?.[0]?.instancePath.split('/')[1] ?? ''
  throw wrongValue((schema.properties[name] ?? {}) as Setting, given.get(name) ?? { value: undefined, place: name })
}

function configFile(flag: string | undefined, env: NodeJS.ProcessEnv): string | undefined {
  const file = flag ?? env.DAYBOOK_CONFIG
  if (file === '') throw emptyValue(flag === undefined ? 'DAYBOOK_CONFIG' : '--config')
  return file
}

/** What the schema's coercion would take although nobody means it: nothing, and a number such as `1e3`. */
function refuseSlip(setting: Setting, given: Given | undefined): void {
  if (given === undefined) return
  const { value, place } = given
  if ([value].flat().some((one) => one === '' || one === null)) throw emptyValue(place)
  if (setting.type === 'integer' && typeof value === 'string' && !/^-?\d{1,15}$/.test(value)) {
    throw wrongValue(setting, given)
  }
}

function emptyValue(place: string) {
  return badConfiguration(`${place} is empty: give it a value, or leave it out`)
}

function wrongValue(setting: Setting, { value, place }: Given) {
  const not = setting.secret ? '' : `, not ${typeof value === 'string' ? `"${value}"` : JSON.stringify(value)}`
  return badConfiguration(`${place} ${expected(setting)}${not}`)
}

function expected({ type, enum: values, examples, minimum, maximum }: Setting): string {
  if (values !== undefined) return `is one of ${values.join(', ')}`
  if (examples !== undefined) return `looks like ${examples.join(' or ')}`
  if (type === 'boolean') return 'is true or false'
  if (type === 'array') return 'is a list of texts'
  if (type !== 'integer') return 'is a text'
  if (maximum !== undefined) return `is a whole number from ${minimum} to ${maximum}`
  return `is a whole number, ${minimum} or more`
}

function fromEnvironment(settings: readonly NamedSetting[], env: NodeJS.ProcessEnv): Map<string, Given> {
  const found = new Map<string, Given>()
  for (const [name, { type, secret }] of settings) {
    const place = variableOf(name)
    const value = env[place]
    if (value !== undefined && !isOfService(place, value)) {
      const list = type === 'array' && value !== '' ? value.split(',').map((one) => one.trim()) : value
      found.set(name, { value: list, place })
    } else if (value === undefined && secret) {
      const inFile = fromSecretFile(name, env)
      if (inFile !== undefined) found.set(name, { value: inFile, place: `${place}_FILE` })
    }
  }
  return found
}

/** What stands in the file that a variable names, as containers are given secrets: without the line break at its end. */
function fromSecretFile(name: string, env: NodeJS.ProcessEnv): string | undefined {
  const variable = `${variableOf(name)}_FILE`
  const path = env[variable]
  if (path === undefined) return undefined
  if (path === '') throw emptyValue(variable)
  try {
    return readFileSync(path, 'utf8').replace(/\r?\n$/, '')
  } catch (cause) {
    throw resourceUnusable(`${variable}: cannot read ${path}: ${systemReason(cause)}`, cause)
  }
}

const PREFIX = 'DAYBOOK_'

/**
 * Looks at the variables that begin like ours and are none of any command.
 * @param schema of the command that runs
 * @param all the schemas of all commands: a variable of another one is no slip
 * @returns the names of those that count for nothing; what an orchestrator sets for a service named "daybook" is none
 * @throws `bad-configuration` for one that must be a slip of one that the command reads
 */
export function strayVariables(
  schema: TObject,
  all: readonly TObject[],
  env: NodeJS.ProcessEnv = process.env
): readonly string[] {
  const known = new Set(all.flatMap(variablesOf))
  const strays = Object.keys(env).filter(
    (name) => name.startsWith(PREFIX) && !known.has(name) && !isOfService(name, env[name] ?? '')
  )
  const suffixes = variablesOf(schema).map((name) => name.slice(PREFIX.length))
  for (const name of strays) {
    const meant = meantBy(name.slice(PREFIX.length), suffixes)
    if (meant === undefined) continue
    throw badConfiguration(`there is no variable ${name}; did you mean ${PREFIX}${meant}? Rename it, or unset it`)
  }
  return strays
}

function variablesOf(schema: TObject): string[] {
  const names = namedSettings(schema).flatMap(([name, { secret }]) =>
    secret ? [variableOf(name), `${variableOf(name)}_FILE`] : [variableOf(name)]
  )
  return [...names, `${PREFIX}CONFIG`]
}

/**
 * True for what Kubernetes and Docker set where a service, or a linked container, is named "daybook" or "daybook-…":
 * DAYBOOK_PORT=tcp://10.0.0.1:2113, DAYBOOK_SERVICE_HOST, DAYBOOK_PORT_2113_TCP_ADDR.
 */
function isOfService(name: string, value: string): boolean {
  return (
    /_SERVICE_(HOST|PORT(_\w+)?)$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$|^DAYBOOK_ENV_/.test(name) ||
    (name.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(value)) ||
    (name.endsWith('_NAME') && /^\/[^/]+\/[^/]+$/.test(value))
  )
}

function readFile(path: string, schema: TObject): Record<string, unknown> {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    throw resourceUnusable(`cannot read the config file ${path}: ${systemReason(cause)}`, cause)
  }
  let read: unknown
  try {
    read = JSON.parse(text)
  } catch (cause) {
    throw badConfiguration(`the config file ${path} is not JSON: ${(cause as Error).message}`, cause)
  }
  if (typeof read !== 'object' || read === null || Array.isArray(read)) {
    throw badConfiguration(`the config file ${path} is not a JSON object`)
  }
  const known = Object.keys(schema.properties)
  const unknown = Object.keys(read).find((name) => !known.includes(name))
  if (unknown === undefined) return read as Record<string, unknown>
  const meant = meantBy(unknown, known)
  const guess = meant === undefined ? '' : `; did you mean "${meant}"?`
  throw badConfiguration(`the config file ${path} has an unknown key "${unknown}"${guess}`)
}

/** True for a terminal in which a line can be drawn anew. */
export function canRedraw(env: NodeJS.ProcessEnv = process.env): boolean {
  return env.TERM !== 'dumb'
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
