/** Whether the store can be asked: it opens beside the server, and closes before it. */
import { DaybookError } from '../../src/errors.js'

/** @throws `starting`, `stopping` */
export function checkOpen({ status, reason }: { readonly status: string; readonly reason: string }): void {
  if (status === 'open') return
  throw new DaybookError(status === 'closed' ? 'stopping' : 'starting', `Not ready: ${reason}.`, {
    reason,
    retry: true
  })
}
