/**
 * Reads the settings of a command. Flags override environment variables, which override the config file. One schema per
 * command describes all three. Nothing else in the program reads process.env.
 */
import { readFileSync } from 'node:fs'
import { Ajv } from 'ajv'
import type { Static, TObject } from 'typebox'
import { badConfiguration, resourceUnusable, systemReason } from '../errors.js'
import { meantBy } from '../spelling.js'
import { type NamedSetting, readCommandLine, type Setting, variableOf } from './flags.js'

const ajv = new Ajv({ coerceTypes: true, useDefaults: true, strict: false })

function namedSettings(schema: TObject): [string, Setting][] {
  return Object.entries(schema.properties as Record<string, Setting>)
}

/** A value and its origin, as error texts name it: `--port`, `DAYBOOK_PORT`, `"port" in daybook.json`. */
interface GivenValue {
  readonly value: unknown
  readonly place: string
}

/**
 * Returns the settings of a command and the positional arguments. With `--help` on the line, nothing is read and only
 * `help` is set.
 * @param argv the arguments after the command's name
 * @throws DaybookError `bad-configuration`, naming the flag, variable or key; `resource-unusable` for a file that
 *   cannot be read
 */
export function readConfig<T extends TObject>(
  schema: T,
  argv: readonly string[],
  env: NodeJS.ProcessEnv = process.env
): { config: Static<T>; words: readonly string[]; help: boolean } {
  const settings = namedSettings(schema)
  const { values, words, help } = readCommandLine(settings, argv)
  if (help) return { config: {} as Static<T>, words, help }
  const given = new Map<string, GivenValue>()
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

/**
 * Rejects values that the schema's coercion accepts but that are mistakes: an empty value, or a number such as `1e3`.
 */
function refuseSlip(setting: Setting, given: GivenValue | undefined): void {
  if (given === undefined) return
  const { value, place } = given
  if ([value].flat().some((one) => one === '' || one === null)) throw emptyValue(place)
  if (setting.type === 'integer' && typeof value === 'string' && !/^-?\d{1,15}$/.test(value)) {
    throw wrongValue(setting, given)
  }
}

function emptyValue(place: string) {
  return badConfiguration(`${place} is empty: give it a value, or remove it`)
}

function wrongValue(setting: Setting, { value, place }: GivenValue) {
  const actual = setting.secret ? '' : `, not ${typeof value === 'string' ? `"${value}"` : JSON.stringify(value)}`
  return badConfiguration(`${place} must be ${expected(setting)}${actual}`)
}

function expected({ type, enum: values, examples, minimum, maximum }: Setting): string {
  if (values !== undefined) return `one of ${values.join(', ')}`
  if (examples !== undefined) return `of a form such as ${examples.join(' or ')}`
  if (type === 'boolean') return 'true or false'
  if (type === 'array') return 'a list of strings'
  if (type !== 'integer') return 'a string'
  if (maximum !== undefined) return `a whole number from ${minimum} to ${maximum}`
  return `a whole number, ${minimum} or more`
}

function fromEnvironment(settings: readonly NamedSetting[], env: NodeJS.ProcessEnv): Map<string, GivenValue> {
  const found = new Map<string, GivenValue>()
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

/**
 * Returns the content of the file that the variable `…_FILE` names, without the line break at its end. Container
 * platforms pass secrets as files.
 */
function fromSecretFile(name: string, env: NodeJS.ProcessEnv): string | undefined {
  const variable = `${variableOf(name)}_FILE`
  const path = env[variable]
  if (path === undefined) return undefined
  if (path === '') throw emptyValue(variable)
  try {
    return readFileSync(path, 'utf8').replace(/\r?\n$/, '')
  } catch (cause) {
    throw resourceUnusable(`cannot read ${path}, which ${variable} names: ${systemReason(cause)}`, cause)
  }
}

const PREFIX = 'DAYBOOK_'

/**
 * Returns the names of `DAYBOOK_…` variables that no command reads. Variables that an orchestrator sets for a service
 * named "daybook" are not among them.
 * @param schema the schema of the command that runs
 * @param all the schemas of all commands; a variable of another command is not reported
 * @throws DaybookError `bad-configuration` for a likely misspelling of a variable that the command reads
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
    throw badConfiguration(`unknown variable ${name}; did you mean ${PREFIX}${meant}? Rename or unset it`)
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
 * Returns whether Kubernetes or Docker set this variable, for a service or linked container named "daybook" or
 * "daybook-…": DAYBOOK_PORT=tcp://10.0.0.1:2113, DAYBOOK_SERVICE_HOST, DAYBOOK_PORT_2113_TCP_ADDR.
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

/** Returns whether the terminal can redraw a line. */
export function canRedraw(env: NodeJS.ProcessEnv = process.env): boolean {
  return env.TERM !== 'dumb'
}

/** Returns the settings of a command for display, with secrets masked. */
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

/** Returns the help text for the flags of a command. */
export function describeFlags(schema: TObject): string {
  const rows = [
    ...namedSettings(schema).map(
      ([name, { type, enum: values, default: standard, description, secret }]): [string, string] => {
        if (secret)
          return [
            variableOf(name),
            `${description} Also: ${variableOf(name)}_FILE (a file with the value), or "${name}" in the --config file.`
          ]
        const value =
          type === 'boolean'
            ? ''
            : ` ${values?.join('|') ?? (type === 'integer' ? 'N' : name === 'url' ? 'URL' : 'TEXT')}`
        const hidden =
          standard === undefined || standard === false || (Array.isArray(standard) && standard.length === 0)
        return [`--${name}${value}`, `${description}${hidden ? '' : ` [${standard}]`}`]
      }
    ),
    ['--config FILE', 'JSON file with any of these settings as keys.'],
    ['--help', 'Prints this text.']
  ] as [string, string][]
  const width = Math.min(Math.max(...rows.map(([flag]) => flag.length)), 34)
  return rows.map(([flag, text]) => `  ${flag.padEnd(width)}  ${text}`).join('\n')
}
