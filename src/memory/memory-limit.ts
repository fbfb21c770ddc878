/** The memory budget of a server: from its setting, or from the memory of the machine or container. */
import { totalmem } from 'node:os'
import { DaybookError } from '../errors.js'
import { limits } from '../limits.js'

const UNITS = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 } as const

/**
 * Returns the bytes available to this process: the limit of its container if there is one, else the machine's memory.
 */
export function availableMemory(): number {
  const machine = totalmem()
  // Without a limit, this is 0 or an absurdly large number.
  const constrained = process.constrainedMemory() ?? 0
  return constrained > 0 && constrained < machine ? constrained : machine
}

/**
 * Returns the memory budget of a server, bytes. The default is `memory_bytes_default_max` or a quarter of the available
 * memory, whichever is less, but at least `memory_bytes_min`.
 * @param setting `512MiB`, `1GiB` or a number of bytes; undefined for the default
 * @param available bytes available to the process
 * @throws `bad-configuration` when the setting is not a size, is too small, or does not fit beside the idle process
 */
export function budgetBytes(setting: string | undefined, available = availableMemory()): number {
  const { memory_bytes_default_max: most, memory_bytes_min: least, memory_idle_bytes: idle } = limits
  const bytes = setting === undefined ? Math.max(least, Math.min(most, Math.floor(available / 4))) : parseSize(setting)
  if (bytes < least) throw badMemorySetting(`--memory is ${setting}; it must be at least ${inMebibytes(least)}`)
  if (bytes + idle <= available) return bytes
  const room = available - idle
  const help =
    room < least
      ? `provide at least ${inMebibytes(least + idle)}`
      : `set --memory ${Math.floor(room / UNITS.MiB)}MiB, or provide more`
  throw badMemorySetting(
    `--memory ${inMebibytes(bytes)} and the idle process (about ${inMebibytes(idle)}) do not fit into the ${inMebibytes(available)} of this machine or container: ${help}`
  )
}

function parseSize(text: string): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)\s*(KiB|MiB|GiB)?$/.exec(text) ?? []
  if (digits === undefined) throw badMemorySetting(`--memory is "${text}"; it must be a size such as 512MiB or 1GiB`)
  return Math.floor(Number(digits) * (unit === undefined ? 1 : UNITS[unit as keyof typeof UNITS]))
}

function inMebibytes(bytes: number): string {
  return `${Math.floor(bytes / UNITS.MiB)}MiB`
}

function badMemorySetting(why: string): DaybookError {
  return new DaybookError('bad-configuration', why)
}
