/** Planning a delete (reference 6): pure, as planning an append is. */

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
  /** Position of the event that says so. */
  readonly position: number
  /** The last number that the stream has. */
  readonly head: number
}

/**
 * Decides one delete against the view and, when it is accepted, places the event that says so.
 * @returns what to answer once the commit has succeeded, or `stream-deleted`, `stream-not-found`,
 * `wrong-expected-version` or `bad-stream-name`; then the view is unchanged
 */
export function planDelete(request: DeleteRequest, view: PlanningView): DeleteResult | DaybookError {
  const { stream, expected, permanent, by } = request
  if (by !== undefined && !isMetastream(stream) && !view.permits(by.principal, 'delete', stream)) {
    return refusedAccess(by.principal, 'delete', stream)
  }
  if (permanent && isOwn(stream)) {
    return new DaybookError('bad-stream-name', `"${stream}" is the server's own, and would be missed for ever.`, {
      stream
    })
  }
  if (isMetastream(stream)) {
    return new DaybookError('bad-stream-name', 'Metadata is not deleted by itself; write other metadata instead.', {
      stream
    })
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
  // The rules stay, so that deleting a stream and bringing it back opens it to nobody.
  const { acl } = state.metadata
  const rules = acl === undefined ? undefined : Buffer.from(JSON.stringify({ $acl: acl }))
  const document = withTruncateBefore(rules, DELETED_TEXT)
  const record = metadataRecord(stream, document)
  const { position } = view.place({ stream: metastreamOf(stream), id: undefined, type: METADATA_TYPE, record })
  audit(request, view)
  return { position, head }
}

/** The audit event stands in the same batch as the delete. */
function audit({ stream, permanent, by }: DeleteRequest, view: PlanningView): void {
  if (!isAudited(by)) return
  view.place(auditEvent('StreamDeleted', by, { stream, permanent }))
}
