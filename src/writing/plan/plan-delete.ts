/** Plans a delete (reference 6). Pure. */

import { auditEvent, isAudited } from '../../access/audit.js'
import { isOwn, refusedAccess } from '../../access/permissions.js'
import { DaybookError } from '../../errors.js'
import { encodeRecord, recordKind } from '../../log/format.js'
import {
  DELETED_TEXT,
  METADATA_TYPE,
  metadataRecord,
  TOMBSTONE_TYPE,
  withTruncateBefore
} from '../../streams/metadata.js'
import { isMetastream, metastreamOf } from '../../streams/names.js'
import { holds } from './expected-version.js'
import type { PlanningView } from './planning-view.js'
import { conditionsFailed, streamDeleted } from './refusals.js'
import type { DeleteRequest } from './write-request.js'

export interface DeleteResult {
  /** Position of the tombstone or metadata event that deletes the stream. */
  readonly position: number
  /** Number of the stream's last event, -1 when it was never written. */
  readonly head: number
}

/**
 * Decides one delete against the view and, when it is accepted, adds the tombstone or metadata event to the view.
 * @returns the answer to give after the commit has succeeded, or a refusal: missing rights, `stream-deleted`,
 * `stream-not-found`, `wrong-expected-version` or `bad-stream-name`; a refusal leaves the view unchanged
 */
export function planDelete(request: DeleteRequest, view: PlanningView): DeleteResult | DaybookError {
  const { stream, expected, permanent, by } = request
  if (by !== undefined && !isMetastream(stream) && !view.permits(by.principal, 'delete', stream)) {
    return refusedAccess(by.principal, 'delete', stream)
  }
  if (permanent && isOwn(stream)) {
    const message = `"${stream}" cannot be deleted permanently: the server itself needs it.`
    return new DaybookError('bad-stream-name', message, { stream })
  }
  if (isMetastream(stream)) {
    const message = `"${stream}" is a metastream and cannot be deleted. Write new metadata instead.`
    return new DaybookError('bad-stream-name', message, { stream })
  }
  const state = view.state(stream)
  const head = view.head(stream)
  if (state.tombstone) return streamDeleted(stream)
  // A stream that has only metadata exists (reference 5.4).
  const exists = expected === 'stream_exists' && state.version >= 0 && !state.metadata.deleted
  if (!exists && !holds(expected, head, state)) return conditionsFailed([{ stream, expected }], [], view)
  if (permanent) {
    const record = encodeRecord(stream, { clientId: false, type: TOMBSTONE_TYPE, kind: recordKind.tombstone })
    const { position } = view.place({ stream, id: undefined, type: TOMBSTONE_TYPE, record })
    audit(request, view)
    return { position, head }
  }
  if (head === -1 && state.version === -1) {
    return new DaybookError('stream-not-found', `Nothing was ever written to "${stream}".`, { stream, head: null })
  }
  // Preserve the ACL, so that deleting and reviving a stream cannot widen access.
  const { acl } = state.metadata
  const rules = acl === undefined ? undefined : Buffer.from(JSON.stringify({ $acl: acl }))
  const document = withTruncateBefore(rules, DELETED_TEXT)
  const record = metadataRecord(stream, document)
  const { position } = view.place({ stream: metastreamOf(stream), id: undefined, type: METADATA_TYPE, record })
  audit(request, view)
  return { position, head }
}

/** Plans the audit event, in the same batch as the delete. */
function audit({ stream, permanent, by }: DeleteRequest, view: PlanningView): void {
  if (!isAudited(by)) return
  view.place(auditEvent('StreamDeleted', by, { stream, permanent }))
}
