/** How much memory a server may take: from its setting, or from what the machine or the container has. */
import { totalmem } from 'node:os'
import { DaybookError } from '../errors.js'
import { limits } from '../limits.js'

const UNITS = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 } as const

/** @returns bytes that this process may use at all: of its container where that is limited, else of the machine */
export function availableMemory(): number {
  const machine = totalmem()
  // 0, or an absurdly large number, when no limit is set.
  const constrained = process.constrainedMemory() ?? 0
  return constrained > 0 && constrained < machine ? constrained : machine
}

/**
 * The budget of a server.
 * @param setting `512MiB`, `1GiB` or a number of bytes; undefined: the usual one
 * @param available bytes that the process may use at all
 * @returns bytes: as it is set, or `memory_bytes_default_max` or a quarter of what is available, whichever is less, and at
 * least `memory_bytes_min`
 * @throws `bad-configuration` when it is no size, too small, or does not fit beside the idle process
 */
export function budgetBytes(setting: string | undefined, available = availableMemory()): number {
  const { memory_bytes_default_max: most, memory_bytes_min: least, memory_idle_bytes: idle } = limits
  const bytes = setting === undefined ? Math.max(least, Math.min(most, Math.floor(available / 4))) : parseSize(setting)
  if (bytes < least) throw refused(`--memory ${setting} is too small: a server needs ${shown(least)}`)
  if (bytes + idle <= available) return bytes
  const room = available - idle
  const help =
    room < least
      ? `give it at least ${shown(least + idle)}`
      : `set --memory ${Math.floor(room / UNITS.MiB)}MiB, or give it more`
  throw refused(
    `--memory ${shown(bytes)} and the idle process (about ${shown(idle)}) do not fit into the ${shown(available)} of this machine or container: ${help}`
  )
}

function parseSize(text: string): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)\s*(KiB|MiB|GiB)?$/.exec(text) ?? []
  if (digits === undefined) throw refused(`--memory looks like 512MiB or 1GiB, not "${text}"`)
  return Math.floor(Number(digits) * (unit === undefined ? 1 : UNITS[unit as keyof typeof UNITS]))
}

function shown(bytes: number): string {
  return `${Math.floor(bytes / UNITS.MiB)}MiB`
}

function refused(why: string): DaybookError {
  return new DaybookError('bad-configuration', why)
}
