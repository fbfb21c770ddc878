/** The maximum number of open connections, from the file descriptor limit and the memory budget. */
import { resourceUnusable } from '../../errors.js'
import { limits } from '../../limits.js'

export interface ConnectionRoom {
  readonly connections: number
  /** Set if the descriptor limit allows far fewer connections than the memory budget. */
  readonly warning: string | undefined
}

/**
 * Returns the maximum number of connections.
 * @param memory bytes of the memory budget
 * @param descriptors file descriptor limit of the process
 * @throws DaybookError `resource-unusable` if the descriptor limit is too low for a server
 */
export function connectionRoom(memory: number, descriptors = descriptorLimit()): ConnectionRoom {
  const byMemory = Math.floor(memory / limits.connection_bytes)
  // LevelDB keeps up to a fifth of the descriptors open, for tables that it does not map into memory.
  const byDescriptors = Math.floor(descriptors * 0.8) - limits.descriptors_reserved
  const enough = `raise the limit (ulimit -n, LimitNOFILE= of systemd, --ulimit nofile= of a container)`
  if (byDescriptors < limits.connections_min) {
    throw resourceUnusable(
      `the file descriptor limit is ${descriptors}, but a server needs at least ${needed(limits.connections_min)}: ${enough}`
    )
  }
  const warning =
    byDescriptors < Math.min(byMemory, limits.connections_warned)
      ? `the file descriptor limit ${descriptors} allows ${byDescriptors} connections only; for ${byMemory} ${enough} to ${needed(byMemory)}`
      : undefined
  return { connections: Math.min(byMemory, byDescriptors), warning }
}

/** Returns the descriptor limit for a number of connections, including the descriptors of the server itself. */
function needed(connections: number): number {
  return Math.ceil((connections + limits.descriptors_reserved) / 0.8)
}

/**
 * Returns the file descriptor limit of this process: the soft limit, which Node raises to the hard limit at start.
 * Infinity if there is no limit, or none is known (Windows).
 */
function descriptorLimit(): number {
  const { userLimits } = process.report.getReport() as unknown as { userLimits?: { open_files?: { soft: unknown } } }
  const limit = Number(userLimits?.open_files?.soft)
  return Number.isFinite(limit) ? limit : Infinity
}
