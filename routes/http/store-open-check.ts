/** Checks that the store is open: the server starts before the store has opened, and stops after it has closed. */
import { DaybookError } from '../../src/errors.js'

/** @throws `starting`, `stopping` unless the store is open */
export function checkOpen({ status, reason }: { readonly status: string; readonly reason: string }): void {
  if (status === 'open') return
  throw new DaybookError(status === 'closed' ? 'stopping' : 'starting', `The server is not ready: ${reason}.`, {
    reason,
    retry: true
  })
}
