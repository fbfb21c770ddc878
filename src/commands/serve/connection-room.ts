/** How many connections the server may have open: as many as its descriptors and its memory budget carry. */
import { resourceUnusable } from '../../errors.js'
import { limits } from '../../limits.js'

export interface ConnectionRoom {
  readonly connections: number
  /** For people, when descriptors allow far fewer than memory does; undefined: they do not. */
  readonly warning: string | undefined
}

/**
 * @param memory bytes of the memory budget
 * @param descriptors files that the process may have open
 * @throws `resource-unusable` when that is not enough for a server
 */
export function connectionRoom(memory: number, descriptors = descriptorLimit()): ConnectionRoom {
  const byMemory = Math.floor(memory / limits.connection_bytes)
  // LevelDB keeps at most a fifth of the descriptors for tables that it does not map into memory.
  const byDescriptors = Math.floor(descriptors * 0.8) - limits.descriptors_reserved
  const enough = `raise the limit (ulimit -n, LimitNOFILE= of systemd, --ulimit nofile= of a container)`
  if (byDescriptors < limits.connections_min) {
    throw resourceUnusable(
      `this process may have ${descriptors} files and connections open, a server needs ${needed(limits.connections_min)}: ${enough}`
    )
  }
  const warning =
    byDescriptors < Math.min(byMemory, limits.connections_warned)
      ? `this process may have ${descriptors} files open, which leaves room for ${byDescriptors} connections; for ${byMemory} ${enough} to ${needed(byMemory)}`
      : undefined
  return { connections: Math.min(byMemory, byDescriptors), warning }
}

/** Descriptors that so many connections need, with what the server needs itself. */
function needed(connections: number): number {
  return Math.ceil((connections + limits.descriptors_reserved) / 0.8)
}

/**
 * Files that this process may have open: node has raised the soft limit to the hard one when it started.
 * @returns Infinity where there is no limit, or none is known (Windows)
 */
function descriptorLimit(): number {
  const { userLimits } = process.report.getReport() as unknown as { userLimits?: { open_files?: { soft: unknown } } }
  const limit = Number(userLimits?.open_files?.soft)
  return Number.isFinite(limit) ? limit : Infinity
}
